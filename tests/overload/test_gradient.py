"""How many calls there may be is found out from how soon backends answer."""

from __future__ import annotations

import heapq
from collections import deque
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cranked import Clock

from proxy.overload import Gradient


class Backend:
    """So many calls at once, each for so long; the others wait in it. More is always wanted.

    Args:
        spread: of the time a call takes, as a share of it.
    """

    def __init__(
        self, gradient: Gradient, clock: Clock, *, bears: int, takes_s: float, spread: float = 0.0,
        seed: int = 0, name: str = "main", demand: int = 10_000,
    ) -> None:  # fmt: skip
        self.bears = bears
        self.takes_s = takes_s
        self.answered = 0
        self._gradient = gradient
        self._clock = clock
        self._spread = spread
        self._dice = Random(seed)
        self._name = name
        self._demand = demand
        self._working: list[tuple[float, float]] = []  # when each ends, when it was asked
        self._waiting: deque[float] = deque()

    def live(self, seconds: float) -> None:
        """Let so much time pass."""
        until = self._clock() + seconds
        while self._clock() < until:
            allowed = min(self._gradient.limit, self._demand)
            while len(self._working) + len(self._waiting) < allowed:
                self._waiting.append(self._clock())
            while self._waiting and len(self._working) < self.bears:
                takes_s = self.takes_s * self._dice.uniform(1 - self._spread, 1 + self._spread)
                asked = self._waiting.popleft()
                heapq.heappush(self._working, (self._clock() + takes_s, asked))
            ends, asked = heapq.heappop(self._working)
            self._clock.now = max(self._clock(), ends)
            under_way = len(self._working) + len(self._waiting) + 1
            self._gradient.noted(self._name, self._clock() - asked, under_way)
            self.answered += 1


def learning(low: int = 4, high: int = 1000) -> tuple[Gradient, Clock]:
    clock = Clock()
    return Gradient(low, high, clock=clock), clock


@settings(max_examples=15, deadline=None)
@given(
    bears=st.integers(8, 200), takes_s=st.floats(0.2, 2.0), spread=st.floats(0.0, 0.5),
    seed=st.integers(0, 5),
)  # fmt: skip
def test_it_stays_near_what_the_backend_bears_and_keeps_it_at_work(
    bears: int, takes_s: float, spread: float, seed: int
) -> None:
    gradient, clock = learning()
    backend = Backend(gradient, clock, bears=bears, takes_s=takes_s, spread=spread, seed=seed)
    backend.live(120)
    limits = []
    answered, began = backend.answered, clock()
    for _ in range(60):
        backend.live(1)
        limits.append(gradient.limit)
    assert sum(limits) / len(limits) <= 1.6 * bears + 4
    assert max(limits) <= 2 * bears + 8
    worked = (backend.answered - answered) * takes_s / bears
    assert worked >= 0.95 * (clock() - began)


@settings(max_examples=8, deadline=None)
@given(bears=st.integers(40, 120), falls_to=st.integers(8, 20), seed=st.integers(0, 5))
def test_it_follows_a_backend_that_gets_worse_and_one_that_recovers(
    bears: int, falls_to: int, seed: int
) -> None:
    gradient, clock = learning()
    backend = Backend(gradient, clock, bears=bears, takes_s=0.5, spread=0.2, seed=seed)
    backend.live(60)
    before = gradient.limit
    assert before >= 0.8 * bears
    backend.bears = falls_to
    backend.live(60)
    assert gradient.limit <= 2 * falls_to + 8
    backend.bears = bears
    backend.live(120)
    assert gradient.limit >= 0.8 * bears


@settings(max_examples=60, deadline=None)
@given(
    low=st.integers(1, 50), more=st.integers(0, 200),
    samples=st.lists(
        st.tuples(st.sampled_from("ab"), st.floats(0.0, 100.0), st.integers(0, 500)),
        max_size=300,
    ),
)  # fmt: skip
def test_it_never_leaves_its_bounds(
    low: int, more: int, samples: list[tuple[str, float, int]]
) -> None:
    gradient, clock = learning(low, low + more)
    for backend, seconds, calls in samples:
        clock.turn(0.05)
        gradient.noted(backend, seconds, calls)
        assert low <= gradient.limit <= low + more


def test_where_nobody_wants_more_it_stays_as_it_is() -> None:
    gradient, clock = learning(low=16)
    Backend(gradient, clock, bears=100, takes_s=0.1, demand=7).live(60)
    assert gradient.limit == 16


def test_questions_that_take_longer_from_now_on_are_no_overload_for_long() -> None:
    gradient, clock = learning()
    backend = Backend(gradient, clock, bears=100, takes_s=0.3, spread=0.2)
    backend.live(60)
    backend.takes_s = 1.5  # longer prompts, say
    backend.live(120)
    assert gradient.limit >= 80


def test_each_backend_is_compared_with_itself() -> None:
    gradient, clock = learning(low=16)
    for _ in range(1000):
        clock.turn(0.05)
        gradient.noted("swift", 0.01, gradient.limit)
        gradient.noted("slow", 5.0, gradient.limit)
    assert gradient.limit > 200


def test_a_few_samples_are_waited_for() -> None:
    gradient, clock = learning()
    for _ in range(15):
        clock.turn(2.0)
        gradient.noted("main", 1.0, 4)
    assert gradient.limit == 4
    gradient.noted("main", 1.0, 4)
    assert gradient.limit == 8


def test_of_very_many_samples_not_all_are_kept() -> None:
    gradient, clock = learning()
    for _ in range(10_000):
        gradient.noted("main", 0.0, 4)
    clock.turn(1.0)
    gradient.noted("main", 0.0, 4)
    assert gradient.limit == 8


def test_what_was_begun_under_another_limit_says_nothing_of_this_one() -> None:
    gradient, clock = learning()
    for _ in range(32):
        clock.turn(0.05)
        gradient.noted("main", 0.01, 4)
    assert gradient.limit == 8
    for _ in range(320):
        clock.turn(0.05)
        gradient.noted("main", 100.0, 8)
    assert gradient.limit == 8


def test_of_very_many_backends_not_all_are_remembered() -> None:
    gradient, clock = learning()
    for number in range(400):
        clock.turn(0.05)
        gradient.noted(f"b{number}", 1.0, 4)
    assert gradient.limit >= 4


@pytest.mark.parametrize(("low", "high", "limit"), [(2, 3, 3), (8, 9, 8), (0, 0, 4)])
def test_other_bounds_take_effect_at_once(low: int, high: int, limit: int) -> None:
    gradient, _ = learning(low=4, high=100)
    gradient.bound(low, high)
    assert gradient.limit == (limit if high else 1)
