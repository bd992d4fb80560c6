"""How late the loop is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from support.cranked import Clock

from proxy.observe.lag import Lag


class Due:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def test_it_is_measured_by_what_came_late() -> None:
    clock, due = Clock(), list[Due]()

    def later(after_s: float, call: Callable[[], None]) -> Due:
        assert after_s == 0.1
        due.append(Due(call))
        return due[-1]

    lag = Lag(later, clock)
    lag.start()
    for late_s in (0.0, 0.4, -0.001):
        clock.turn(0.1 + late_s)
        due[-1].call()
    assert lag.seconds.count == 3
    assert lag.seconds.largest == pytest.approx(0.4)
    assert lag.seconds.sum == pytest.approx(0.4)
    lag.stop()
    lag.stop()
    assert due[-1].cancelled


async def test_a_loop_that_was_kept_busy_was_late() -> None:
    loop = asyncio.get_running_loop()
    lag = Lag(loop.call_later, time.monotonic)
    lag.start()
    time.sleep(0.3)  # noqa: ASYNC251 - to keep the loop busy is what is tested
    await asyncio.sleep(0)
    while not lag.seconds.count:  # noqa: ASYNC110 - nothing tells but the count
        await asyncio.sleep(0)
    lag.stop()
    assert lag.seconds.largest > 0.15
