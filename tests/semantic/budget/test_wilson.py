"""Bounds on shares that were measured on samples."""

from __future__ import annotations

from math import comb
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.semantic.budget.wilson import NOISE_MOST, NOTHING, Share, at_most, corrected, wilson


def test_nothing_known_is_anything_from_nought_to_one() -> None:
    assert wilson(0.0, 0.0) == (0.0, 1.0)
    assert NOTHING.bounds() == (0.0, 1.0)


@pytest.mark.parametrize(
    ("labels", "most"),
    [(40, 0.08763), (149, 0.02513), (188, 0.02002), (189, 0.01992), (299, 0.01269)],
)
def test_none_wrong_bounds_the_error(labels: int, most: float) -> None:
    low, high = wilson(0.0, labels)
    assert low == 0.0
    assert high == pytest.approx(most, abs=1e-5)
    # The rule of three says 3/n one-sided; the exact bound, two-sided, is 1 - 0.025^(1/n).
    assert high >= 3 / labels * 0.99 or labels < 100
    assert high >= 1 - 0.025 ** (1 / labels) or labels < 50


@pytest.mark.parametrize("labels", [50, 150, 300, 1000])
@pytest.mark.parametrize("error", [0.0005, 0.002, 0.01, 0.05, 0.2, 0.5])
def test_the_true_share_is_inside_nine_times_in_ten_and_on_the_whole_more(
    labels: int, error: float
) -> None:
    inside = sum(
        comb(labels, wrong) * error**wrong * (1 - error) ** (labels - wrong)
        for wrong in range(labels + 1)
        if wilson(wrong / labels, labels).low <= error <= wilson(wrong / labels, labels).high
    )
    assert inside >= 0.925


def test_all_wrong_mirrors_none_wrong() -> None:
    assert wilson(1.0, 200).high == 1.0
    assert wilson(1.0, 200).low == pytest.approx(1 - wilson(0.0, 200).high)


@unhurried
@given(st.floats(0, 1), st.floats(0.01, 1e6), st.floats(0.1, 4))
def test_the_share_lies_between_its_bounds(share: float, effective: float, z: float) -> None:
    low, high = wilson(share, effective, z)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1


@unhurried
@given(st.floats(0, 1), st.floats(5, 1e4))
def test_more_labels_never_widen_the_bounds(share: float, effective: float) -> None:
    few, many = wilson(share, effective), wilson(share, effective * 2)
    assert many.high - many.low <= few.high - few.low + 1e-9


def test_noise_is_taken_off() -> None:
    clean = corrected(Share(0.069, 1000), Share(0.05, 1000))
    assert clean.value == pytest.approx(0.02)
    assert clean.low < 0.02 < clean.high


def test_an_error_below_the_noise_is_none() -> None:
    clean = corrected(Share(0.03, 500), Share(0.05, 500))
    assert (clean.value, clean.low) == (0.0, 0.0)
    assert clean.high > 0


@pytest.mark.parametrize("noise", [NOTHING, Share(0.5, 19.9)])
def test_noise_of_which_little_is_known_hides_nothing(noise: Share) -> None:
    raw = Share(0.1, 100)
    assert corrected(raw, noise) == (0.1, *raw.bounds())


def test_noise_hides_no_more_than_a_tenth() -> None:
    clean = corrected(Share(0.5, 1000), Share(0.5, 1000))
    assert clean.value == pytest.approx((0.5 - NOISE_MOST) / (1 - NOISE_MOST))
    assert clean.low > 0.4


def test_noise_that_is_hardly_known_widens_the_bounds() -> None:
    raw = Share(0.10, 1000)
    sure, unsure = corrected(raw, Share(0.05, 2000)), corrected(raw, Share(0.05, 40))
    assert unsure.low < sure.low
    assert unsure.high > sure.high
    assert unsure.value == sure.value


def test_the_bounds_of_what_noise_left_hold_the_truth() -> None:
    dice, inside = Random(7), 0
    true, eta = 0.03, 0.05
    for _ in range(400):
        raw = sum(dice.random() < true + (1 - true) * eta for _ in range(400)) / 400
        noise = sum(dice.random() < eta for _ in range(300)) / 300
        clean = corrected(Share(raw, 400), Share(noise, 300))
        inside += clean.low <= true <= clean.high
    assert inside >= 0.93 * 400


@unhurried
@given(st.floats(0, 1), st.floats(0, 1e4), st.floats(0, 1), st.floats(0, 1e4))
def test_what_is_left_of_an_error_is_a_share(
    raw: float, labels: float, noise: float, exact: float
) -> None:
    value, low, high = corrected(Share(raw, labels), Share(noise, exact))
    assert 0 <= low <= value + 1e-9
    assert value - 1e-9 <= high <= 1


def test_a_proof_counts_on_little_noise() -> None:
    raw, noise = Share(0.06, 1000), Share(0.05, 400)
    assert at_most(raw, noise) > corrected(raw, noise).high
    assert at_most(raw, NOTHING) == raw.bounds().high
    assert at_most(raw, Share(0.0, 400)) == raw.bounds().high
