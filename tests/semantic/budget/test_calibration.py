"""What each threshold would have brought."""

from __future__ import annotations

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.semantic.budget.calibration import Scored, area, at, curve, measured, proven
from proxy.semantic.budget.wilson import wilson

FEW = [Scored(0.99, True), Scored(0.8, False), Scored(0.9, True), Scored(0.9, False)]


def test_a_point_for_every_score() -> None:
    points = curve(FEW)
    assert [(p.threshold, p.hit_ratio, p.wrong_per_hit, p.hits) for p in points] == [
        (0.99, 0.25, 0.0, 1),
        (0.9, 0.75, pytest.approx(1 / 3), 3),
        (0.8, 1.0, 0.5, 4),
    ]
    assert (points[1].low, points[1].high) == wilson(1 / 3, 3)


def test_questions_without_a_neighbour_are_no_hits() -> None:
    assert curve([*FEW, Scored(nan, False)])[-1].hit_ratio == 0.8
    assert curve(FEW, questions=40)[-1].hit_ratio == 0.1
    with pytest.raises(ValueError, match="more neighbours"):
        curve(FEW, questions=3)


def test_nothing_has_no_curve() -> None:
    assert curve([]) == ()
    assert proven((), 0.5) is None
    assert measured((), 0.5) is None
    assert at((), 0.5) is None
    assert area(()) == 0.0


def test_the_lowest_threshold_within_the_budget_is_best() -> None:
    rows = [Scored(1 - n / 1000, n % 50 != 49 or n < 298) for n in range(400)]
    points = curve(rows)
    best, likely = proven(points, 0.02), measured(points, 0.0074)
    assert best is not None
    assert best.high <= 0.02
    assert best.threshold == pytest.approx(1 - 398 / 1000)
    assert likely is not None
    assert likely.threshold == pytest.approx(1 - 0.398)
    assert proven(points, 0.005) is None


def test_what_a_threshold_would_have_come_to() -> None:
    points = curve(FEW)
    found = at(points, 0.85)
    assert found is not None
    assert found.hits == 3
    assert at(points, 0.995) is None


def test_the_area_is_the_mean_precision() -> None:
    assert area(curve([Scored(0.9, True), Scored(0.8, True)])) == 1.0
    assert area(curve([Scored(0.9, False)])) == 0.0
    # Precision 1 at 0.5, 1/2 at 1: a rectangle, and a trapezoid.
    assert area(curve([Scored(0.9, True), Scored(0.8, False)])) == pytest.approx(0.875)


@unhurried
@given(st.lists(st.tuples(st.floats(-1, 1), st.booleans()), max_size=50))
def test_hits_only_grow_as_the_threshold_falls(rows: list[tuple[float, bool]]) -> None:
    points = curve(Scored(*row) for row in rows)
    hits = [point.hits for point in points]
    assert hits == sorted(set(hits))
    assert [p.threshold for p in points] == sorted({row[0] for row in rows}, reverse=True)
    assert 0 <= area(points) <= 1 + 1e-9
    if points:
        assert points[-1].hit_ratio == 1.0
