"""What an event of a stream costs on its way: alone, in a flood, and for each who hears it too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from time import perf_counter
from typing import Final

import uvloop

from benchmarks.frame import peers
from benchmarks.frame.contest import Runs, contest, middle, ratio, worst
from benchmarks.frame.drive import Figures, Server
from benchmarks.frame.options import Options
from benchmarks.frame.report import Claim, Table, company
from benchmarks.frame.stage import EVENT, Stage, question
from benchmarks.serving import cpu_seconds, family, starved_seconds

STREAMS: Final = 20
FOLLOWERS: Final = 100
RELAY: Final = "bare aiohttp server and client"
OF_A_RELAY: Final = 1.3
A_FOLLOWER_AT_MOST_US: Final = 15
_EVENTS_A_SECOND: Final = 100  # that are measured, for each second of a turn
_FLOOD: Final = 10_000
_NUMBERS: Final = count(1)  # no two turns ask the same


async def together(
    stage: Stage, server: Server, clients: int, *, alike: bool, events: int
) -> Figures:
    """Streams that all have the next event at once: of ``alike`` ones the backend is asked once."""
    numbers = [next(_NUMBERS)] * clients if alike else [next(_NUMBERS) for _ in range(clients)]
    await stage.gather(server, [question(number) for number in numbers])
    calls = 1 if alike else clients
    for each in stage.listeners:
        each.ask()
    await stage.until(lambda: len(stage.calls) == calls)
    for call in stage.calls:
        call.begin()
    await stage.beat(10)  # to warm up
    figures = await _costs(server, events * clients, partial(stage.beat, events))
    await stage.end()
    return figures


async def flood(stage: Stage, server: Server, events: int) -> Figures:
    """One stream, as fast as it is taken."""
    await stage.gather(server, [question(next(_NUMBERS))])
    stage.listeners[0].ask()
    await stage.until(lambda: len(stage.calls) == 1)
    call = stage.calls[0]
    call.begin()
    await stage.beat(10)

    async def all_of_it() -> None:
        await call.pour(EVENT, events)
        await stage.end()

    return await _costs(server, events, all_of_it)


async def _costs(server: Server, events: int, what: Callable[[], Awaitable[None]]) -> Figures:
    process = family(server.process)
    used, waited, began = cpu_seconds(*process), starved_seconds(*process), perf_counter()
    await what()
    took = perf_counter() - began
    used, waited = cpu_seconds(*process) - used, starved_seconds(*process) - waited
    return {
        "cpu_us": used / events * 1e6,
        "per_second": events / took,
        "starved": min(waited, max(took - used, 0.0)) / took,
    }


def measure(given: Options) -> Iterator[Table]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, ExitStack() as stack:
        stage = Stage()
        runner.run(stage.open())
        stack.callback(stage.close)
        starts = [
            peers.product(stage.url),
            peers.python(RELAY, "relay", stage.url),
            peers.nginx(stage.url, cached=False),
        ]
        there, missing = peers.all_of(stack, starts)
        events = max(1, given.seconds * _EVENTS_A_SECOND)

        def alone(server: Server) -> Figures:
            return runner.run(together(stage, server, STREAMS, alike=False, events=events))

        def heard(clients: int) -> Figures:
            return runner.run(together(stage, there[0], clients, alike=True, events=events))

        def flooded(server: Server) -> Figures:
            return runner.run(flood(stage, server, _FLOOD))

        runs = contest({each.name: partial(alone, each) for each in there}, given.rounds)
        yield streams(
            f"stream events one by one, {STREAMS} streams, each of its own call", "chunks", runs,
            missing, promised=True,
        )  # fmt: skip
        runs = contest({each.name: partial(flooded, each) for each in there}, given.rounds)
        yield streams(
            "stream events as fast as they come, one stream", "chunks-flood", runs, missing
        )
        clients = {f"{number} of one call": number for number in (1, 2, 1 + FOLLOWERS)}
        runs = contest(
            {name: partial(heard, number) for name, number in clients.items()}, given.rounds
        )
        yield followers(runs, clients)


def streams(
    title: str, name: str, runs: Runs, missing: list[str], *, promised: bool = False
) -> Table:
    rows = [
        (
            each,
            [
                middle(runs, each, "per_second"),
                middle(runs, each, "cpu_us"),
                ratio(runs, each, RELAY, "cpu_us"),
            ],
        )
        for each in runs
    ]
    claim = Claim(
        f"processor time, times that of {RELAY}",
        ratio(runs, peers.PRODUCT, RELAY, "cpu_us"),
        OF_A_RELAY,
    )
    return Table(
        name,
        title,
        ("events/s", "CPU us/event", "to aiohttp's"),
        rows,
        [claim] if promised else [],
        [*missing, *company(worst(runs, "starved"))],
    )


def followers(runs: Runs, clients: dict[str, int]) -> Table:
    first = next(iter(clients))
    rows = []
    further = 0.0
    for name, number in clients.items():
        # What is measured is by event heard; a beat is one event, heard by all.
        beat = [run["cpu_us"] * number for run in runs[name]]
        single = [run["cpu_us"] for run in runs[first]]
        each = sorted((a - b) / max(number - 1, 1) for a, b in zip(beat, single, strict=True))
        further = each[len(each) // 2]
        rows.append(
            (
                name,
                [
                    middle(runs, name, "per_second"),
                    sorted(beat)[len(beat) // 2],
                    further if number > 1 else None,
                ],
            )
        )
    most = A_FOLLOWER_AT_MOST_US
    claim = Claim(f"each of {FOLLOWERS} followers", further, most, unit="us an event")
    return Table(
        "chunks-followers",
        "stream events one by one, clients who hear the same call",
        ("events/s, all clients", "CPU us/event, all clients", "CPU us/event, each further one"),
        rows,
        [claim],
        company(worst(runs, "starved")),
    )
