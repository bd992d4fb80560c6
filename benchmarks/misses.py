"""What a miss adds to the backend's own time: at a pace, one after the other, sixteen at once.

At a pace, a question comes when it is due: what is done after a reply delays none, as it does where
each is asked as soon as the one before is answered. What clients wait for is judged by that. What
the proxy can do at most, and what it costs, the other two tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Final

from benchmarks.fleet import redis
from benchmarks.frame import peers
from benchmarks.frame.contest import added, contest, middle, worst
from benchmarks.frame.drive import Load, Server, turn
from benchmarks.frame.options import Options
from benchmarks.frame.questions import Kind
from benchmarks.frame.report import Claim, Table, company

DIRECT: Final = "the backend itself"
WITH_REDIS: Final = f"{peers.PRODUCT}, with Redis too"
RELAY: Final = "bare aiohttp server and client"
P50_AT_MOST_MS: Final = 0.5
P99_AT_MOST_MS: Final = 1.5
PACE: Final = 100  # questions a second; a quarter of what the slowest here can do, or less
_LONGER: Final = 3  # times as long a turn at that pace, or its slowest hundredth would be two


def measure(given: Options) -> Iterator[Table]:
    with ExitStack() as stack:
        backend = stack.enter_context(peers.python(DIRECT, "instant", core=-1)())
        starts = [
            peers.product(backend.url),
            peers.python(RELAY, "relay", backend.url),
            peers.nginx(backend.url, cached=False),
        ]
        missing = list[str]()
        try:
            url = stack.enter_context(redis())
            starts.insert(1, peers.product(backend.url, "--redis", url, name=WITH_REDIS))
        except FileNotFoundError:
            missing.append("redis-server is not installed")
        there, others = peers.all_of(stack, starts)
        for load in (
            Load(Kind.UNIQUE, 1, _LONGER * given.seconds, pace=PACE),
            Load(Kind.UNIQUE, 1, given.seconds),
            Load(Kind.UNIQUE, 16, given.seconds),
        ):
            yield table(load, backend, there, given, [*missing, *others])


def table(
    load: Load, backend: Server, there: list[Server], given: Options, notes: list[str]
) -> Table:
    ours = replace(load, expect=peers.MISS)
    products = [each.name for each in there if each.hit == peers.HIT]
    measures = {
        each.name: partial(turn, each, ours if each.name in products else load)
        for each in [backend, *there]
    }
    runs = contest(measures, given.rounds)
    rows = [
        (
            each,
            [
                *(middle(runs, each, figure) for figure in ("p50_ms", "p99_ms")),
                None if each == DIRECT else added(runs, each, DIRECT, "p50_ms"),
                None if each == DIRECT else added(runs, each, DIRECT, "p99_ms"),
                None if each == DIRECT else middle(runs, each, "cpu_us"),
                middle(runs, each, "per_second"),
            ],
        )
        for each in runs
    ]
    claims = [
        Claim(f"{each} adds, {kind}", added(runs, each, DIRECT, f"{kind}_ms"), most, unit="ms")
        for each in products
        for kind, most in (("p50", P50_AT_MOST_MS), ("p99", P99_AT_MOST_MS))
        if load.pace
    ]
    return Table(
        f"misses-{'paced' if load.pace else load.connections}",
        f"misses, {_how(load)}",
        ("p50 ms", "p99 ms", "adds p50 ms", "adds p99 ms", "CPU us", "requests/s"),
        rows,
        claims,
        [*notes, *company(worst(runs, "starved"))],
    )


def _how(load: Load) -> str:
    if load.pace:
        return f"{load.pace} a second"
    return f"{load.connections} at once" if load.connections > 1 else "one after the other"
