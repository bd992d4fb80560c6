"""Calibration: what each threshold would have cost and brought, and which to choose.

From questions whose nearest neighbour is known, with its cosine and whether its answer was right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from proxy.semantic.budget.wilson import wilson


class Scored(NamedTuple):
    """A question and its nearest neighbour."""

    score: float  # the cosine
    right: bool  # the neighbour's answer serves


class Point(NamedTuple):
    """A threshold, and what comes of it. Shares from 0 to 1."""

    threshold: float
    hit_ratio: float  # of all questions
    wrong_per_hit: float
    low: float  # the true one is between these 95 times in 100
    high: float
    hits: int


def curve(scored: Iterable[Scored], questions: int | None = None) -> tuple[Point, ...]:
    """A point for every score there is, the highest threshold first; none if there are no scores.

    Args:
        scored: in any order; what has no finite score is a question without a neighbour.
        questions: how many there were, those without a neighbour too; None: as many as ``scored``.

    Raises:
        ValueError: more neighbours than questions.
    """
    rows = list(scored)
    total = len(rows) if questions is None else questions
    if total < len(rows):
        raise ValueError("more neighbours than questions")
    ranked = sorted((row for row in rows if isfinite(row.score)), reverse=True)
    points = []
    wrong = 0
    for hits, row in enumerate(ranked, 1):
        wrong += not row.right
        if hits < len(ranked) and ranked[hits].score == row.score:
            continue  # no threshold tells these apart
        share = wrong / hits
        points.append(Point(row.score, hits / total, share, *wilson(share, hits), hits))
    return tuple(points)


def proven(points: Sequence[Point], delta: float) -> Point | None:
    """The lowest threshold whose upper bound of wrong answers per hit is within ``delta``, if any.

    It is chosen among many by how it did, so on other questions it will do a little worse; the
    bound leaves room for that.
    """
    return max((point for point in points if point.high <= delta), key=_hits, default=None)


def measured(points: Sequence[Point], delta: float) -> Point | None:
    """The lowest threshold at which no more than ``delta`` of the hits were wrong, if any.

    Where there are too few questions to prove more. Expect it to be too low as often as too high.
    """
    return max((point for point in points if point.wrong_per_hit <= delta), key=_hits, default=None)


def at(points: Sequence[Point], threshold: float) -> Point | None:
    """What this threshold would have come to; None if there would have been no hit."""
    return max((point for point in points if point.threshold >= threshold), key=_hits, default=None)


def area(points: Sequence[Point]) -> float:
    """The mean share of right answers over all hit ratios that can be had: 0 to 1, more is better.

    It is the area under precision over hit ratio, by trapezoids, over the largest hit ratio; below
    the first point precision is taken to be that point's. 0 if there are no points.
    """
    if not points:
        return 0.0
    first = points[0]
    total = (1 - first.wrong_per_hit) * first.hit_ratio
    for left, right in pairwise(points):
        height = 1 - (left.wrong_per_hit + right.wrong_per_hit) / 2
        total += height * (right.hit_ratio - left.hit_ratio)
    return total / points[-1].hit_ratio


def _hits(point: Point) -> int:
    return point.hits
