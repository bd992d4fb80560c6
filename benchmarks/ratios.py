"""How often the memory tier hits, beside LRU, W-TinyLFU and the optimum; ``eviction`` has more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from benchmarks.eviction import (
    KEYS,
    MEAN_BYTES,
    Belady,
    Lru,
    Policy,
    Product,
    TinyLfu,
    equal,
    traces,
)
from benchmarks.frame.options import Options
from benchmarks.frame.report import Table

LENGTH: Final = 50_000
SEED: Final = 1
ENTRIES: Final = 1_000  # that the budget holds
TRACES: Final = ("zipf 0.7", "zipf 0.9", "zipf 1.1", "half one-offs", "scans", "shifting")


def measure(_given: Options) -> Iterator[Table]:
    """The same wherever this runs: seeds are fixed, and nothing is timed."""
    columns: list[str] = []
    rows = []
    for name, trace in traces(LENGTH, SEED):
        if name not in TRACES:
            continue
        policies: dict[str, Callable[[int], Policy]] = {
            "LRU, %": Lru,
            "W-TinyLFU, %": TinyLfu,
            "Sidecache, %": Product,
            "optimum, %": partial(Belady, trace=trace),
        }
        columns = list(policies)
        found = []
        for build in policies.values():
            use = build(ENTRIES * MEAN_BYTES).use
            found.append(100 * sum(use(key, equal(key)) for key in trace) / LENGTH)
        rows.append((name, found))
    yield Table(
        "ratios",
        f"hits of {LENGTH:,} requests for {KEYS:,} questions, room for {ENTRIES:,} answers",
        columns,
        rows,
        notes=[
            "zipf: by popularity, with that exponent; shifting: some of it changes at times",
            "half one-offs, scans: half are asked once, singly or 2,000 on end",
            "the optimum knows the future",
        ],
    )
