"""Which signal means which way to leave, and what a second one does."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from proxy.app.stopping import Stopping, way
from proxy.config.settings import Settings
from proxy.downstream.leaving import Leaving

SETTINGS = Settings.model_validate({"downstream": {"drain_s": 20, "drain_delay_s": 5}})
SIDECAR = SETTINGS.model_copy(update={"mode": "sidecar"})
HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@pytest.mark.parametrize(
    ("number", "settings", "how"),
    [
        (signal.SIGTERM, SETTINGS, Leaving(25, 5, None, 2)),
        (signal.SIGTERM, SIDECAR, Leaving(25, 25, 1, 2)),
        (signal.SIGINT, SETTINGS, Leaving(20)),
        (signal.SIGINT, SIDECAR, Leaving(20)),
        (signal.SIGUSR1, SETTINGS, Leaving(20, 0, None, 2)),
    ],
)
def test_each_signal_has_its_way(number: int, settings: Settings, how: Leaving) -> None:
    assert way(number, settings) == how


@pytest.fixture
def signals() -> Iterator[None]:
    """What signals do is what they did before, afterwards."""
    before = {number: signal.getsignal(number) for number in HEARD}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Heard(Stopping):
    """One that is listening, and counts how often the process would have ended at once."""

    def __init__(self) -> None:
        self.ends = 0
        super().__init__(lambda: SETTINGS, asyncio.get_running_loop(), end=self._count)
        self.listen()

    def _count(self) -> None:
        self.ends += 1

    async def how(self) -> Leaving:
        async with asyncio.timeout(10):
            return await self.asked()


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", HEARD)
async def test_a_signal_is_heard_by_a_loop_that_has_nothing_to_do(number: signal.Signals) -> None:
    heard = Heard()
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), number)

    assert await heard.how() == way(number, SETTINGS)
    assert heard.ends == 0


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_one_of_either_kind_ends_it_before_the_loop_comes_round(
    first: signal.Signals, second: signal.Signals
) -> None:
    heard = Heard()
    signal.raise_signal(first)
    assert heard.ends == 0
    signal.raise_signal(second)
    assert heard.ends == 1
    assert await heard.how() == way(first, SETTINGS)


@pytest.mark.usefixtures("signals")
async def test_who_retires_may_be_told_to_stop_too_and_goes_on_leaving() -> None:
    heard = Heard()
    for number in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR1):
        signal.raise_signal(number)
    assert heard.ends == 0
    assert await heard.how() == way(signal.SIGUSR1, SETTINGS)
    signal.raise_signal(signal.SIGTERM)
    assert heard.ends == 1


@pytest.mark.usefixtures("signals")
def test_when_the_loop_has_ended_a_signal_is_nothing() -> None:
    async def hear() -> Heard:
        return Heard()

    heard = asyncio.run(hear())
    signal.raise_signal(signal.SIGTERM)
    assert heard.ends == 0
    signal.raise_signal(signal.SIGTERM)
    assert heard.ends == 1
