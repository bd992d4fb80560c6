"""Samples of labels, which forget."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.semantic.budget.labels import Label, Sample, Source
from proxy.semantic.budget.wilson import NOTHING


def test_an_empty_sample_says_nothing() -> None:
    assert Sample().share() == NOTHING


def test_weights_tell_the_share_of_all_traffic() -> None:
    sample = Sample()
    sample.add(1.0, 1e9, wrong=True)
    sample.add(9.0, 1e9, wrong=False)
    value, effective = sample.share()
    assert value == pytest.approx(0.1)
    assert effective == pytest.approx(100 / 82)


@pytest.mark.parametrize("weight", [1.0, 5.0, 50.0])
def test_the_effective_number_settles_at_what_is_remembered(weight: float) -> None:
    sample = Sample()
    for _ in range(3000):
        sample.add(weight, 400, wrong=False)
    assert sample.share().effective == pytest.approx(400, rel=0.01)


def test_many_light_labels_do_not_push_out_a_few_heavy_ones() -> None:
    dice, sample = Random(1), Sample()
    for _ in range(20_000):  # one hit of 50 is looked at and all are wrong, one miss for each hit
        if dice.random() < 1 / 50:
            sample.add(50.0, 1500, wrong=True)
        sample.add(1.0, 1500, wrong=False)
    assert sample.share().value == pytest.approx(0.5, abs=0.05)


def test_what_is_newer_counts_more() -> None:
    sample = Sample()
    for _ in range(1000):
        sample.add(1.0, 100, wrong=False)
    for _ in range(100):
        sample.add(1.0, 100, wrong=True)
    assert sample.share().value > 0.8


def test_fading_leaves_the_share_and_takes_the_number() -> None:
    sample = Sample()
    for wrong in (True, False, False, False):
        sample.add(3.0, 1e9, wrong=wrong)
    sample.fade(0.5)
    assert sample.share() == pytest.approx((0.25, 2.0))
    sample.fade(1e-12)
    assert sample.share() == NOTHING


def test_shrinking_leaves_so_many_light_labels() -> None:
    sample = Sample()
    for wrong in (True, False) * 200:
        sample.add(20.0, 1e9, wrong=wrong)
    sample.shrink(20)
    assert sample.sums() == pytest.approx((20, 20, 10))
    sample.shrink(40)
    assert sample.sums() == pytest.approx((20, 20, 10))


@pytest.mark.parametrize(
    ("score", "weight", "usable"),
    [
        (0.9, 1.0, True),
        (float("nan"), 1.0, False),
        (float("inf"), 1.0, False),
        (0.9, 0.0, False),
        (0.9, -1.0, False),
        (0.9, float("nan"), False),
    ],
)
def test_a_label_with_no_numbers_is_of_no_use(score: float, weight: float, usable: bool) -> None:
    label = Label(score, wrong=True, weight=weight, source=Source.MISS, served=False)
    assert label.usable == usable


@unhurried
@given(st.lists(st.tuples(st.floats(1e-3, 1e9), st.booleans()), max_size=60), st.floats(20, 2000))
def test_a_share_is_a_share_whatever_the_weights(
    labels: list[tuple[float, bool]], memory: float
) -> None:
    sample = Sample()
    for weight, wrong in labels:
        sample.add(weight, memory, wrong=wrong)
        value, effective = sample.share()
        assert 0 <= value <= 1
        assert 0 < effective <= len(labels) + 1e-6
