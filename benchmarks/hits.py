"""Hits in memory: requests that are the same to the byte, or differ in headers or order alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

from benchmarks.frame import peers
from benchmarks.frame.contest import Runs, contest, middle, rate, ratio, worst
from benchmarks.frame.drive import Load, Server, turn
from benchmarks.frame.options import Options
from benchmarks.frame.questions import Kind
from benchmarks.frame.report import Claim, Table, company
from benchmarks.servers import ANSWER

COLUMNS: Final = ("requests/s", "to Sidecache's", "p50 ms", "p99 ms", "CPU us", "to Sidecache's")
PARSED: Final = f"{peers.PRODUCT}, without the express lane"
BARE: Final = "bare aiohttp web.Server"
NGINX: Final = "nginx proxy_cache"
BY_BYTES: Final = "nginx, varnish and LiteLLM ask the backend for these: no hits there"
JSON_WORK: Final = "bare servers parse, sort, serialise and digest the body, and look up the answer"


class Case(NamedTuple):
    """What is asked, of whom, and what is promised."""

    kind: Kind
    title: str
    others: frozenset[str]  # of the peers, those that can answer it from what they keep
    beside: tuple[str, float]  # one of them, and how many times its rate is the least


ANY: Final = frozenset({"bare", "application"})
CASES: Final = (
    Case(Kind.SAME, "hits identical to the byte", ANY | {"bytes", "raw"}, (NGINX, 1.2)),
    Case(Kind.TRACED, "hits with trace headers that change", ANY | {"bytes"}, (BARE, 1.3)),
    Case(
        Kind.REORDERED, "hits with the members of the JSON reordered", ANY | {"parsed"}, (BARE, 0.8)
    ),
)


def claims(case: Case, runs: Runs) -> Iterator[Claim]:
    figure, called = rate(runs)
    other, least = case.beside
    if other in runs:
        times = ratio(runs, peers.PRODUCT, other, figure)
        yield Claim(f"{called}, times those of {other}", times, least, least=True)
    if case.kind is Kind.SAME:
        cpu_us = middle(runs, peers.PRODUCT, "cpu_us")
        yield Claim("processor time", cpu_us, 15, unit="us a request")


def table(case: Case, servers: Sequence[Server], missing: list[str], given: Options) -> Table:
    load = Load(case.kind, given.connections, given.seconds)
    runs = contest({each.name: partial(turn, each, load) for each in servers}, given.rounds)
    product = peers.PRODUCT
    rows = [
        (
            each.name,
            [
                middle(runs, each.name, "per_second"),
                ratio(runs, each.name, product, "per_second"),
                *(middle(runs, each.name, figure) for figure in ("p50_ms", "p99_ms", "cpu_us")),
                ratio(runs, each.name, product, "cpu_us"),
            ],
        )
        for each in servers
    ]
    notes = [] if "bytes" in case.others else [BY_BYTES]
    return Table(
        f"hits-{case.kind}",
        f"{case.title} ({len(ANSWER):,} bytes; {given.connections} connections)",
        COLUMNS,
        rows,
        list(claims(case, runs)),
        [*missing, *notes, JSON_WORK, *company(worst(runs, "starved"))],
    )


def measure(given: Options) -> Iterator[Table]:
    with ExitStack() as stack:
        upstream = stack.enter_context(peers.python("backend", "instant", core=-1)()).url
        starts = {
            "product": peers.product(upstream),
            "parsed": peers.product(upstream, name=PARSED, env=peers.NO_LANE),
            "nginx": peers.nginx(upstream),
            "varnish": peers.varnish(upstream),
            "bare": peers.python(BARE, "bare"),
            "application": peers.python("bare aiohttp web.Application", "application"),
            "raw": peers.python("bare uvloop protocol, dict of requests", "raw"),
            "litellm": peers.litellm(upstream, given.litellm),
        }
        groups = {"nginx": "bytes", "varnish": "bytes", "product": "bare", "litellm": "bytes"}
        there, missing = dict[str, Server](), list[str]()
        for name, start in starts.items():
            found, why = peers.all_of(stack, [start])
            there |= dict.fromkeys([name], *found) if found else {}
            missing += why
        for case in CASES:
            asked = [s for name, s in there.items() if groups.get(name, name) in case.others]
            yield table(case, asked, missing, given)
