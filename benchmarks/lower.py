"""Hits in the tiers below memory: the disk, and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final

from benchmarks.fleet import redis
from benchmarks.frame import peers
from benchmarks.frame.contest import contest, middle, rate, ratio, worst
from benchmarks.frame.drive import Load, ask_all, turn
from benchmarks.frame.options import Options
from benchmarks.frame.questions import KEYS, Kind
from benchmarks.frame.report import Claim, Table, company

MEMORY: Final = "memory"
DISK: Final = "disk"
REDIS: Final = "Redis"
COLUMNS: Final = (
    "from there, %",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "CPU us",
    "rate to memory's",
    "CPU to memory's",
)
CONNECTIONS: Final = 16  # with more, a saturated tier's reads take longer than they may
TIERS: Final = {MEMORY: "l1_memory", DISK: "l2_disk", REDIS: "l2_redis"}
OF_A_PARSED_HIT: Final = 0.6
_SMALL: Final = {
    **peers.NO_LANE,
    "SIDECACHE_L1_MEMORY__MAX_BYTES": "16384",  # holds a handful of KEYS answers
}


def measure(given: Options) -> Iterator[Table]:
    with ExitStack() as stack:
        upstream = stack.enter_context(peers.python("backend", "instant", core=-1)()).url
        starts = [
            peers.product(upstream, name=MEMORY, env=peers.NO_LANE),
            peers.product(upstream, name=DISK, env=_SMALL),
        ]
        try:
            url = stack.enter_context(redis())
            flags = ("--no-disk", "--redis", url)
            starts.append(peers.product(upstream, *flags, name=REDIS, env=_SMALL))
            missing = []
        except FileNotFoundError:
            missing = ["redis-server is not installed"]
        there, _ = peers.all_of(stack, starts)
        loads = {
            each.name: Load(
                Kind.MANY, CONNECTIONS, given.seconds, ("X-Cache-Tier", TIERS[each.name]), least=0
            )
            for each in there
        }
        for each in there:
            ask_all(each, loads[each.name])  # to have them
            ask_all(each, loads[each.name])  # to have them where they belong
        runs = contest(
            {each.name: partial(turn, each, loads[each.name]) for each in there}, given.rounds
        )
    figure, called = rate(runs)
    figures = ("known", "per_second", "p50_ms", "p99_ms", "cpu_us")
    rows = [
        (
            name,
            [
                *(middle(runs, name, each) for each in figures),
                ratio(runs, name, MEMORY, "per_second"),
                ratio(runs, name, MEMORY, "cpu_us"),
            ],
        )
        for name in runs
    ]
    yield Table(
        "hits-below",
        f"hits by tier ({KEYS:,} questions, members reordered; {CONNECTIONS} connections)",
        COLUMNS,
        rows,
        [
            Claim(
                f"hits on disk, {called}, times those of parsed hits in memory",
                ratio(runs, DISK, MEMORY, figure),
                OF_A_PARSED_HIT,
                least=True,
            )
        ],
        [
            *missing,
            "parsed: without the express lane, all of them; it would know many in memory again",
            "below memory, which holds a handful of them, each hit takes another's place there",
            "what is not from there is from memory, or a miss: the read took longer than it may",
            *company(worst(runs, "starved")),
        ],
    )
