"""What a miss adds to the backend's own time, one at a time and sixteen at once."""

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
        for connections in (1, 16):
            yield table(backend, there, connections, given, [*missing, *others])


def table(
    backend: Server, there: list[Server], connections: int, given: Options, missing: list[str]
) -> Table:
    load = Load(Kind.UNIQUE, connections, given.seconds)
    ours = replace(load, expect=peers.MISS)
    products = [each.name for each in there if each.hit == peers.HIT]
    measures = {
        each.name: partial(turn, each, ours if each.name in products else load)
        for each in [backend, *there]
    }
    runs = contest(measures, given.rounds)
    rows = [
        (
            name,
            [
                *(middle(runs, name, figure) for figure in ("p50_ms", "p99_ms")),
                None if name == DIRECT else added(runs, name, DIRECT, "p50_ms"),
                None if name == DIRECT else added(runs, name, DIRECT, "p99_ms"),
                None if name == DIRECT else middle(runs, name, "cpu_us"),
                middle(runs, name, "per_second"),
            ],
        )
        for name in runs
    ]
    claims = [
        Claim(f"{name} adds, {kind}", added(runs, name, DIRECT, f"{kind}_ms"), most, unit="ms")
        for name in products
        for kind, most in (("p50", P50_AT_MOST_MS), ("p99", P99_AT_MOST_MS))
        if connections == 1
    ]
    return Table(
        f"misses-{connections}",
        f"misses, {connections} at once" if connections > 1 else "misses, one at a time",
        ("p50 ms", "p99 ms", "adds p50 ms", "adds p99 ms", "CPU us", "requests/s"),
        rows,
        claims,
        [*missing, *company(worst(runs, "starved"))],
    )
