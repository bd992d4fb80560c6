"""Admission: the second time within the window counts, and the window moves on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cranked import Clock

from proxy.tiers.admission import Admission

KEPT, OTHER = b"k" * 32, b"o" * 32


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def admission(clock: Clock) -> Admission:
    return Admission(60.0, clock, most=1000)


def test_who_is_seen_twice_is_let_in(admission: Admission) -> None:
    assert not admission.admits(KEPT)
    admission.sight(KEPT)
    assert not admission.admits(KEPT)
    admission.sight(OTHER)
    assert not admission.admits(KEPT)
    admission.sight(KEPT)
    assert admission.admits(KEPT)
    assert not admission.admits(OTHER)


def test_who_was_let_in_before_need_not_be_seen_again(admission: Admission) -> None:
    admission.sight(KEPT, stored=True)
    assert admission.admits(KEPT)


@pytest.mark.parametrize(
    ("apart", "admitted"), [(1.0, True), (29.0, True), (59.0, None), (61.0, False), (1e6, False)]
)
@pytest.mark.parametrize("late", [0.0, 10.0, 25.0])
def test_a_sighting_is_remembered_for_half_the_window_at_least_and_all_of_it_at_most(
    admission: Admission, clock: Clock, late: float, apart: float, *, admitted: bool | None
) -> None:
    clock.turn(late)
    admission.sight(OTHER)
    admission.sight(KEPT)
    clock.turn(apart)
    admission.sight(KEPT)
    assert admitted in {admission.admits(KEPT), None}


def test_who_is_seen_all_the_time_stays_let_in(admission: Admission, clock: Clock) -> None:
    admission.sight(KEPT)
    for _ in range(20):
        clock.turn(25.0)
        admission.sight(KEPT)
        assert admission.admits(KEPT)
    clock.turn(61.0)
    assert not admission.admits(KEPT)


def test_when_more_come_than_fit_the_window_becomes_shorter_and_nothing_fails(
    admission: Admission,
) -> None:
    for number in range(10_000):
        admission.sight(number.to_bytes(32))
        admission.sight(number.to_bytes(32))
        assert admission.admits(number.to_bytes(32))
    admission.sight(KEPT)
    for number in range(2000):
        admission.sight((number + 10_000).to_bytes(32))
    admission.sight(KEPT)
    assert not admission.admits(KEPT)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0.0, 40.0), st.booleans()), max_size=60),
)
def test_no_more_are_let_in_than_were_seen_in_the_window_and_no_fewer_than_in_half(
    seen: list[tuple[int, float, bool]],
) -> None:
    clock = Clock(0.0)
    admission = Admission(60.0, clock, most=1000)
    times: dict[int, list[float]] = {}
    for number, later, stored in seen:
        clock.turn(later)
        admission.sight(number.to_bytes(32), stored=stored)
        times.setdefault(number, []).extend([clock()] * (1 + stored))
        lately = times[number][-2:]
        apart = lately[-1] - lately[0] if len(lately) > 1 else 1e9
        if apart < 30.0:
            assert admission.admits(number.to_bytes(32))
        if apart > 60.0:
            assert not admission.admits(number.to_bytes(32))
