"""What clients that take their time cost the others: 2,000 endless heads and 500 dripping bodies.

The same load is measured without them and with them, in pairs; what counts is the median of the
ratios. They must all have been cut off in time, and nothing of them may be left.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.serving import Target, backend, load, pinned, sidecache

P99_AT_MOST: Final = 1.10  # times that without them
DEADLINE_S: Final = 10.0  # of a head, and of a body that comes slower than its least rate
_SLACK_S: Final = 1.5  # to connect all of them, and to be told of the end
_SETTLES_S: Final = 10.0


def descriptors(process: int) -> int:
    """How many a process has open."""
    return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())


@contextmanager
def crowd(target: Target, heads: int, bodies: int) -> Iterator[dict[str, float]]:
    """A crowd of slow clients; what became of them is known when the block is left."""
    command = [*pinned(-1), sys.executable, "-m", "benchmarks.crowd", target.url]
    command += ["--heads", str(heads), "--bodies", str(bodies)]
    fate: dict[str, float] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if "ready" not in process.stdout.readline():
            raise RuntimeError("the crowd did not come")
        yield fate
        fate |= json.loads(process.stdout.readline())


def settled(process: int, before: int) -> bool:
    """Whether no more descriptors are open than ``before``, within a while."""
    until = time.monotonic() + _SETTLES_S
    while descriptors(process) > before and time.monotonic() < until:
        time.sleep(0.1)
    return descriptors(process) <= before


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="slow")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--heads", type=int, default=2000)
    parser.add_argument("--bodies", type=int, default=500)
    args = parser.parse_args(argv)
    if not Path("/proc/self/fd").exists():
        print("needs /proc to count descriptors")
        return 0
    options = ["--seconds", str(args.seconds), "--connections", str(args.connections)]
    options += ["--expect", "x-cache: hit"]
    ratios, without, with_them = list[float](), list[float](), list[float]()
    worst = {"heads_s": 0.0, "bodies_s": 0.0}
    left = 0.0
    os.environ["SIDECACHE_LOG__REQUESTS"] = "false"
    with backend() as upstream, sidecache(upstream.url) as proxy:
        load(proxy, *options)
        before = descriptors(proxy.process)
        for _ in range(args.rounds):
            alone = load(proxy, *options)["p99_ms"]
            with crowd(proxy, args.heads, args.bodies) as fate:
                beside = load(proxy, *options)["p99_ms"]
            without.append(alone)
            with_them.append(beside)
            ratios.append(beside / alone)
            worst = {kind: max(worst[kind], fate[kind]) for kind in worst}
            left = max(left, fate["left"])
        clean = settled(proxy.process, before)
    print(
        f"p99 of hits: {median(without):.2f} ms without, {median(with_them):.2f} ms with "
        f"{args.heads} endless heads and {args.bodies} dripping bodies; "
        f"ratio {median(ratios):.2f} (at most {P99_AT_MOST})"
    )
    limit = DEADLINE_S + _SLACK_S
    print(
        f"cut off after at most {worst['heads_s']:.1f} s (heads) and {worst['bodies_s']:.1f} s "
        f"(bodies), of {limit:.1f} s; {left:.0f} were not"
    )
    print(f"descriptors are back where they were: {'yes' if clean else 'no'}")
    late = max(worst.values()) > limit
    return int(median(ratios) > P99_AT_MOST or late or left > 0 or not clean)
