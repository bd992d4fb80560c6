"""What looking for meaning costs: a hit that needs none of it, and a miss that looks in vain.

With and without it in turn, each pair right after the other; what counts is the ratio of a pair for
hits, and the difference for misses, beside what the model alone takes for the same question. Hits
take turns of milliseconds (``turns``), so that a hundredth can be told from noise: two proxies that
are alike are compared the same way, to see how much of it is noise. The model is a folder that
``sidecache model export`` has made, or pieces of words if none is given. The questions of misses
differ by a number, so that each has neighbours, which are fetched and refused: the longest way that
a miss can take.

On a busy machine a wait says little, so of misses there is the processor time too: all of it, and
that of the loop alone, which is what others wait for. The model's is measured in between, as often.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.request import urlopen

from benchmarks.guard import FIGURES, row
from benchmarks.serving import Target, backend, load, sidecache
from benchmarks.turns import Cost, in_turns, ratio
from proxy.semantic.base import Embedder

_QUESTION = "Question {0:09}: what is the capital of France?"  # as the load asks
_PREFIX = "SIDECACHE_SEMANTIC__"


@contextmanager
def proxied(upstream: str, folder: str | None, *, on: bool) -> Iterator[Target]:
    """A proxy that looks for meaning, or does not; ready to."""
    settings = {f"{_PREFIX}ENABLED": str(on).lower(), "SIDECACHE_LOG__REQUESTS": "false"}
    if folder is None:
        settings[f"{_PREFIX}EMBEDDER__KIND"] = "ngram"
    else:
        settings |= {f"{_PREFIX}EMBEDDER__KIND": "onnx", f"{_PREFIX}EMBEDDER__PATH": folder}
    os.environ |= settings
    with sidecache(upstream) as proxy:
        if on:
            until_ready(proxy)
        yield proxy


def until_ready(proxy: Target, within_s: float = 60.0) -> None:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with urlopen(f"{proxy.admin}/semantic", timeout=5) as reply:
            if json.load(reply)["ready"]:
                return
        time.sleep(0.1)
    raise RuntimeError("the model was not ready in time")


class Alone:
    """The model by itself, in this process."""

    def __init__(self, folder: str | None) -> None:
        self._embedder: Embedder
        if folder is None:
            from proxy.semantic.embedders.ngram import NgramEmbedder

            self._embedder = NgramEmbedder()
        else:
            from proxy.semantic.embedders.onnx import OnnxEmbedder

            self._embedder = OnnxEmbedder(Path(folder))
        self._asked = 0
        self.took_ms: list[float] = []
        self.worked_ms: list[float] = []

    async def embed(self, looks: int = 50) -> None:
        """Embed so many questions; note the medians of the time and of the processor time."""
        await self._embedder.start()
        took, worked = [], []
        for _ in range(looks):
            self._asked += 1
            began, used = time.perf_counter(), time.process_time()
            await self._embedder.embed([_QUESTION.format(self._asked)])
            worked.append(time.process_time() - used)
            took.append(time.perf_counter() - began)
        self.took_ms.append(median(took) * 1e3)
        self.worked_ms.append(median(worked) * 1e3)


def _loop_seconds(target: Target) -> float:
    """Processor time that the thread of the loop has had so far."""
    told = Path(f"/proc/{target.process}/task/{target.process}/schedstat")
    return int(told.read_text().split()[0]) / 1e9


def miss_rows(off: Target, on: Target, alone: Alone, rounds: int, *options: str) -> None:
    """Misses, one at a time."""
    runs: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    with asyncio.Runner() as runner:
        for turn in range(rounds):
            for with_it in (turn % 2 == 0, turn % 2 == 1):
                target = on if with_it else off
                before = _loop_seconds(target)
                run = load(target, *options)
                run["loop_us"] = (_loop_seconds(target) - before) / run["sent"] * 1e6
                runs[with_it].append(run)
            runner.run(alone.embed())
    loop = ("loop_us", "processor time of the loop", "us")
    for figure, name, unit in (*FIGURES, loop):
        row(name, [run[figure] for run in runs[False]], [run[figure] for run in runs[True]], unit)
    pairs = list(zip(runs[False], runs[True], strict=True))
    added = {
        figure: median(after[figure] - before[figure] for before, after in pairs)
        for figure in ("p50_ms", "p99_ms", "cpu_us", "loop_us")
    }
    took, worked = median(alone.took_ms), median(alone.worked_ms)
    beside = median(
        after["p50_ms"] - before["p50_ms"] - model
        for (before, after), model in zip(pairs, alone.took_ms, strict=True)
    )
    for name, figure in (
        ("the vector alone, p50", took),
        ("the vector alone, processor time", worked),
        ("added, p50", added["p50_ms"]),
        ("added, p99", added["p99_ms"]),
        ("added beside the vector, p50", beside),
        ("added, processor time", added["cpu_us"] / 1e3),
        ("added beside the vector, processor time", added["cpu_us"] / 1e3 - worked),
        ("added, processor time of the loop", added["loop_us"] / 1e3),
    ):
        print(f"  {name:<40}{figure:20.2f} ms")


def hit_rows(title: str, one: Target, other: Target, seconds: float) -> None:
    """Exact hits, in turns."""
    pairs = in_turns(one, other, seconds)
    for at, name in enumerate(Cost._fields):
        figures = [(before[at], after[at]) for before, after in pairs]
        middle, low, high = ratio(figures)
        print(
            f"  {f'{title}, {name}':<40}{median(before for before, _ in figures):10,.2f}"
            f"{median(after for _, after in figures):10,.2f}     {middle:8.3f}"
            f"  ({low:.3f} to {high:.3f}, 95 %; {len(pairs)} pairs)"
        )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="meaning", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--onnx", metavar="FOLDER", help="a model; without, pieces of words")
    args = parser.parse_args(argv)
    timed = ["--seconds", str(args.seconds)]
    alone = Alone(args.onnx)
    with (
        backend() as up,
        proxied(up.url, args.onnx, on=False) as off,
        proxied(up.url, args.onnx, on=False) as same,
        proxied(up.url, args.onnx, on=True) as on,
    ):
        print(f"\n{'exact hits, in turns':<42}{'without':>10}{'with':>10}")
        hit_rows("nothing changed", off, same, args.seconds * args.rounds)
        hit_rows("with it", off, on, args.seconds * args.rounds)
        print(f"\n{'misses, one at a time':<42}{'without':>10}{'with':>10}")
        unseen = ["--unique", "--expect", "x-cache: miss"]
        miss_rows(off, on, alone, args.rounds, *timed, "--connections", "1", *unseen)
    return 0
