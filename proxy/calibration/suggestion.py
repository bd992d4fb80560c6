"""Which threshold a labelled file suggests, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from proxy.semantic.budget.calibration import Point, Scored, at, curve, measured, proven
from proxy.semantic.budget.wilson import wilson

LOWEST: Final = 0.75  # below, questions have little more in common than what they are about
_STEPS: Final = tuple(step / 100 for step in range(70, 100))
_DIGITS: Final = 10_000  # a threshold is suggested with four decimals


class Suggestion(NamedTuple):
    """What comes of a labelled file."""

    threshold: float | None  # the suggested one; None: no threshold keeps to the error budget
    proven: bool  # whether the file proves it; else it was so, and may have been chance
    expected: Point | None  # what the threshold would have come to
    missing: int  # further hits, none of them wrong, that would prove it; 0: none are needed
    points: tuple[Point, ...]  # the whole curve, the highest threshold first
    questions: int


def suggest(
    scored: Sequence[Scored], questions: int, delta: float, least: float = LOWEST
) -> Suggestion:
    """The lowest threshold that keeps to an error budget.

    Args:
        scored: what would be served but for its similarity.
        questions: how many there were.
        delta: wrong answers per hit, above 0 and below 1.
        least: the lowest threshold to suggest.
    """
    points = curve(scored, questions)
    usable = [point for point in points if point.threshold >= least]
    best = proven(usable, delta)
    sure = best is not None
    if best is None:
        best = measured(usable, delta)
    if best is None:
        return Suggestion(None, False, None, 0, points, questions)  # noqa: FBT003 - named there
    return Suggestion(
        threshold=_rounded(best.threshold),
        proven=sure,
        expected=best,
        missing=0 if sure else hits_missing(best, delta),
        points=points,
        questions=questions,
    )


def hits_missing(point: Point, delta: float) -> int:
    """How many further hits, none of them wrong, would prove that ``point`` keeps to ``delta``."""
    wrong = round(point.wrong_per_hit * point.hits)
    low, high = point.hits, max(1, point.hits)
    while not _proves(wrong, high, delta):
        low, high = high, 2 * high
    while high - low > 1:  # `low` proves nothing, `high` does
        middle = (low + high) // 2
        low, high = (low, middle) if _proves(wrong, middle, delta) else (middle, high)
    return high - point.hits


def steps(points: Sequence[Point]) -> tuple[Point, ...]:
    """The curve at every hundredth from 0.70 to 0.99; what has no hits is left out."""
    found = ((step, at(points, step)) for step in _STEPS)
    return tuple(point._replace(threshold=step) for step, point in found if point is not None)


def _proves(wrong: int, hits: int, delta: float) -> bool:
    return hits > 0 and wilson(wrong / hits, hits).high <= delta


def _rounded(threshold: float) -> float:
    """``threshold`` or a trifle lower, so that the question it comes from is still a hit."""
    return int(threshold * _DIGITS) / _DIGITS
