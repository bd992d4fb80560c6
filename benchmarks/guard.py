"""What the guard of the disk tier saves of a miss, and what it costs.

With and without it in turn, each pair right after the other; what counts is the ratio of a pair, as
the machine's own speed changes meanwhile. First the tier by itself, then the whole proxy before a
backend that has its answer ready: nothing makes a saving look larger. Where the processor is wanted
by others too, only the processor time says something: without the guard there is a second thread
that asks for its share.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from benchmarks.serving import Target, backend, load, sidecache
from benchmarks.tiers import WALL, sample
from proxy.model.entry import CacheKey
from proxy.tiers.bloom import Bloom
from proxy.tiers.codec import Codec
from proxy.tiers.l2_disk import L2Disk

HELD = 20_000  # entries in the file
LOOKS = 4_000
AT_ONCE = 32
FIGURES = (
    ("per_second", "answers a second", ""),
    ("p50_ms", "median time", "ms"),
    ("p99_ms", "99th percentile", "ms"),
    ("cpu_us", "processor time", "us"),
)


def unseen() -> list[CacheKey]:
    return [CacheKey("scope", random.randbytes(32)) for _ in range(LOOKS)]


def tier(folder: Path, *, guarded: bool) -> L2Disk:
    return L2Disk(
        folder / f"guarded-{guarded}",
        codec=Codec(),
        max_bytes=2**30,
        max_entry_bytes=2**20,
        clock=time.monotonic,
        wall=WALL,
        read_timeout_s=5.0,
        guarded=guarded,
    )


async def filled(disk: L2Disk) -> float:
    """Fill a tier; seconds until its guard has gone through all of it."""
    for number in range(HELD):
        await disk.put(sample(number, 500))
        if number % 1000 == 0:
            await disk.flush()
    await disk.close()
    (disk._file._directory / "guard").unlink(missing_ok=True)  # noqa: SLF001 # as after a crash
    await disk.start()
    began, keys = time.perf_counter(), unseen()
    while not disk.spared and (refill := disk._refill) is not None:  # noqa: SLF001 # as above
        refill.rules_out(keys[0].digest)
        await asyncio.sleep(0.001)
    return time.perf_counter() - began


async def looks(disk: L2Disk) -> tuple[float, float]:
    """Microseconds for a look for what is not there: one after the other, and 32 at once."""
    keys = unseen()
    began = time.perf_counter()
    for key in keys:
        await disk.get(key)
    alone = time.perf_counter() - began
    began = time.perf_counter()
    for at in range(0, LOOKS, AT_ONCE):
        await asyncio.gather(*(disk.get(key) for key in keys[at : at + AT_ONCE]))
    return alone / LOOKS * 1e6, (time.perf_counter() - began) / LOOKS * 1e6


async def written(disk: L2Disk, start: int) -> float:
    """Microseconds for an entry until it is written."""
    entries = [sample(start + number, 1500) for number in range(500)]
    began = time.perf_counter()
    for entry in entries:
        await disk.put(entry)
    await disk.flush()
    return (time.perf_counter() - began) / len(entries) * 1e6


def row(name: str, off: Sequence[float], on: Sequence[float], unit: str) -> None:
    """Medians, and the median of the ratios of pairs with its quartiles."""
    ratios = [after / before for before, after in zip(off, on, strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    print(
        f"  {name:<40}{median(off):10,.2f}{median(on):10,.2f} {unit:<4}"
        f"{middle:8.3f}  ({low:.3f} to {high:.3f})"
    )


async def tier_rows(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        off, on = tier(Path(name), guarded=False), tier(Path(name), guarded=True)
        for disk in (off, on):
            await disk.start()
            took = await filled(disk)
        print(f"\nthe tier, {HELD:,} entries, gone through in {took:.2f} s")
        print(f"  {'':<40}{'without':>10}{'with':>10}")
        figures: dict[tuple[str, bool], list[float]] = {}
        for turn in range(rounds):
            for guarded in (turn % 2 == 0, turn % 2 == 1):
                disk = on if guarded else off
                alone, at_once = await looks(disk)
                figures.setdefault(("look, one after the other", guarded), []).append(alone)
                figures.setdefault((f"look, {AT_ONCE} at once", guarded), []).append(at_once)
                put = await written(disk, HELD + 500 * turn)
                figures.setdefault(("put, until written", guarded), []).append(put)
        for what in dict.fromkeys(what for what, _ in figures):
            row(what, figures[what, False], figures[what, True], "us")
        for disk in (off, on):
            await disk.close()


@contextmanager
def guarded(upstream: str, on: str, seen_times: str) -> Iterator[Target]:
    os.environ["SIDECACHE_L2_DISK__GUARD"] = on
    os.environ["SIDECACHE_CACHE__ADMISSION__SEEN_TIMES"] = seen_times
    os.environ["SIDECACHE_LOG__REQUESTS"] = "false"
    with sidecache(upstream) as proxy:
        yield proxy


def proxy_rows(rounds: int, seconds: float) -> None:
    timed = ["--seconds", str(seconds), "--unique", "--expect", "x-cache: miss"]
    for seen_times, title in (("1", "all is stored"), ("2", "nothing is: admission.seen_times 2")):
        print(f"\nthe whole proxy, questions never asked before; {title}")
        print(f"  {'':<40}{'without':>10}{'with':>10}")
        with (
            backend() as up,
            guarded(up.url, "false", seen_times) as off,
            guarded(up.url, "true", seen_times) as on,
        ):
            for connections in (1, AT_ONCE):
                runs: dict[bool, list[dict[str, float]]] = {False: [], True: []}
                for turn in range(rounds):
                    for with_it in (turn % 2 == 0, turn % 2 == 1):
                        options = [*timed, "--connections", str(connections)]
                        runs[with_it].append(load(on if with_it else off, *options))
                for figure, name, unit in FIGURES:
                    row(
                        f"{name}, {connections} at once",
                        [run[figure] for run in runs[False]],
                        [run[figure] for run in runs[True]],
                        unit,
                    )


def filter_rows() -> None:
    capacity = 100_000
    kept = Bloom(capacity)
    for _ in range(capacity):
        kept.add(random.randbytes(32))
    keys = [random.randbytes(32) for _ in range(capacity)]
    began = time.perf_counter()
    taken = sum(map(kept.holds, keys))
    each = (time.perf_counter() - began) / capacity * 1e6
    print(f"\na filter of {capacity:,} digests: {len(kept.dump()):,} bytes; {each:.2f} us to ask;")
    print(f"  {taken / capacity:.2%} of what it does not hold are taken for what it does")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="guard", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.5)
    args = parser.parse_args(argv)
    filter_rows()
    asyncio.run(tier_rows(args.rounds))
    proxy_rows(args.rounds, args.seconds)
    return 0
