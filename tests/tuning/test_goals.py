from __future__ import annotations

from typing import Any

import pytest
from support.traced import label

from proxy.tuning.goals import Goal, Limits, choose, front
from proxy.tuning.grid import Choice
from proxy.tuning.result import Result, Tally
from proxy.tuning.workload import Fact
from proxy.tuning.wrongs import wrong_at

MIB = 2**20
EMPTY = Tally([0]).told(Choice(MIB, 60.0, 0.0, 1, 1.0), 1.0, 0, evicted=0, declined=0)


def result(hit_ratio: float, memory: int = 1, ttl: float = 60.0, **more: Any) -> Result:
    choice = Choice(memory * MIB, ttl, 0.0, 1, 1.0, more.pop("threshold", None))
    misses = round(1000 * (1 - hit_ratio))
    told = EMPTY._replace(choice=choice, hit_ratio=hit_ratio, requests=1000, misses=misses)
    return told._replace(**more)


def test_without_requests_all_is_nothing() -> None:
    assert (EMPTY.hit_ratio, EMPTY.calls, EMPTY.stale_ratio, EMPTY.mean_wait_s) == (0, 0, 0, 0)


def test_more_memory_must_be_worth_having() -> None:
    some = [result(0.700, 64), result(0.7995, 128), result(0.800, 256), result(0.8005, 512)]
    chosen = choose(some, Goal.HIT_RATE, Limits())
    assert chosen.best is some[1]


def test_each_goal_has_its_own_best() -> None:
    hits = result(0.9, spent=10.0, waited_s=500.0, mean_age_s=100.0)
    cheap = result(0.8, spent=5.0, waited_s=600.0, mean_age_s=90.0)
    quick = result(0.7, spent=9.0, waited_s=100.0, mean_age_s=80.0)
    fresh = result(0.6, spent=9.0, waited_s=700.0, mean_age_s=10.0)
    best = [choose([hits, cheap, quick, fresh], goal, Limits()).best for goal in Goal]
    assert best == [hits, cheap, quick, fresh]


def test_without_prices_tokens_count_and_without_tokens_calls() -> None:
    few, many = result(0.8, spent_read=10), result(0.9, spent_read=50)
    assert choose([many, few], Goal.COST, Limits()).best is few
    assert choose([result(0.5), result(0.9)], Goal.COST, Limits()).best == result(0.9)


@pytest.mark.parametrize(
    ("limits", "held"),
    [
        (Limits(memory_bytes=MIB), True),
        (Limits(memory_bytes=MIB - 1), False),
        (Limits(age_s=50.0), True),
        (Limits(age_s=49.0), False),
        (Limits(hit_ratio=0.8), True),
        (Limits(hit_ratio=0.81), False),
        (Limits(calls=200), True),
        (Limits(calls=199), False),
        (Limits(wrong=0.01), True),
    ],
)
def test_limits_hold_or_they_do_not(limits: Limits, held: bool) -> None:
    assert limits.hold(result(0.8, max_age_s=50.0)) is held


def test_a_threshold_of_which_nothing_is_known_may_be_too_wrong() -> None:
    limits = Limits(wrong=0.02)
    assert not limits.hold(result(0.8, threshold=0.9))
    assert not limits.hold(result(0.8, threshold=0.9, wrong=0.01, wrong_high=0.03))
    assert limits.hold(result(0.8, threshold=0.9, wrong=0.01, wrong_high=0.02))


def test_where_nothing_holds_there_is_no_best() -> None:
    assert choose([result(0.8)], Goal.HIT_RATE, Limits(hit_ratio=0.9)) == (None, [])


def test_the_front_has_what_nothing_beats_in_everything() -> None:
    good, large, worse = result(0.8, 64), result(0.9, 128), result(0.7, 128)
    same = result(0.8, 64, ttl=99.0)
    assert front([worse, good, large, same]) == [large, good]


# -- how wrong hits by meaning would be -------------------------------------------------------


def test_what_is_wrong_at_a_threshold_is_the_share_of_labels_above_it() -> None:
    labels = [label(0.95, wrong=False, weight=3.0), label(0.9, wrong=True), label(0.8, wrong=True)]
    at = wrong_at(labels, 0.9)
    assert at is not None
    assert (at.share, at.labels) == (0.25, 2)
    assert at.share < at.high < 1
    assert wrong_at(labels, 0.96) is None


def test_without_a_threshold_what_was_served_counts() -> None:
    labels = [label(0.8, wrong=True), label(0.9, wrong=False, served=True)]
    at = wrong_at(labels, None)
    assert at is not None
    assert at.share == 0
    certain = label(1.0, wrong=True, served=True)._replace(model="typo")
    assert wrong_at([certain], None) is None


def test_counting_tells_tokens_money_and_time() -> None:
    tally, fact = Tally([0]), Fact(100, 2.0, 10, 5, price=0.5)
    tally.miss(0, fact)
    tally.coalesced_one(fact, 1.5)
    tally.refresh(fact)
    told = tally.told(EMPTY.choice, 1.0, 0, evicted=1, declined=2)
    assert (told.spent, told.refreshed, told.saved) == (1.0, 0.5, 0.5)
    assert (told.spent_read, told.spent_written, told.saved_read) == (20, 10, 10)
    assert (told.saved_s, told.waited_s, told.calls) == (2.0, 3.5, 2)
    assert (told.evicted, told.declined, told.hit_ratio) == (1, 2, 0.5)
