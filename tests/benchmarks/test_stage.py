"""A backend and its clients in one loop; here with nothing between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from os import getpid

import pytest

from benchmarks.frame.drive import Server, Wrong
from benchmarks.frame.questions import document, members
from benchmarks.frame.stage import EVENT, Stage, question


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    await stage.open()
    yield stage
    for each in stage.listeners:
        each.close()
    stage.close()


async def begun(stage: Stage, number: int) -> None:
    server = Server("none", stage.url, getpid())
    await stage.gather(server, [question(count) for count in range(number)])
    for each in stage.listeners:
        each.ask()
    await stage.until(lambda: len(stage.calls) == number)
    for call in stage.calls:
        call.begin()


async def test_events_come_one_by_one_and_streams_end(stage: Stage) -> None:
    await begun(stage, 3)
    await stage.beat(5)
    assert [each.events for each in stage.listeners] == [5, 5, 5]
    await stage.end()


async def test_a_flood_is_heard_whole(stage: Stage) -> None:
    await begun(stage, 1)
    await stage.calls[0].pour(EVENT, 3000)
    await stage.end()
    assert stage.listeners[0].body().count(EVENT) == 3000


async def test_an_answer_that_nobody_gave_is_wrong(stage: Stage) -> None:
    await begun(stage, 1)
    await stage.beat(1)
    stage.calls[0].sent += b"and this"
    with pytest.raises(Wrong, match="not what the backend said"):
        await stage.end()


async def test_a_stream_that_is_cut_is_wrong(stage: Stage) -> None:
    await begun(stage, 2)
    await stage.beat(1)
    stage.listeners[1].close()
    with pytest.raises(Wrong, match="a connection ended"):
        await stage.beat(1)


async def test_documents_are_read_too(stage: Stage) -> None:
    server = Server("none", stage.url, getpid())
    await stage.gather(server, [document(members(), 1)] * 2)
    for each in stage.listeners:
        each.ask()
    await stage.until(lambda: len(stage.calls) == 2)
    for call in stage.calls:
        call.document(b"{}")
    await stage.until(lambda: all(each.began for each in stage.listeners))
    await asyncio.sleep(0)
    stage.check([b"{}"])
