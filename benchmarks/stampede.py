"""A thousand who ask the same at once: how often the backend is asked, and how soon all hear."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import Final

import uvloop

from benchmarks.frame import peers
from benchmarks.frame.contest import contest, middle, worst
from benchmarks.frame.drive import Figures, Server
from benchmarks.frame.options import Options
from benchmarks.frame.questions import document, members
from benchmarks.frame.report import Claim, Table
from benchmarks.frame.stage import EVENT, Stage, question
from benchmarks.servers import ANSWER
from benchmarks.serving import cpu_seconds, family

NUMBER: Final = 1000
BEHIND_AT_MOST_MS: Final = 20
_NUMBERS: Final = count(1)


async def rush(stage: Stage, server: Server, *, stream: bool) -> Figures:
    """All ask at once; the backend begins when they wait."""
    number = next(_NUMBERS)
    body = question(number) if stream else document(members(), number)
    await stage.gather(server, [body] * NUMBER)
    for each in stage.listeners:
        each.ask()
    await stage.until(lambda: len(stage.calls) > 0)
    await stage.quiet(server)  # the last has been read, and waits
    process = family(server.process)
    used = cpu_seconds(*process)
    for call in stage.calls:
        if stream:
            call.begin()
            call.say(EVENT)
        else:
            call.document(ANSWER)
    await stage.until(lambda: stage.begun == NUMBER)
    used = cpu_seconds(*process) - used
    calls = len(stage.calls)
    began = sorted(each.began for each in stage.listeners)
    if stream:
        await stage.end()
    else:
        await stage.quiet(server)  # the last byte of the last body, too
        stage.check([ANSWER])
    return {
        "calls": calls,
        "cpu_us": used / NUMBER * 1e6,
        "p50_ms": (began[NUMBER // 2] - began[0]) * 1e3,
        "last_ms": (began[-1] - began[0]) * 1e3,
    }


def measure(given: Options) -> Iterator[Table]:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, ExitStack() as stack:
        stage = Stage()
        runner.run(stage.open())
        stack.callback(stage.close)
        server = stack.enter_context(peers.product(stage.url)())

        def rushed(*, stream: bool) -> Figures:
            return runner.run(rush(stage, server, stream=stream))

        rushed(stream=True)  # to warm up
        kinds = {"streams": True, "documents": False}
        runs = contest(
            {name: partial(rushed, stream=stream) for name, stream in kinds.items()},
            max(given.rounds, 3),
        )
    figures = ("calls", "p50_ms", "last_ms", "cpu_us")
    claims = [Claim("calls of the backend", worst(runs, "calls"), 1)]
    for name in runs:
        behind = middle(runs, name, "last_ms")
        claims.append(
            Claim(f"{name}: the last behind the first", behind, BEHIND_AT_MOST_MS, unit="ms")
        )
    yield Table(
        "stampede",
        f"{NUMBER:,} identical requests at once",
        ("backend calls", "behind the first, p50 ms", "the last, ms", "CPU us, each"),
        [(name, [middle(runs, name, figure) for figure in figures]) for name in runs],
        claims,
        [
            "first bytes as clients see them, who are one process on the other core",
            "processor time from the backend's answer to the last client's first byte",
        ],
    )
