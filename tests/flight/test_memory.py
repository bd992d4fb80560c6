"""What flights remember: marks that end by themselves, setbacks that last longer each time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from proxy.flight.memory import Marks, Setbacks

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


# -- hit-for-miss ------------------------------------------------------------------------------


def test_a_mark_stands_for_its_time_and_no_longer() -> None:
    marks = Marks(ttl=120.0, most=10)
    assert not marks.holds(A, 0.0)
    marks.add(A, 5.0)
    assert marks.holds(A, 5.0)
    assert marks.holds(A, 124.9)
    assert not marks.holds(B, 5.0)
    assert not marks.holds(A, 125.0)


def test_a_mark_that_ended_is_forgotten_when_it_is_asked_for() -> None:
    marks = Marks(ttl=10.0, most=10)
    marks.add(A, 0.0)
    marks.add(B, 0.0)
    assert len(marks) == 2
    assert not marks.holds(A, 10.0)
    assert len(marks) == 1


def test_a_mark_set_again_stands_from_then_on() -> None:
    marks = Marks(ttl=10.0, most=10)
    marks.add(A, 0.0)
    marks.add(A, 8.0)
    assert marks.holds(A, 17.9)
    assert len(marks) == 1


def test_a_mark_can_be_taken_away_whether_it_is_there_or_not() -> None:
    marks = Marks(ttl=10.0, most=10)
    marks.add(A, 0.0)
    marks.drop(A)
    marks.drop(B)
    assert not marks.holds(A, 0.0)
    assert len(marks) == 0


def test_past_the_bound_the_oldest_mark_goes_first() -> None:
    marks = Marks(ttl=10.0, most=2)
    marks.add(A, 0.0)
    marks.add(B, 1.0)
    marks.add(A, 2.0)  # so B is the oldest now
    marks.add(C, 3.0)
    assert not marks.holds(B, 3.0)
    assert marks.holds(A, 3.0)
    assert marks.holds(C, 3.0)
    assert len(marks) == 2


@pytest.mark.parametrize("most", [0, 1, 100])
def test_marks_never_exceed_their_bound(most: int) -> None:
    marks = Marks(ttl=10.0, most=most)
    for number in range(300):
        marks.add(number.to_bytes(32, "big"), float(number))
        assert len(marks) <= most


def test_without_a_lifetime_no_mark_stands() -> None:
    marks = Marks(ttl=0.0, most=10)
    marks.add(A, 5.0)
    assert not marks.holds(A, 5.0)


# -- refreshes that failed ---------------------------------------------------------------------


def pause_after(setbacks: Setbacks, digest: bytes, now: float) -> float:
    """How long ``digest`` is left alone, to a tenth of a second."""
    tenths = 0
    while setbacks.holds(digest, now + tenths / 10):
        tenths += 1
    return tenths / 10


def test_the_pause_after_a_failure_doubles_from_one_second_to_sixty() -> None:
    setbacks, now, pauses = Setbacks(most=10), 1000.0, []
    for _ in range(9):
        setbacks.add(A, now)
        pauses.append(pause_after(setbacks, A, now))
        now += pauses[-1]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert all(later >= earlier for earlier, later in pairwise(pauses))


def test_a_success_ends_the_pause_and_the_doubling() -> None:
    setbacks = Setbacks(most=10)
    for _ in range(3):
        setbacks.add(A, 0.0)
    setbacks.drop(A)
    setbacks.drop(B)  # never failed
    assert not setbacks.holds(A, 0.0)
    setbacks.add(A, 0.0)
    assert pause_after(setbacks, A, 0.0) == 1.0


def test_the_failures_of_one_key_are_nothing_to_another() -> None:
    setbacks = Setbacks(most=10)
    setbacks.add(A, 0.0)
    setbacks.add(A, 0.0)
    assert not setbacks.holds(B, 0.0)
    setbacks.add(B, 0.0)
    assert pause_after(setbacks, B, 0.0) == 1.0


def test_past_the_bound_the_oldest_failure_is_forgotten_first() -> None:
    setbacks = Setbacks(most=2)
    setbacks.add(A, 0.0)
    setbacks.add(B, 0.0)
    setbacks.add(A, 0.0)
    setbacks.add(C, 0.0)
    assert not setbacks.holds(B, 0.0)
    assert setbacks.holds(A, 0.0)
    assert setbacks.holds(C, 0.0)
    setbacks.add(B, 0.0)
    assert pause_after(setbacks, B, 0.0) == 1.0


# -- other bounds ------------------------------------------------------------------------------


def test_with_another_time_and_bound_later_marks_go_by_it_and_the_oldest_leave() -> None:
    marks = Marks(ttl=10.0, most=3)
    for at, digest in enumerate((A, B, C)):
        marks.add(digest, float(at))
    marks.limit(1.0, 2)
    assert len(marks) == 2
    assert not marks.holds(A, 3.0)
    assert marks.holds(C, 11.9)
    marks.add(A, 5.0)
    assert not marks.holds(A, 6.0)


def test_with_another_bound_the_oldest_setbacks_are_forgotten() -> None:
    setbacks = Setbacks(most=3)
    for digest in (A, B, C):
        setbacks.add(digest, 0.0)
    setbacks.limit(1)
    assert [setbacks.holds(digest, 0.5) for digest in (A, B, C)] == [False, False, True]


def test_a_mark_is_foretold_as_long_as_it_stands() -> None:
    marks = Marks(5.0, 10)
    marks.add(b"k", 0.0)
    assert marks.stands(b"k", 4.9)
    assert not marks.stands(b"k", 5.0)
    assert not marks.stands(b"o", 0.0)
    assert len(marks) == 1
