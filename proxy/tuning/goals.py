"""Goals: which of the results are worth looking at, and which is the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from proxy.tuning.result import Result

_AS_GOOD: Final = 0.001  # of all requests: what is within it of the best is as good
_FACTOR: Final = 0.01  # the same for money and time: a hundredth


class Goal(StrEnum):
    """What is wanted most."""

    HIT_RATE = "hit-rate"
    COST = "cost"  # money, or tokens where there are no prices
    LATENCY = "latency"
    FRESHNESS = "freshness"


@dataclass(frozen=True, slots=True)
class Limits:
    """What must hold whatever the goal is; None: no limit."""

    memory_bytes: int | None = None
    age_s: float | None = None  # of any answer served
    wrong: float | None = None  # share of hits by meaning, at most; what is not known is too much
    hit_ratio: float | None = None  # at least
    calls: int | None = None

    def hold(self, result: Result) -> bool:
        """Whether ``result`` keeps to them."""
        tunes_meaning = result.choice.threshold is not None
        return (
            (self.memory_bytes is None or result.choice.memory_bytes <= self.memory_bytes)
            and (self.age_s is None or result.max_age_s <= self.age_s + 1e-3)
            and (self.hit_ratio is None or result.hit_ratio >= self.hit_ratio)
            and (self.calls is None or result.calls <= self.calls)
            and (
                self.wrong is None
                or not tunes_meaning
                or (result.wrong_high is not None and result.wrong_high <= self.wrong)
            )
        )


class Chosen(NamedTuple):
    """The best result, and those that no other beats in everything."""

    best: Result | None  # None: none is within the limits
    front: list[Result]


def choose(results: Sequence[Result], goal: Goal, limits: Limits) -> Chosen:
    """The best of ``results`` for ``goal`` within ``limits``.

    Of those that are about as good the one with the least memory, then the fewest calls, then the
    freshest answers, then the first is taken: what is gained by more must be worth having.
    """
    allowed = [result for result in results if limits.hold(result)]
    if not allowed:
        return Chosen(None, [])
    cost = _COSTS[goal]
    least = min(map(cost, allowed))
    room = _AS_GOOD if goal is Goal.HIT_RATE else abs(least) * _FACTOR
    best = min((each for each in allowed if cost(each) <= least + room), key=_modesty)
    return Chosen(best, front(allowed))


def front(results: Sequence[Result]) -> list[Result]:
    """Those that no other is at least as good as in all that counts, the most hits first."""
    told = [(_merits(result), result) for result in results]
    kept = [
        result
        for merits, result in told
        if not any(other != merits and _beats(other, merits) for other, _ in told)
    ]
    first: dict[tuple[float, ...], Result] = {}
    for result in kept:
        first.setdefault(_merits(result), result)
    return sorted(first.values(), key=lambda result: (-result.hit_ratio, _modesty(result)))


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))


def _merits(result: Result) -> tuple[float, ...]:
    """What counts, less being better; differences that nobody would notice are none."""
    return (
        round(1.0 - result.hit_ratio, 3),
        result.choice.memory_bytes,
        _rounded(result.calls),
        _rounded(result.mean_age_s),
        _rounded(result.mean_wait_s),
        round(result.wrong or 0.0, 4),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def _modesty(result: Result) -> tuple[float, ...]:
    return (result.choice.memory_bytes, result.calls, result.mean_age_s)


def _cost(result: Result) -> float:
    return result.spent or float(result.spent_read + result.spent_written) or float(result.calls)


_COSTS: Final[dict[Goal, Callable[[Result], float]]] = {
    Goal.HIT_RATE: lambda result: 1.0 - result.hit_ratio,
    Goal.COST: _cost,
    Goal.LATENCY: lambda result: result.mean_wait_s,
    Goal.FRESHNESS: lambda result: result.mean_age_s,
}
