"""A deadline that moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from proxy.deadline import Deadline


class HandCrankedLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock the test sets; counts the timers that were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers = 0
        super().__init__()

    def time(self) -> float:
        return self.now

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(when, callback, *args, context=context)

    def at(self, now: float) -> None:
        """Let it be ``now``, and whatever is due by then happen."""
        self.now = now
        for _ in range(3):
            self.call_soon(self.stop)
            self.run_forever()


@pytest.fixture
def loop() -> Any:
    cranked = HandCrankedLoop()
    yield cranked
    cranked.close()


@pytest.fixture
def missed() -> list[int]:
    return []


@pytest.fixture
def deadline(loop: HandCrankedLoop, missed: list[int]) -> Deadline:
    return Deadline(loop, lambda: missed.append(1))


def test_it_is_missed_once_when_the_time_is_up(
    loop: HandCrankedLoop, deadline: Deadline, missed: list[int]
) -> None:
    deadline.expect(10)
    loop.at(9)
    assert not missed
    loop.at(10)
    assert missed == [1]
    loop.at(100)
    assert missed == [1]


def test_it_can_be_put_off_any_number_of_times_without_a_further_timer(
    loop: HandCrankedLoop, deadline: Deadline, missed: list[int]
) -> None:
    deadline.expect(10)
    for now in range(1, 10):
        loop.at(now)
        deadline.expect(10)
    assert loop.timers == 1
    loop.at(18)
    assert not missed
    loop.at(19)
    assert missed == [1]
    assert loop.timers == 2


def test_it_can_come_nearer(loop: HandCrankedLoop, deadline: Deadline, missed: list[int]) -> None:
    deadline.expect(10)
    deadline.expect(3)
    loop.at(3)
    assert missed == [1]


def test_once_lifted_it_is_not_missed_until_set_again(
    loop: HandCrankedLoop, deadline: Deadline, missed: list[int]
) -> None:
    deadline.expect(10)
    deadline.lift()
    loop.at(100)
    assert not missed
    deadline.expect(5)
    loop.at(105)
    assert missed == [1]


def test_once_ended_it_is_never_missed(
    loop: HandCrankedLoop, deadline: Deadline, missed: list[int]
) -> None:
    deadline.expect(10)
    deadline.end()
    deadline.end()
    loop.at(100)
    assert not missed


async def test_what_is_due_at_once_can_still_be_put_off() -> None:
    missed = asyncio.Event()
    deadline = Deadline(asyncio.get_running_loop(), missed.set)
    deadline.expect(0)
    deadline.expect(30)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not missed.is_set()
    deadline.expect(0)
    async with asyncio.timeout(10):
        await missed.wait()
    deadline.end()
