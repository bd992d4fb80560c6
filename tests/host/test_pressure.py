"""What is done as memory runs out, and when it is taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.host.pressure import AIM, Allowance, Level, Pressure

LIMIT = 1000
BUDGET = 400


@pytest.mark.parametrize(
    ("used", "level"),
    [
        (0, Level.EASE), (849, Level.EASE), (850, Level.SHRINK), (919, Level.SHRINK),
        (920, Level.SPARE), (970, Level.REFUSE), (1500, Level.REFUSE),
    ],
)  # fmt: skip
def test_a_level_is_reached_at_once(used: int, level: Level) -> None:
    assert Pressure(LIMIT).heed(used, 0.0) is level


def test_a_level_ends_once_use_has_been_well_below_it_for_a_while() -> None:
    pressure = Pressure(LIMIT)
    pressure.heed(980, 0.0)
    for now, used, level in (
        (1.0, 930, Level.REFUSE),  # below, but not well below
        (9.0, 930, Level.REFUSE),
        (10.0, 900, Level.REFUSE),
        (14.0, 900, Level.REFUSE),
        (14.5, 925, Level.REFUSE),  # that was not for good
        (20.0, 900, Level.REFUSE),
        (25.0, 900, Level.SPARE),
        (40.0, 900, Level.SPARE),
        (41.0, 700, Level.SPARE),
        (46.0, 700, Level.SHRINK),
        (51.0, 700, Level.EASE),
        (99.0, 700, Level.EASE),
    ):
        assert pressure.heed(used, now) is level, now


def test_what_rises_while_it_calms_down_is_at_its_level_at_once() -> None:
    pressure = Pressure(LIMIT)
    assert pressure.heed(860, 0.0) is Level.SHRINK
    assert pressure.heed(700, 1.0) is Level.SHRINK
    assert pressure.heed(990, 2.0) is Level.REFUSE


def test_without_pressure_the_tier_has_all_of_its_budget() -> None:
    allowance = Allowance(LIMIT)
    for now in range(100):
        assert allowance.heed(Level.EASE, 840, 400, BUDGET, now) == BUDGET


def test_the_tier_gives_up_what_is_used_beyond_the_aim_and_waits_for_that_to_show() -> None:
    allowance = Allowance(LIMIT)
    assert allowance.heed(Level.SHRINK, 860, 400, BUDGET, 0.0) == 340
    assert allowance.heed(Level.SHRINK, 860, 340, BUDGET, 1.0) == 340
    assert allowance.heed(Level.SHRINK, 860, 340, BUDGET, 3.0) == 280
    assert allowance.heed(Level.SHRINK, 790, 280, BUDGET, 6.0) == 280  # the aim is reached


def test_a_tier_that_is_not_full_shrinks_from_what_it_holds() -> None:
    assert Allowance(LIMIT).heed(Level.SHRINK, 860, 100, BUDGET, 0.0) == 40


def test_workers_give_up_their_part_each() -> None:
    assert Allowance(LIMIT, sharers=3).heed(Level.SHRINK, 890, 400, BUDGET, 0.0) == 370


def test_a_little_is_always_left() -> None:
    allowance = Allowance(LIMIT)
    for now in range(0, 100, 3):
        allowed = allowance.heed(Level.REFUSE, 999, 400, BUDGET, now)
    assert allowed == BUDGET // 16


def test_it_grows_back_late_and_by_and_by_and_not_beyond_the_aim() -> None:
    allowance = Allowance(LIMIT)
    allowance.heed(Level.SHRINK, 860, 400, BUDGET, 0.0)
    assert allowance.heed(Level.EASE, 700, 340, BUDGET, 59.0) == 340
    assert allowance.heed(Level.EASE, 700, 340, BUDGET, 60.0) == 360
    assert allowance.heed(Level.EASE, 700, 360, BUDGET, 61.0) == 360
    assert allowance.heed(Level.EASE, 790, 360, BUDGET, 70.0) == 360  # there is no room for it
    assert allowance.heed(Level.EASE, 700, 360, BUDGET, 71.0) == 380
    assert allowance.heed(Level.EASE, 700, 380, BUDGET, 81.0) == 400
    assert allowance.heed(Level.EASE, 700, 400, BUDGET, 91.0) == BUDGET


def test_another_budget_counts_at_once() -> None:
    allowance = Allowance(LIMIT)
    allowance.heed(Level.SHRINK, 860, 400, BUDGET, 0.0)
    assert allowance.heed(Level.SHRINK, 790, 300, 200, 1.0) == 200
    assert allowance.heed(Level.EASE, 600, 200, 200, 2.0) == 200


LOOKS = st.lists(st.tuples(st.integers(0, 1500), st.floats(0.1, 30)), max_size=60)


@given(LOOKS, st.integers(0, BUDGET), st.integers(1, 8))
def test_it_never_allows_more_than_the_budget_nor_next_to_nothing(
    looks: list[tuple[int, float]], held: int, sharers: int
) -> None:
    pressure, allowance = Pressure(LIMIT), Allowance(LIMIT, sharers)
    now, before = 0.0, BUDGET
    for used, passed in looks:
        now += passed
        level = pressure.heed(used, now)
        allowed = allowance.heed(level, used, held, BUDGET, now)
        assert BUDGET // 16 <= allowed <= BUDGET
        if level:
            assert allowed <= before
        if allowed > before:
            assert used + allowed - before <= LIMIT * AIM
        before = allowed
