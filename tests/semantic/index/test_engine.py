"""What asking an engine elsewhere may cost, with engines cranked by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest
from support.cranked import settle
from support.engines import Watch
from support.started import started

from proxy.model.errors import TierError
from proxy.semantic.index.engine import Gone


class Scene:
    """An engine, and what was made in it."""

    def __init__(self, *, operation_s: float = 20.0, connections: int = 2) -> None:
        self.watch = Watch()
        self.engine = self.watch.engine(operation_s, connections)
        self.made = 0
        self.may_make = asyncio.Event()
        self.may_make.set()
        self.faults: list[Exception] = []

    async def make(self) -> None:
        await self.may_make.wait()
        self.made += 1
        if self.faults:
            raise self.faults.pop(0)

    @property
    def states(self) -> list[bool]:
        return [closed for closed, _ in self.watch.reports]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    await scene.engine.close()


async def fine() -> int:
    return 7


async def broken() -> int:
    raise OSError("no route")


async def for_ever() -> int:
    await asyncio.Event().wait()
    return 0


async def test_what_is_needed_is_made_once_for_all_who_ask(scene: Scene) -> None:
    scene.may_make.clear()
    opening = started(scene.engine.open(scene.make))
    await settle()
    asking = [started(scene.engine.ask(fine)) for _ in range(5)]
    await settle()
    scene.may_make.set()
    await opening
    assert await asyncio.gather(*asking) == [7] * 5
    assert scene.made == 1


async def test_what_could_not_be_made_is_made_by_who_asks_next(scene: Scene) -> None:
    scene.faults = [OSError("no route")]
    with pytest.raises(TierError, match="no route"):
        await scene.engine.open(scene.make)
    assert await scene.engine.ask(fine) == 7
    assert scene.made == 2


async def test_what_has_gone_is_made_anew_and_is_no_failure(scene: Scene) -> None:
    await scene.engine.open(scene.make)

    async def gone() -> int:
        raise Gone("no such table")

    for _ in range(30):
        with pytest.raises(TierError, match="no such table"):
            await scene.engine.ask(gone)
    assert await scene.engine.ask(fine) == 7
    assert scene.made == 31
    assert scene.states == []


async def test_a_caller_who_leaves_does_not_end_what_others_wait_for(scene: Scene) -> None:
    scene.may_make.clear()
    opening = started(scene.engine.open(scene.make))
    await settle()
    asking = started(scene.engine.ask(fine))
    await settle()
    opening.cancel()
    await settle()
    scene.may_make.set()
    assert await asking == 7
    assert opening.cancelled()
    assert scene.made == 1


async def test_a_caller_who_leaves_cuts_short_what_was_asked(scene: Scene) -> None:
    await scene.engine.open(scene.make)
    ended = asyncio.Event()

    async def work() -> int:
        try:
            return await for_ever()
        finally:
            ended.set()

    asking = started(scene.engine.ask(work))
    await settle()
    asking.cancel()
    await asyncio.wait((asking,))
    assert asking.cancelled()
    await ended.wait()
    assert scene.engine.failed == 0


async def test_five_failures_turn_callers_away_until_one_finds_it_well(scene: Scene) -> None:
    await scene.engine.open(scene.make)
    for _ in range(5):
        with pytest.raises(TierError, match="OSError: no route"):
            await scene.engine.ask(broken)
    assert scene.states == [False]
    with pytest.raises(TierError, match="off"):
        await scene.engine.ask(fine)
    assert (scene.engine.failed, scene.engine.turned_away) == (5, 1)
    scene.watch.clock.turn(1.25)
    with pytest.raises(TierError, match="no route"):
        await scene.engine.ask(broken)
    with pytest.raises(TierError, match="off"):
        await scene.engine.ask(fine)
    scene.watch.clock.turn(1.25)
    assert await scene.engine.ask(fine) == 7
    assert await scene.engine.ask(fine) == 7
    assert scene.states == [False, True]


@pytest.mark.parametrize("heeds", [True, False])
async def test_no_caller_waits_for_longer_than_an_operation_may_take(heeds: bool) -> None:
    scene = Scene(operation_s=0.05)
    await scene.engine.open(scene.make)
    done = asyncio.Event()

    async def work() -> int:
        while not done.is_set():
            try:
                await done.wait()
            except asyncio.CancelledError:
                if heeds:
                    raise
        return 0

    began = monotonic()
    with pytest.raises(TierError, match="TimeoutError"):
        await scene.engine.ask(work)
    assert monotonic() - began < 5.0
    done.set()
    await scene.engine.close()


async def test_what_does_not_end_keeps_its_connection_and_others_wait_within_the_budget() -> None:
    scene = Scene(operation_s=0.05, connections=1)
    await scene.engine.open(scene.make)
    done = asyncio.Event()

    async def stubborn() -> int:
        while not done.is_set():
            try:
                await done.wait()
            except asyncio.CancelledError:
                continue
        return 0

    for _ in range(2):
        with pytest.raises(TierError, match="TimeoutError"):
            await scene.engine.ask(stubborn)
    done.set()
    await settle()
    assert await scene.engine.ask(fine) == 7
    await scene.engine.close()


async def test_no_more_is_asked_at_a_time_than_there_are_connections(scene: Scene) -> None:
    await scene.engine.open(scene.make)
    at_once, most = 0, 0

    async def work() -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return 7

    assert await asyncio.gather(*(scene.engine.ask(work) for _ in range(20))) == [7] * 20
    assert most == 2


async def test_closing_ends_what_is_under_way_and_is_told_to_who_waits(scene: Scene) -> None:
    await scene.engine.open(scene.make)
    asking = started(scene.engine.ask(for_ever))
    await settle()
    await scene.engine.close()
    with pytest.raises(TierError, match="cut short"):
        await asking
    with pytest.raises(TierError, match="not open"):
        await scene.engine.ask(fine)


async def test_closing_ends_what_is_being_made(scene: Scene) -> None:
    scene.may_make.clear()
    opening = started(scene.engine.open(scene.make))
    await settle()
    await scene.engine.close()
    with pytest.raises(TierError):
        await opening
    scene.may_make.set()
    await scene.engine.open(scene.make)
    assert await scene.engine.ask(fine) == 7
    assert scene.made == 1


async def test_an_engine_opened_for_another_embedder_makes_what_that_needs(scene: Scene) -> None:
    await scene.engine.open(scene.make)
    other = Scene()
    await scene.engine.open(other.make)
    assert (scene.made, other.made) == (1, 1)


async def test_who_asked_while_it_was_opened_anew_is_answered_with_the_new(scene: Scene) -> None:
    other = Scene()
    scene.may_make.clear()
    opening = started(scene.engine.open(scene.make))
    await settle()
    again = started(scene.engine.open(other.make))
    await settle()
    scene.may_make.set()
    await asyncio.gather(opening, again)
    assert await scene.engine.ask(fine) == 7
    assert (scene.made, other.made) == (1, 1)


async def test_a_sweep_is_due_once_a_minute(scene: Scene) -> None:
    await scene.engine.open(scene.make)
    due = []
    for _ in range(7):
        due.append(scene.engine.sweep_due())
        scene.watch.clock.turn(20)
    assert due == [False, False, False, True, False, False, True]


async def test_a_failure_nobody_waits_for_is_heard_by_nobody(scene: Scene) -> None:
    await scene.engine.open(scene.make)
    go = asyncio.Event()

    async def late() -> int:
        try:
            await go.wait()
        except asyncio.CancelledError:
            raise OSError("closed") from None
        return 0

    asking = started(scene.engine.ask(late))
    await settle()
    asking.cancel()
    await asyncio.wait((asking,))
    await settle()
    assert scene.states == []
