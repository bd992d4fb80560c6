"""Histograms: how often values fell between fixed bounds, and what can be told of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final


def _fine() -> tuple[float, ...]:
    """Ten bounds a decade (Renard's R10) from a microsecond on, and fewer beyond 25 seconds."""
    steps = (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)
    fine = [float(f"{step}e{power}") for power in range(-6, 2) for step in steps]
    return (*fine[: fine.index(25.0) + 1], 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 120.0)


SECONDS: Final = _fine()
"""What durations are counted in: quantiles are off by a tenth of a decade at most."""

COARSE: Final = (
    1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    20.0, 30.0, 60.0, 120.0,
)  # fmt: skip
"""Those of them that are worth a time series each: a hit takes 100 us, an answer a minute."""

_SORTED: Final = 8  # values; fewer are quicker found one by one


@dataclass(slots=True, eq=False)
class Histogram:
    """Counts of values, whose number, sum and largest are kept besides.

    Args:
        bounds: rising; a value equal to a bound is counted below it.
        counts: one more than there are bounds: the last is of what is beyond them all.
    """

    bounds: Sequence[float] = SECONDS
    counts: list[int] = field(default_factory=list)
    sum: float = 0.0
    largest: float = 0.0

    def __post_init__(self) -> None:
        if not self.counts:
            self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count ``value``."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value
        self.largest = max(self.largest, value)

    def add_all(self, values: Iterable[float]) -> None:
        """Count many; for some hundred at once in less than half the time."""
        rising = sorted(values)
        if len(rising) < _SORTED:
            for value in rising:
                self.add(value)
            return
        bounds, counts, at = self.bounds, self.counts, 0
        while at < len(rising):
            place = bisect_left(bounds, rising[at])
            until = bisect_right(rising, bounds[place], at) if place < len(bounds) else len(rising)
            counts[place] += until - at
            at = until
        self.sum += sum(rising)
        self.largest = max(self.largest, rising[-1])

    def include(self, other: Histogram) -> None:
        """Count all that ``other`` has counted, which has the same bounds."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum
        self.largest = max(self.largest, other.largest)

    @property
    def count(self) -> int:
        """How many values."""
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """None if there are no values."""
        count = self.count
        return self.sum / count if count else None

    def quantile(self, share: float) -> float | None:
        """The value below which ``share`` of all are, about; None if there are none."""
        return quantile(self.bounds, self.counts, share, self.largest)

    def below(self, bounds: Sequence[float]) -> list[int]:
        """How many values are not above each of ``bounds``, which are bounds of its own."""
        running = list(accumulate(self.counts))
        return [running[bisect_left(self.bounds, bound)] for bound in bounds]


def quantile(
    bounds: Sequence[float], counts: Sequence[int], share: float, largest: float
) -> float | None:
    """The value below which ``share`` of the counted are, as if they lay evenly between bounds.

    Args:
        counts: one more than there are ``bounds``.
        largest: no quantile is above it.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, passed = share * total, 0
    for place, count in enumerate(counts):
        if count and passed + count >= wanted:
            low = bounds[place - 1] if place else 0.0
            high = min(bounds[place] if place < len(bounds) else largest, largest)
            return low + max(0.0, high - low) * (wanted - passed) / count
        passed += count
    return largest
