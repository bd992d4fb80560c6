"""The error budget, label by label."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.model.meaning import Script
from proxy.semantic.budget.controller import Budget, Change
from proxy.semantic.budget.course import Turn
from proxy.semantic.budget.labels import Label, Source, Stratum

A = Stratum("minilm", Script.LATIN, "a")
B = Stratum("minilm", Script.HAN, "a")


def hit(score: float = 0.95, *, wrong: bool = False, weight: float = 1.0) -> Label:
    return Label(score, wrong, weight, Source.SHADOW, served=True)


def miss(score: float = 0.85, *, wrong: bool = False) -> Label:
    return Label(score, wrong, 1.0, Source.MISS, served=False)


def taught(
    budget: Budget, count: int, label: Callable[[int], Label], stratum: Stratum = A
) -> list[Change]:
    changes = [budget.learn(stratum, label(number), 0.0) for number in range(count)]
    return [change for change in changes if change is not None]


def opened() -> Budget:
    budget = Budget()
    taught(budget, 30, lambda _: hit(wrong=True))
    assert budget.threshold(A) is None
    return budget


def test_a_stratum_of_which_nothing_is_known_starts_warm() -> None:
    budget = Budget()
    assert budget.threshold(A) == 0.90
    estimate = budget.estimate(A)
    assert (estimate.error, estimate.low, estimate.high) == (0.0, 0.0, 1.0)
    assert (estimate.labels, estimate.effective, estimate.open) == (0, 0.0, False)
    assert budget.strata() == ()


def test_misses_that_would_have_been_right_lower_it_step_by_step() -> None:
    budget = Budget()
    assert taught(budget, 188, lambda _: miss(0.89)) == []
    changes = taught(budget, 300, lambda _: miss(0.89))
    assert [(change.turn, change.before) for change in changes] == [(Turn.LOWERED, 0.90)]
    assert changes[0].after == budget.threshold(A) == 0.88
    taught(budget, 2000, lambda number: miss(0.75 + number % 20 / 100))
    assert budget.threshold(A) == 0.75


def test_where_nothing_is_known_of_what_is_below_it_stays() -> None:
    budget = Budget()
    assert taught(budget, 3000, lambda _: hit(0.92)) == []
    assert taught(budget, 3000, lambda _: miss(0.87)) == []


def test_no_label_below_the_floor_says_anything() -> None:
    budget = Budget()
    taught(budget, 500, lambda _: miss(0.7, wrong=True))
    assert budget.estimate(A).labels == 0


def test_no_numbers_are_no_label() -> None:
    budget = Budget()
    assert budget.learn(A, miss(float("nan")), 0.0) is None
    assert budget.strata() == ()


def test_an_error_above_the_budget_raises_it() -> None:
    budget = Budget(delta=0.05)
    taught(budget, 300, lambda number: hit(wrong=number % 100 == 0))
    changes = taught(budget, 300, lambda number: hit(0.91, wrong=number % 12 == 0))
    raised = [change for change in changes if change.turn is Turn.RAISED]
    assert raised
    assert raised[0].before == 0.90
    assert raised[0].after in {0.91, 0.92}
    assert raised[0].known.error.value > 0.05


def test_the_breaker_opens_on_an_error_of_twice_the_budget() -> None:
    budget = Budget()
    assert taught(budget, 20, lambda _: hit(wrong=True)) == []  # the older count a little less
    change = budget.learn(A, hit(wrong=True), 0.0)
    assert change is not None
    assert (change.turn, change.before, change.after) == (Turn.OPENED, 0.90, None)
    assert change.known.error.low > 0.04
    assert budget.threshold(A) is None
    assert budget.threshold(B) == 0.90
    estimate = budget.estimate(A)
    assert (estimate.open, estimate.threshold) == (True, 0.90)


def test_it_opens_within_a_hundred_labels_after_hits_turned_wrong() -> None:
    budget = Budget()
    taught(budget, 3000, lambda _: hit(weight=50.0))
    changes = taught(budget, 100, lambda _: hit(weight=50.0, wrong=True))
    assert Turn.OPENED in {change.turn for change in changes}


def test_it_closes_when_misses_prove_a_threshold() -> None:
    budget = opened()
    changes = taught(budget, 300, lambda _: miss(0.93))
    assert [(change.turn, change.before) for change in changes] == [(Turn.CLOSED, None)]
    assert changes[0].after == budget.threshold(A) == 0.90
    assert changes[0].known.error.high <= 0.02


def test_it_stays_open_while_misses_would_have_been_wrong() -> None:
    budget = opened()
    assert taught(budget, 3000, lambda number: miss(0.93, wrong=number % 25 == 0)) == []


def test_a_threshold_that_failed_is_tried_anew() -> None:
    budget = opened()
    taught(budget, 200, lambda _: miss(0.93, wrong=True))
    closed = taught(budget, 260, lambda _: miss(0.93))
    assert [change.turn for change in closed] == [Turn.CLOSED]


def test_it_closes_on_what_is_likely_where_noise_leaves_no_proof() -> None:
    budget = opened()
    for number in range(600):
        budget.noise(different=number % 20 == 0)
    changes = taught(budget, 1500, lambda number: miss(0.93, wrong=number % 20 == 0))
    assert changes[0].turn is Turn.CLOSED
    assert changes[0].known.raw.value == pytest.approx(0.05, abs=0.005)


def test_each_time_it_opens_it_takes_longer_to_close() -> None:
    budget, took = Budget(), []
    for _ in range(3):
        taught(budget, 40, lambda _: hit(wrong=True))
        count = 0
        while budget.threshold(A) is None:
            taught(budget, 1, lambda _: miss(0.93))
            count += 1
        took.append(count)
    assert took[0] < 300
    assert took[0] < took[1] < took[2] < 3000


def test_misses_that_turned_wrong_raise_it_and_shake_what_was_known() -> None:
    budget = Budget()
    taught(budget, 1500, lambda _: hit())
    before = budget.estimate(A)
    assert taught(budget, 500, lambda number: miss(0.78, wrong=number % 4 == 0)) == []
    changes = taught(budget, 100, lambda number: miss(0.78, wrong=number % 4 != 0))
    assert (changes[0].turn, changes[0].after) == (Turn.RAISED, 0.92)
    assert budget.estimate(A).effective <= 20 < before.effective


def test_misses_that_turned_right_are_a_reason_to_look() -> None:
    budget = Budget()
    taught(budget, 500, lambda number: miss(0.78, wrong=number % 4 != 0))
    changes = taught(budget, 100, lambda number: miss(0.78, wrong=number % 4 == 0))
    assert (changes[0].turn, changes[0].before, changes[0].after) == (Turn.DOUBTED, 0.90, 0.90)


def test_feedback_counts_but_is_no_sample_of_the_hits_of_late() -> None:
    budget = Budget()
    taught(budget, 1000, lambda _: hit(weight=5.0))
    changes = taught(budget, 30, lambda _: Label(0.95, True, 1.0, Source.FEEDBACK, served=True))
    assert changes == []
    assert budget.estimate(A).error > 0.001


def test_noise_is_taken_off_and_both_numbers_are_told() -> None:
    budget = Budget(delta=0.2)
    for number in range(400):
        budget.noise(different=number % 20 == 0)
    taught(budget, 400, lambda number: hit(wrong=number % 10 == 0))
    estimate = budget.estimate(A)
    assert estimate.raw == pytest.approx(0.1, abs=0.02)
    assert estimate.noise == pytest.approx(0.05, abs=0.01)
    assert estimate.error == pytest.approx((estimate.raw - estimate.noise) / (1 - estimate.noise))
    assert estimate.low < estimate.error < estimate.high


def test_what_was_learned_halves_in_a_fortnight() -> None:
    budget = Budget()
    for _ in range(100):
        budget.learn(A, hit(), 1000.0)
    before = budget.estimate(A).effective
    budget.learn(A, hit(), 1000.0 + 14 * 86_400)
    assert budget.estimate(A).effective == pytest.approx(before / 2 + 1, abs=0.6)
    budget.learn(A, hit(), 5.0)  # a clock set back
    assert budget.estimate(A).effective == pytest.approx(before / 2 + 2, abs=0.8)


def test_forgetting_starts_anew() -> None:
    budget = opened()
    taught(budget, 5, lambda _: hit(), B)
    budget.noise(different=True)
    budget.forget(A)
    assert budget.threshold(A) == 0.90
    assert budget.strata() == (B,)
    budget.forget()
    assert budget.strata() == ()
    assert budget.estimate(A).noise == 0.0


def test_strata_are_bounded_and_open_breakers_stay() -> None:
    budget = Budget(strata=2)
    taught(budget, 30, lambda _: hit(wrong=True))
    for name in ("x", "y", "z"):
        taught(budget, 1, lambda _: hit(), A._replace(family=name))
    assert budget.threshold(A) is None
    assert [stratum.family for stratum in budget.strata()] == ["z", "a"]
    taught(budget, 30, lambda _: hit(wrong=True), B)
    taught(budget, 1, lambda _: hit(), A._replace(family="w"))
    assert len(budget.strata()) == 2


def test_entries_that_were_wrong_have_a_floor() -> None:
    budget = Budget(floors=1)
    budget.wrong(b"a", 0.93)
    assert budget.floor(b"a") == pytest.approx(0.94)
    budget.wrong(b"b", 0.93)
    assert budget.floor(b"a") is None
    budget.right(b"b")
    assert budget.floor(b"b") is None


# -- across restarts ------------------------------------------------------------------------------


def test_it_knows_after_a_restart_what_it_knew() -> None:
    budget, again = opened(), Budget()
    taught(budget, 60, lambda number: hit(0.92, wrong=number % 30 == 0), B)
    budget.noise(different=True)
    budget.wrong(b"a", 0.93)
    saved = json.loads(json.dumps(budget.saved()))
    taught(again, 5, lambda _: hit(), A._replace(family="gone"))
    assert again.restored(saved)
    assert again.strata() == budget.strata()
    for stratum in (A, B):
        assert again.estimate(stratum) == budget.estimate(stratum)
        assert again.threshold(stratum) == budget.threshold(stratum)
    assert again.floor(b"a") == budget.floor(b"a")
    assert again.saved() == budget.saved()


def test_with_other_thresholds_only_noise_and_floors_are_kept() -> None:
    budget, again = opened(), Budget(floor=0.8)
    budget.wrong(b"a", 0.93)
    budget.noise(different=True)
    assert again.restored(budget.saved() | {"floors": [["61", 0.94]], "noise": [1.0, 1.0, 1.0]})
    assert again.strata() == ()
    assert again.floor(b"a") == 0.94
    assert again.estimate(A).noise == 1.0


@pytest.mark.parametrize("saved", [None, [], {}, "x", 7, {"version": 99}])
def test_garbage_is_a_fresh_start(saved: object) -> None:
    budget = opened()
    budget.wrong(b"a", 0.9)
    assert not budget.restored(saved)
    assert budget.strata() == ()
    assert budget.floor(b"a") is None
    assert budget.saved() == Budget().saved()


def test_another_version_is_a_fresh_start() -> None:
    assert not Budget().restored(opened().saved() | {"version": 0})


@pytest.mark.parametrize(
    "fault",
    [
        {"script": "klingon"},
        {"fingerprint": 7},
        {"family": "x" * 257},
        {"at": -1},
        {"at": 99},
        {"open": "no"},
        {"labels": -1},
        {"trips": -1},
        {"seen": float("inf")},
        {"seen": "now"},
        {"samples": []},
        {"samples": [[1, 1, 2]] * 23},
        {"samples": [[1, 0, 0]] * 23},
        {"samples": [[1, 1]] * 23},
        {"samples": [["a", "b", "c"]] * 23},
        {"samples": [[float("nan"), 1, 1]] * 23},
        {"samples": [7] * 23},
    ],
)
def test_a_stratum_that_makes_no_sense_is_passed_over(fault: dict[str, object]) -> None:
    budget = Budget()
    taught(budget, 3, lambda _: hit())
    taught(budget, 3, lambda _: hit(), B)
    saved = json.loads(json.dumps(budget.saved()))
    assert len(saved["strata"][0]["samples"]) == 23
    saved["strata"][0] |= fault
    again = Budget()
    assert again.restored(saved)
    assert again.strata() == (B,)


def test_noise_that_makes_no_sense_is_none() -> None:
    again = Budget()
    assert again.restored(Budget().saved() | {"noise": [1, 2], "strata": [None], "floors": [3]})
    assert again.estimate(A).noise == 0.0


# -- what always holds ----------------------------------------------------------------------------

LABELS = st.builds(
    Label,
    score=st.sampled_from([0.5, 0.76, 0.8, 0.85, 0.88, 0.9, 0.92, 0.95, 0.97, 1.0]),
    wrong=st.booleans(),
    weight=st.sampled_from([1.0, 5.0, 50.0]),
    source=st.sampled_from(list(Source)),
    served=st.booleans(),
)
RUNS = st.lists(st.tuples(LABELS, st.integers(1, 60)), max_size=12)


@unhurried
@given(RUNS, st.sampled_from([(0.9, 0.75), (0.9, 0.9), (0.913, 0.7512), (0.99, 0.8)]))
def test_steps_are_small_and_the_floor_holds(
    runs: list[tuple[Label, int]], bounds: tuple[float, float]
) -> None:
    start, floor = bounds
    budget = Budget(start=start, floor=floor)
    before = budget.threshold(A)
    for label, times in runs:
        for _ in range(times):
            change = budget.learn(A, label, 0.0)
            after = budget.threshold(A)
            if change is None:
                assert after == before
            else:
                assert (change.before, change.after) == (before, after)
            if after is not None:
                assert floor <= after <= max(start, 0.97)
            if before is not None and after is not None:
                assert abs(after - before) <= 0.02 + 1e-9
            estimate = budget.estimate(A)
            assert 0 <= estimate.low <= estimate.high <= 1
            before = after


@pytest.mark.parametrize(
    ("delta", "start", "floor"),
    [(0.0, 0.9, 0.75), (1.0, 0.9, 0.75), (0.02, 0.7, 0.75), (0.02, 2, 0)],
)
def test_what_is_no_budget_is_refused(delta: float, start: float, floor: float) -> None:
    with pytest.raises(ValueError, match=r"share|cosines"):
        Budget(delta, start, floor)
