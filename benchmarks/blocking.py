"""For how long a step of the event loop keeps all others waiting."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.frame import peers
from benchmarks.frame.contest import contest, middle, worst
from benchmarks.frame.drive import Figures, Load, Server, ask_all, turn
from benchmarks.frame.options import Options
from benchmarks.frame.questions import Kind
from benchmarks.frame.report import Claim, Table, company
from benchmarks.servers import ANSWER
from benchmarks.serving import free_port, running

DISK: Final = "hits on disk"
LOADS: Final = {
    DISK: Load(Kind.MANY, 4, 2, ("X-Cache-Tier", "l2_disk"), least=0),
    "hits in memory, parsed": Load(Kind.REORDERED, 4, 2),
    "misses": Load(Kind.UNIQUE, 4, 2, peers.MISS),
}
ALONE: Final = "the same work again and again"
AT_MOST_S: Final = 0.001
_WORK: Final = 5000  # numbers that are added up: a tenth of a millisecond, about
_WITHIN_S: Final = 10.0
_ENV: Final = {
    **peers.NO_LANE,
    "SIDECACHE_L1_MEMORY__MAX_BYTES": "16384",  # a handful of answers: the rest is on the disk
}


class Watched:
    """A proxy whose steps are timed."""

    def __init__(self, server: Server, file: Path) -> None:
        self.server = server
        self._file = file

    def turn(self, load: Load) -> Figures:
        """What came of one turn, and how long the steps took, in milliseconds."""
        self._told()
        came = turn(self.server, load)
        return came | figures(**self._told())

    def _told(self) -> dict[str, list[float]]:
        self._file.unlink(missing_ok=True)
        os.kill(self.server.process, signal.SIGUSR2)
        until = time.monotonic() + _WITHIN_S
        while not self._file.exists() and time.monotonic() < until:
            time.sleep(0.01)
        told: dict[str, list[float]] = json.loads(self._file.read_text())
        return told


def figures(cpu: list[float], clock: list[float]) -> Figures:
    """What came of steps that took so many seconds each."""
    cpu, clock = sorted(cpu), sorted(clock)
    late = len(cpu) * 999 // 1000
    return {
        "steps": len(cpu),
        "late_ms": cpu[late] * 1e3,
        "longest_ms": cpu[-1] * 1e3,
        "beyond": sum(used > AT_MOST_S for used in cpu) / len(cpu) * 1e4,
        "by_clock_ms": clock[late] * 1e3,
    }


def alone(seconds: float) -> Figures:
    """The same of work that is the same each time: what the machine adds to any step."""
    cpu, clock = list[float](), list[float]()
    began = time.perf_counter()
    until = began + seconds
    while began < until:
        began, used = time.perf_counter(), time.thread_time()
        sum(range(_WORK))
        cpu.append(time.thread_time() - used)
        clock.append(time.perf_counter() - began)
    return figures(cpu, clock)


@contextmanager
def _watched(upstream: str) -> Iterator[Watched]:
    port, admin = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "steps.json"
        words = ["-m", "benchmarks.watched", str(file), "serve", "--upstream", upstream]
        words += ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"]
        env = {**_ENV, "SIDECACHE_L2_DISK__DIRECTORY": folder}
        with running(words, 0, f"http://127.0.0.1:{admin}/readyz", env=env) as process:
            url = f"http://127.0.0.1:{port}"
            yield Watched(Server(peers.PRODUCT, url, process.pid, peers.HIT, ANSWER), file)


def measure(given: Options) -> Iterator[Table]:
    with ExitStack() as stack:
        upstream = stack.enter_context(peers.python("backend", "instant", core=-1)()).url
        watched = stack.enter_context(_watched(upstream))
        for _ in range(2):  # to have them, and to have them where they belong
            ask_all(watched.server, LOADS[DISK])
        runs = contest(
            {
                **{name: partial(watched.turn, load) for name, load in LOADS.items()},
                ALONE: partial(alone, LOADS[DISK].seconds),
            },
            given.rounds,
        )
    longest = middle(runs, DISK, "longest_ms")
    columns = ("steps", "late_ms", "longest_ms", "beyond", "by_clock_ms")
    yield Table(
        "blocking",
        "steps of the event loop (4 connections)",
        (
            "steps", "p99.9, CPU ms", "longest, CPU ms", f"of 10,000 above {AT_MOST_S * 1e3:g} ms",
            "p99.9 by the clock, ms",
        ),
        [(name, [middle(runs, name, figure) for figure in columns]) for name in runs],
        [Claim(f"{DISK}, the longest", longest, AT_MOST_S * 1e3, unit="ms")],
        [
            "on asyncio's own loop, which can be timed; the express lane is off",
            "garbage collections are part of the steps in which they come",
            f"{ALONE}: a tenth of a millisecond by itself; beyond that it is the machine's",
            *company(worst(runs, "starved")),
        ],
    )  # fmt: skip
