"""How fast the local index of vectors is, what it finds, and what it takes.

The vectors are made up, with a fixed seed: clusters of about 50 around centres that point anywhere,
at cosines from 0.5 to 0.95 to their centre. What is asked is a stored vector with noise, at a
cosine of 0.9 to it, or a vector that has no near one. What is right is told by comparing all with
all in 32 bits. ``--rows 1000000`` is what the targets speak of; by default there are fewer, so that
it takes a minute only. Where the processor is wanted by others too, only the processor time says
something; it is that of all threads.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, quantiles
from typing import TYPE_CHECKING

from benchmarks.tiers import WALL
from proxy.model.entry import CacheKey
from proxy.semantic.base import Neighbour, Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from proxy.semantic.index.local import LocalIndex
    from proxy.semantic.index.precision import Dtype

    Matrix = NDArray[np.float32]

DIMENSIONS = 384
CHUNK = 8_192
ASKED = 500  # of each kind
NEAR = 0.9
BATCH = 64  # rows added in one call
STEADY_PER_S = 5_000
STEADY_ROWS = 3 * CHUNK
HERE = b"one namespace 16"
EXPIRES = 1e11  # seconds since 1970
SEED = 20_260_101


class Data:
    """Vectors, made again whenever they are gone through, so that they need not be kept."""

    def __init__(self, rows: int) -> None:
        import numpy as np

        self.rows = rows
        self._centres = _unit(_normal(np.random.default_rng(SEED), max(1, rows // 50)))

    def chunks(self) -> Iterator[tuple[int, Matrix]]:
        """The number of the first of some vectors, and them."""
        import numpy as np

        for start in range(0, self.rows, CHUNK):
            dice = np.random.default_rng([SEED, start])
            count = min(CHUNK, self.rows - start)
            centres = self._centres[dice.integers(0, len(self._centres), count)]
            close = dice.uniform(0.5, 0.95, count).astype(np.float32)[:, None]
            yield (
                start,
                _unit(close * centres + np.sqrt(1 - close**2) * _unit(_normal(dice, count))),
            )

    def asked(self) -> tuple[Matrix, Matrix]:
        """Vectors near to one that is stored, and vectors near to none."""
        import numpy as np

        dice = np.random.default_rng(SEED + 1)
        picked = np.sort(dice.choice(self.rows, ASKED, replace=False))
        near = np.concatenate(
            [
                chunk[picked[(picked >= start) & (picked < start + len(chunk))] - start]
                for start, chunk in self.chunks()
            ]
        )
        noise = _normal(dice, ASKED)
        noise = _unit(noise - (noise * near).sum(axis=1, keepdims=True) * near)
        order = dice.permutation(ASKED)
        return (NEAR * near + np.sqrt(1 - NEAR**2) * noise)[order], _unit(_normal(dice, ASKED))

    def nearest(self, *asked: tuple[Matrix, int]) -> list[tuple[NDArray[np.intp], Matrix]]:
        """For each matrix of vectors asked for: the nearest to each, and the cosine.

        The number with each matrix: of so many rows at the beginning it is none.
        """
        import numpy as np

        told = [
            (np.zeros(len(some), np.intp), np.full(len(some), -2, np.float32)) for some, _ in asked
        ]
        for start, chunk in self.chunks():
            for (some, without), (best, scores) in zip(asked, told, strict=True):
                cosines = some @ chunk.T
                cosines[:, : max(0, without - start)] = -2
                at = cosines.argmax(axis=1)
                found = cosines[np.arange(len(some)), at]
                better = found > scores
                best[better], scores[better] = at[better] + start, found[better]
        return told


def _normal(dice: np.random.Generator, count: int) -> Matrix:
    import numpy as np

    return dice.standard_normal((count, DIMENSIONS), dtype=np.float32)


def _unit(matrix: Matrix) -> Matrix:
    import numpy as np

    made: Matrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return made


def made(folder: Path | None, rows: int, dtype: Dtype, *, exact: bool = False) -> LocalIndex:
    from proxy.semantic.index.local import LocalIndex

    exact_up_to = rows if exact else min(20_000, rows // 5)
    return LocalIndex(
        folder, max_rows=rows, wall=WALL, dtype=dtype, exact_up_to=exact_up_to, patience_s=600.0
    )


def key(number: int) -> CacheKey:
    """Of the row of this number; digests are spread like those of real keys."""
    import hashlib

    return CacheKey("scope", number.to_bytes(8) + hashlib.blake2b(number.to_bytes(8)).digest()[:24])


def number_of(found: Neighbour) -> int:
    return int.from_bytes(found.key.digest[:8])


def memory() -> tuple[float, float]:
    """Megabytes of this process: its own, and pages of files."""
    gc.collect()
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, files = (int(lines[name].split()[0]) / 1000 for name in ("RssAnon", "RssFile"))
    return own, files


async def filled(index: LocalIndex, data: Data) -> float:
    """Add all; seconds that took, without the making of the data."""
    took = 0.0
    for start, chunk in data.chunks():
        rows = [Row(HERE, key(start + at), row, EXPIRES) for at, row in enumerate(chunk)]
        began = time.perf_counter()
        for at in range(0, len(rows), BATCH):
            await index.add(rows[at : at + BATCH])
        took += time.perf_counter() - began
    return took


async def searched(
    index: LocalIndex, asked: Matrix
) -> tuple[dict[str, float], list[Neighbour | None]]:
    """Milliseconds of a search for three neighbours, and the nearest of each."""
    times: list[float] = []
    nearest: list[Neighbour | None] = []
    used = time.process_time()
    for vector in asked:
        began = time.perf_counter()
        found = await index.search(HERE, vector, 3)
        times.append((time.perf_counter() - began) * 1e3)
        nearest.append(found[0] if found else None)
    used = (time.process_time() - used) * 1e3 / len(asked)
    cuts = quantiles(times, n=100)
    return {"p50": round(cuts[49], 3), "p99": round(cuts[98], 3), "cpu": round(used, 3)}, nearest


def recall(found: list[Neighbour | None], best: NDArray[np.intp]) -> float:
    return mean(
        each is not None and number_of(each) == right
        for each, right in zip(found, best.tolist(), strict=True)
    )


async def dtype_rows(rows: int) -> dict[str, object]:
    """What each way to keep vectors costs by itself: all are compared."""
    data, table = Data(rows), {}
    near, far = data.asked()
    (best, scores), (far_best, _) = data.nearest((near, 0), (far, 0))
    print(f"\nwhat vectors are kept as; {rows:,} rows, compared one by one")
    print(f"  {'':<6}{'processor':>10}{'recall@1':>10}{'no near':>10}{'off by':>16}{'at most':>12}")
    dtypes: tuple[Dtype, ...] = ("f32", "f16", "i8")
    for dtype in dtypes:
        index = made(None, rows, dtype, exact=True)
        await index.open("model", DIMENSIONS)
        await filled(index, data)
        times, found = await searched(index, near)
        _, far_found = await searched(index, far)
        off = [
            abs(each.score - float(right))
            for each, right in zip(found, scores, strict=True)
            if each is not None
        ]
        await index.close()
        figures = {
            **times,
            "recall_at_1": recall(found, best),
            "recall_at_1_no_near": recall(far_found, far_best),
            "score_off_mean": mean(off),
            "score_off_max": max(off),
        }
        table[dtype] = figures
        print(
            f"  {dtype:<6}{figures['cpu']:7.2f} ms{figures['recall_at_1']:10.3f}"
            f"{figures['recall_at_1_no_near']:10.3f}{mean(off):16.2e}{max(off):12.2e}"
        )
    return table


async def large_rows(rows: int, dtype: Dtype) -> dict[str, object]:  # noqa: PLR0915 # one story
    """One large namespace, from empty to a restart."""
    data = Data(rows)
    near, far = data.asked()
    deleted = rows // 10
    (best, _), (far_best, far_scores), (left_best, _) = data.nearest(
        (near, 0), (far, 0), (near, deleted)
    )
    figures: dict[str, object] = {"rows": rows, "dtype": dtype}

    def tell(name: str, value: object, target: str = "") -> None:
        figures[name] = value
        print(f"  {name:<44}{value!s:>34}   {target}")

    print(f"\none namespace of {rows:,} rows in {dtype}, with a folder")
    with tempfile.TemporaryDirectory() as name:
        index = made(Path(name), rows, dtype)
        await index.open("model", DIMENSIONS)
        own, _ = memory()
        used = time.process_time()
        took = await filled(index, data)
        tell("accepted_per_s", round(rows / took), "5,000")
        began, meanwhile = time.perf_counter(), list[dict[str, float]]()
        building = asyncio.ensure_future(index.settled())  # noqa: TID251 # awaited below
        while not building.done():
            meanwhile.append((await searched(index, near[:5]))[0])
            await asyncio.wait((building,), timeout=5.0)  # searches are not to slow it down
        await building
        halves = [each["p50"] for each in meanwhile]
        tell("search_while_built_p50_ms", {"from": max(halves), "to": halves[-1]})
        used = time.process_time() - used
        tell("in_lists_after_last_s", round(time.perf_counter() - began, 1))
        tell("in_lists_per_s", round(rows / (took + time.perf_counter() - began)), "5,000")
        tell("in_lists_per_s_of_processor", round(rows / used), "making of data included")
        await index.flush()
        now, files = memory()
        tell("memory_mb", round(now - own), "1,000 at 1,000,000 rows in i8")
        tell("memory_pages_of_files_mb", round(files), "the system takes these back")
        times, found = await searched(index, near)
        tell("search", times, "1 ms at 1,000,000 rows")
        tell("recall_at_1", recall(found, best), "0.99")
        times, found = await searched(index, far)
        tell("search_no_near", times)
        tell("recall_at_1_no_near", recall(found, far_best), f"best cosine {far_scores.mean():.2f}")
        for told, value in (await steady(index, data, near)).items():
            tell(told, value, "1 ms while 5,000 rows a second come" if "search" in told else "")
        began = time.perf_counter()
        for at in range(0, deleted, BATCH):
            await index.remove(HERE, [key(each) for each in range(at, min(at + BATCH, deleted))])
        tell("deleted", deleted)
        tell("deleted_per_s", round(deleted / (time.perf_counter() - began)))
        await index.settled()
        times, found = await searched(index, near)
        tell("search_after_deletes", times, "as before")
        tell("recall_at_1_after_deletes", recall(found, left_best), "0.99")
        began = time.perf_counter()
        await index.close()
        tell("closed_after_s", round(time.perf_counter() - began, 2))
        again = made(Path(name), rows, dtype)
        began = time.perf_counter()
        await again.open("model", DIMENSIONS)
        tell("opened_after_s", round(time.perf_counter() - began, 2))
        await again.settled()
        tell("read_after_s", round(time.perf_counter() - began, 2), "seconds")
        times, found = await searched(again, near)
        tell("search_after_restart", times)
        tell("recall_at_1_after_restart", recall(found, left_best), "0.99")
        await again.close()
    return figures


async def steady(index: LocalIndex, data: Data, near: Matrix) -> dict[str, object]:
    """Add some rows once more, at a steady rate, and search meanwhile."""
    some = [
        Row(HERE, key(start + at), row, EXPIRES)
        for (start, chunk), _ in zip(data.chunks(), range(STEADY_ROWS // CHUNK), strict=False)
        for at, row in enumerate(chunk)
    ]
    used, began = time.process_time(), time.perf_counter()

    async def add() -> None:
        for at in range(0, len(some), BATCH):
            await asyncio.sleep(began + at / STEADY_PER_S - time.perf_counter())
            await index.add(some[at : at + BATCH])

    adding = asyncio.ensure_future(add())  # noqa: TID251 # awaited below
    times: list[float] = []
    while not adding.done():
        for vector in near[:20]:
            asked = time.perf_counter()
            await index.search(HERE, vector, 3)
            times.append((time.perf_counter() - asked) * 1e3)
        await asyncio.wait((adding,), timeout=0.1)
    await adding
    added = time.perf_counter()
    await index.settled()
    took = time.perf_counter()
    cuts = quantiles(times, n=100)
    return {
        "steady_rows_per_s": round(len(some) / (added - began)),
        "steady_in_lists_after_last_s": round(took - added, 2),
        "steady_processor_share": round((time.process_time() - used) / (took - began), 2),
        "steady_search": {"p50": round(cuts[49], 3), "p99": round(cuts[98], 3)},
    }


async def tiny_rows(count: int, dtype: Dtype) -> dict[str, object]:
    """Many namespaces of one row each."""
    import numpy as np

    vectors = _unit(_normal(np.random.default_rng(SEED), 256))
    index = made(None, count, dtype)
    await index.open("model", DIMENSIONS)
    own, _ = memory()
    for number in range(count):
        namespace, scope = key(number).digest[:16], f"scope {number}"
        row = Row(namespace, CacheKey(scope, key(number).digest), vectors[number % 256], EXPIRES)
        await index.add([row])
    each = (memory()[0] - own) * 1e6 / count
    began = time.process_time()
    for number in range(0, count, max(1, count // 1000)):
        await index.search(key(number).digest[:16], vectors[0], 3)
    search_us = (time.process_time() - began) / 1000 * 1e6
    await index.close()
    figures = {"namespaces": count, "bytes_each": round(each), "search_cpu_us": round(search_us)}
    print(f"\n{count:,} namespaces of one row, each with a scope of its own, in {dtype}")
    print(f"  {each:,.0f} bytes each; a search takes {search_us:.0f} us of the processor")
    return figures


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="index", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dtype", choices=("f32", "f16", "i8"), default="i8")
    parser.add_argument("--only", choices=("dtypes", "large", "tiny"))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON at last")
    args = parser.parse_args(argv)
    parts = {
        "dtypes": lambda: dtype_rows(min(20_000, args.rows)),
        "large": lambda: large_rows(args.rows, args.dtype),
        "tiny": lambda: tiny_rows(100_000, args.dtype),
    }
    figures = {
        name: asyncio.run(part()) for name, part in parts.items() if args.only in {None, name}
    }
    if args.json:
        print(json.dumps(figures))
    return 0
