"""What the event loop fails at is told, and not over and over."""

from __future__ import annotations

import asyncio
import errno

import pytest
from support.cranked import Clock

from proxy.app.starved import Starved


async def test_that_nothing_can_be_accepted_is_told_once_in_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, loop = Clock(), asyncio.get_running_loop()
    starved = Starved(clock)
    context = {"message": "?", "exception": OSError(errno.EMFILE, "Too many"), "socket": object()}
    for _ in range(1000):
        starved(loop, context)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    clock.turn(60)
    starved(loop, context)
    assert len(caplog.records) == 2
    assert starved.count == 1001


@pytest.mark.parametrize(
    "context",
    [
        {"message": "a task was forgotten"},
        {"message": "?", "exception": ValueError("odd")},
        {"message": "?", "exception": OSError(errno.EMFILE, "Too many")},
        {"message": "?", "exception": OSError(errno.EBADF, "Bad"), "socket": object()},
    ],
)
async def test_all_else_is_told_as_ever(
    context: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    Starved(Clock())(asyncio.get_running_loop(), context)
    assert [(record.name, record.levelname) for record in caplog.records] == [("asyncio", "ERROR")]
