"""Counts between bounds, and what can be told of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.histogram import COARSE, SECONDS, Histogram, quantile

VALUES = st.lists(st.floats(0, 500, allow_nan=False), max_size=60)


def of(*values: float) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def test_bounds_rise_by_a_tenth_of_a_decade_at_most() -> None:
    assert list(SECONDS) == sorted(set(SECONDS))
    assert SECONDS[0] == 1e-6
    assert SECONDS[-1] == 120
    steps = [after / before for before, after in pairwise(SECONDS)]
    assert max(steps) < 1.35


def test_every_coarse_bound_is_a_fine_one() -> None:
    assert set(COARSE) <= set(SECONDS)


def test_nothing_has_neither_mean_nor_quantiles() -> None:
    assert (of().count, of().mean, of().quantile(0.5)) == (0, None, None)


@pytest.mark.parametrize("value", [0.0, 3e-7, 1e-6, 0.0042, 1.0, 119.0, 120.0, 7000.0])
def test_of_one_value_every_quantile_is_near_it(value: float) -> None:
    for share in (0.01, 0.5, 0.99, 1.0):
        told = of(value).quantile(share)
        assert told is not None
        assert told <= value
        assert told >= min(value, 120.0) / 1.35 - 1e-6


def test_quantiles_lie_where_the_values_do() -> None:
    histogram = of(*[0.001] * 90, *[1.0] * 10)
    assert histogram.quantile(0.5) == pytest.approx(0.001, rel=0.25)
    assert histogram.quantile(0.9) == pytest.approx(0.001, rel=0.25)
    assert histogram.quantile(0.95) == pytest.approx(1.0, rel=0.25)
    assert histogram.mean == pytest.approx(0.1009)


def test_what_is_beyond_all_bounds_is_told_by_the_largest() -> None:
    assert of(500.0, 500.0).quantile(0.99) == pytest.approx(496, rel=0.02)
    assert quantile((1.0,), [0, 3], 0.5, 1.0) == 1.0


@given(VALUES)
def test_many_at_once_count_as_one_by_one(values: list[float]) -> None:
    together = Histogram()
    together.add_all(values)
    single = of(*values)
    assert together.counts == single.counts
    assert together.sum == pytest.approx(single.sum)
    assert together.largest == single.largest


@given(VALUES)
def test_what_is_below_a_bound_is_not_above_it(values: list[float]) -> None:
    assert of(*values).below(COARSE) == [sum(v <= bound for v in values) for bound in COARSE]


@given(st.lists(st.floats(1e-5, 100, allow_nan=False), min_size=1, max_size=60))
def test_quantiles_rise_and_never_pass_the_largest(values: list[float]) -> None:
    histogram = of(*values)
    told = [histogram.quantile(share) or 0.0 for share in (0.1, 0.5, 0.9, 0.99, 1.0)]
    assert told == sorted(told)
    assert told[-1] <= max(values)
