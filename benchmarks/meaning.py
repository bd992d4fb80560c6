"""What looking for meaning costs: a hit that needs none of it, and a miss that looks in vain.

With and without it in turn, each pair right after the other; what counts is the ratio of a pair for
hits, and the difference for misses, beside what the model alone takes for the same question. The
model is a folder that ``sidecache model export`` has made, or pieces of words if none is given. The
questions of misses differ by a number, so that each has neighbours, which are fetched and refused:
the longest way that a miss can take.
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
            _until_ready(proxy)
        yield proxy


def _until_ready(proxy: Target, within_s: float = 60.0) -> None:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with urlopen(f"{proxy.admin}/semantic", timeout=5) as reply:
            if json.load(reply)["ready"]:
                return
        time.sleep(0.1)
    raise RuntimeError("the model was not ready in time")


async def alone(folder: str | None, looks: int = 200) -> float:
    """Milliseconds for the vector of one question, by the median."""
    embedder: Embedder
    if folder is None:
        from proxy.semantic.embedders.ngram import NgramEmbedder

        embedder = NgramEmbedder()
    else:
        from proxy.semantic.embedders.onnx import OnnxEmbedder

        embedder = OnnxEmbedder(Path(folder))
    await embedder.start()
    took = []
    for number in range(looks):
        began = time.perf_counter()
        await embedder.embed([_QUESTION.format(number)])
        took.append(time.perf_counter() - began)
    await embedder.close()
    return median(took) * 1e3


def rows(off: Target, on: Target, rounds: int, *options: str) -> None:
    runs: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for turn in range(rounds):
        for with_it in (turn % 2 == 0, turn % 2 == 1):
            runs[with_it].append(load(on if with_it else off, *options))
    for figure, name, unit in FIGURES:
        row(name, [run[figure] for run in runs[False]], [run[figure] for run in runs[True]], unit)
    for figure in ("p50_ms", "p99_ms"):
        pairs = zip(runs[False], runs[True], strict=True)
        added = median(after[figure] - before[figure] for before, after in pairs)
        print(f"  added, {figure.removesuffix('_ms'):<33}{added:20.2f} ms")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="meaning", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--onnx", metavar="FOLDER", help="a model; without, pieces of words")
    args = parser.parse_args(argv)
    timed = ["--seconds", str(args.seconds)]
    print(f"\nthe vector of one question alone: {asyncio.run(alone(args.onnx)):.2f} ms")
    with (
        backend() as up,
        proxied(up.url, args.onnx, on=False) as off,
        proxied(up.url, args.onnx, on=True) as on,
    ):
        print(f"\n{'exact hits, 32 at once':<42}{'without':>10}{'with':>10}")
        rows(off, on, args.rounds, *timed, "--connections", "32", "--expect", "x-cache: hit")
        print(f"\n{'misses, one at a time':<42}{'without':>10}{'with':>10}")
        unseen = ["--unique", "--expect", "x-cache: miss"]
        rows(off, on, args.rounds, *timed, "--connections", "1", *unseen)
    return 0
