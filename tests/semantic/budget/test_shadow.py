"""Which hits are looked at."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.model.meaning import Script
from proxy.semantic.budget.labels import Stratum
from proxy.semantic.budget.shadow import Purse, Shadowing

A = Stratum("minilm", Script.LATIN, "a")
B = Stratum("minilm", Script.LATIN, "b")
RICH = 1e9


def test_the_first_hits_of_a_stratum_all_are() -> None:
    shadowing = Shadowing(RICH)
    assert [shadowing.draw(A, 0.999, 0.0) for _ in range(50)] == [1.0] * 50
    assert shadowing.draw(A, 0.999, 0.0) is None
    assert shadowing.draw(A, 0.2, 0.0) is None
    assert shadowing.draw(A, 0.19, 0.0) == pytest.approx(5.0)
    assert shadowing.draw(B, 0.999, 0.0) == 1.0


def test_the_chance_falls_to_one_in_fifty_and_the_weight_is_one_over_it() -> None:
    shadowing = Shadowing(RICH)
    weights = [shadowing.draw(A, 0.0, 0.0) or 0.0 for _ in range(2500)]
    assert weights == sorted(weights)
    assert weights[199] == 5.0
    assert weights[800] == pytest.approx(20.0)
    assert weights[-1] == 50.0
    assert shadowing.draw(A, 0.0201, 0.0) is None
    assert shadowing.draw(A, 0.0199, 0.0) == 50.0


def test_weights_stand_for_all_hits() -> None:
    shadowing, dice = Shadowing(RICH), Random(3)
    drawn = [shadowing.draw(A, dice.random(), 0.0) for _ in range(20_000)]
    assert sum(weight or 0 for weight in drawn) == pytest.approx(20_000, rel=0.1)


def test_it_looks_closely_once_more() -> None:
    shadowing = Shadowing(RICH)
    for _ in range(60):
        shadowing.draw(A, 0.0, 0.0)
    shadowing.again(A)
    shadowing.again(B)
    assert shadowing.draw(A, 0.999, 0.0) == 1.0


def test_no_more_a_minute_than_the_budget() -> None:
    shadowing = Shadowing(10.0)
    drawn = [shadowing.draw(A, 0.0, 0.0) for _ in range(30)]
    assert sum(weight is not None for weight in drawn) == 9  # a tenth is for exact hits
    assert shadowing.unaffordable == 21
    assert shadowing.drawn == 30
    assert shadowing.draw(A, 0.0, 6.0) is None
    assert shadowing.draw(A, 0.0, 7.0) is not None


def test_exact_hits_are_looked_at_rarely_and_from_their_own_part() -> None:
    shadowing, dice = Shadowing(1e6), Random(5)
    looked = [shadowing.draw_exact(dice.random(), n / 100) for n in range(100_000)]
    assert sum(looked[:400]) == pytest.approx(100, abs=30)
    assert sum(looked) < 1_200
    assert sum(looked[-10_000:]) < 100

    poor = Shadowing(10.0)
    assert [poor.draw_exact(0.0, 0.0), poor.draw_exact(0.0, 0.0)] == [True, False]
    assert poor.draw(A, 0.0, 0.0) == 1.0


def test_those_not_used_for_longest_begin_again() -> None:
    shadowing = Shadowing(RICH, strata=1)
    for _ in range(60):
        shadowing.draw(A, 0.0, 0.0)
    shadowing.draw(B, 0.0, 0.0)
    assert shadowing.draw(A, 0.999, 0.0) == 1.0


@pytest.mark.parametrize(("per_minute", "least"), [(0.0, 0.02), (-1.0, 0.02), (1.0, 0), (1.0, 0.3)])
def test_a_budget_or_a_chance_of_nothing_is_refused(per_minute: float, least: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Shadowing(per_minute, least=least)


@unhurried
@given(st.floats(0.1, 1000), st.lists(st.floats(0, 100), max_size=100))
def test_a_purse_never_gives_more_than_came_in(per_minute: float, waits: list[float]) -> None:
    purse, now, given = Purse(per_minute), 0.0, 0
    for wait in waits:
        now += wait
        given += purse.take(now)
    assert given <= max(1.0, per_minute) + now * per_minute / 60 + 1e-6


def test_a_clock_that_goes_back_fills_no_purse() -> None:
    purse = Purse(1.0)
    assert purse.take(100.0)
    assert not purse.take(50.0)
    assert not purse.take(60.0)
    assert purse.take(200.0)


def test_gaps_between_exact_hits_are_as_if_each_were_drawn() -> None:
    shadowing, dice = Shadowing(1e9), Random(1)
    gaps = [shadowing.gap(dice.random()) for _ in range(20_000)]
    assert 2.9 < sum(gaps) / len(gaps) < 3.1  # one in four, at first
    assert min(gaps) == 0


def test_while_there_is_nothing_left_fewer_and_fewer_exact_hits_are_drawn() -> None:
    shadowing, drawn, now, over = Shadowing(60), 0, 0.0, 0
    dice = Random(7)
    for _ in range(200_000):  # hits, in 40 seconds
        now += 0.0002
        over -= 1
        if over < 0:
            drawn += shadowing.draw_exact(0.0, now)
            over = shadowing.gap(dice.random())
    assert 7 <= drawn <= 6 + 4  # six at once, and six a minute
    assert shadowing.drawn < 150
    now += 60
    assert shadowing.draw_exact(0.0, now)  # it can be afforded again
    assert sum(shadowing.gap(dice.random()) for _ in range(100)) < 600
