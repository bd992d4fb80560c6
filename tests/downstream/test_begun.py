"""Coroutines that are begun where they are made, and gone on with by a task."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from proxy.downstream.begun import Begun


class Stage:
    """A task that waits, and goes on with what was begun once it is woken."""

    def __init__(self) -> None:
        self.begun: Begun[str] | None = None
        self.woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._go_on())
        self.heard = ""

    async def _go_on(self) -> None:
        try:
            await self.woken
        except asyncio.CancelledError:
            assert self.begun is not None
            self.begun.cancel()
        assert self.begun is not None
        self.heard = await self.begun

    async def begin(
        self, coroutine: Coroutine[object, None, str], *, cancel: bool = False
    ) -> Begun[str]:
        """Begin it as the loop does: while no task runs."""
        await asyncio.sleep(0)  # the task waits from here on
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Begun[str]] = loop.create_future()

        def begin() -> None:
            try:
                self.begun = Begun(coroutine, self.task, loop)
            except KeyboardInterrupt as error:
                done.set_exception(RuntimeError(type(error).__name__))
                return
            if cancel:
                self.task.cancel()
            done.set_result(self.begun)

        loop.call_soon(begin)
        return await done


async def test_what_need_not_wait_is_over_at_once() -> None:
    async def answer() -> str:
        return "here"

    stage = Stage()
    begun = await stage.begin(answer())
    assert (begun.over, begun.value) == (True, "here")
    stage.woken.set_result(None)
    await stage.task
    assert stage.heard == "here"


async def test_what_fails_at_once_fails_for_who_awaits_it() -> None:
    async def answer() -> str:
        raise ValueError("no")

    stage = Stage()
    begun = await stage.begin(answer())
    assert (begun.over, begun.value) == (True, None)
    stage.woken.set_result(None)
    with pytest.raises(ValueError, match="no"):
        await stage.task


async def test_what_must_wait_is_gone_on_with() -> None:
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))

    async def answer() -> str:
        return f"{await first} {await second}"

    stage = Stage()
    begun = await stage.begin(answer())
    assert not begun.over
    stage.woken.set_result(None)
    await asyncio.sleep(0)
    first.set_result("one")
    await asyncio.sleep(0)
    second.set_result("two")
    await stage.task
    assert stage.heard == "one two"


async def test_what_it_waited_for_may_have_come_before_it_is_gone_on_with() -> None:
    first = asyncio.get_running_loop().create_future()

    async def answer() -> str:
        await asyncio.sleep(0)
        return str(await first)

    stage = Stage()
    await stage.begin(answer())
    first.set_result("early")
    stage.woken.set_result(None)
    await stage.task
    assert stage.heard == "early"


async def test_what_only_let_others_go_first_goes_on_in_the_turn_its_task_is_woken_in() -> None:
    order: list[str] = []

    async def answer() -> str:
        asyncio.get_running_loop().call_soon(order.append, "others")
        await asyncio.sleep(0)
        order.append("answer")
        asyncio.get_running_loop().call_soon(order.append, "later")
        await asyncio.sleep(0)
        return "done"

    stage = Stage()
    await stage.begin(answer())
    stage.woken.set_result(None)
    await stage.task
    assert stage.heard == "done"
    assert order == ["others", "answer", "later"]


async def test_it_takes_the_task_that_will_go_on_for_the_current_one() -> None:
    seen: list[object] = []

    async def answer() -> str:
        seen.append(asyncio.current_task())
        async with asyncio.timeout(0.01):  # which cancels that task
            await asyncio.get_running_loop().create_future()
        return "never"

    stage, here = Stage(), asyncio.current_task()
    await stage.begin(answer())
    stage.woken.set_result(None)
    with pytest.raises(TimeoutError):
        await stage.task
    assert seen == [stage.task]
    assert asyncio.current_task() is here


@pytest.mark.parametrize("waits_for", ["a future", "a turn"])
async def test_a_task_that_is_cancelled_before_it_goes_on_cancels_what_was_begun(
    waits_for: str,
) -> None:
    future = asyncio.get_running_loop().create_future()
    ended: list[str] = []

    async def answer() -> str:
        try:
            await (future if waits_for == "a future" else asyncio.sleep(0))
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # even then it may have something to wait for
            ended.append("in good order")
            raise
        return "never"

    stage = Stage()
    await stage.begin(answer(), cancel=True)
    with pytest.raises(asyncio.CancelledError):
        await stage.task
    assert ended == ["in good order"]
    assert future.cancelled() == (waits_for == "a future")


async def test_the_end_of_the_program_is_nobodys_to_await() -> None:
    async def answer() -> str:
        raise KeyboardInterrupt

    stage = Stage()
    with pytest.raises(RuntimeError, match="KeyboardInterrupt"):
        await stage.begin(answer())
    await stage.begin(_nothing())
    stage.woken.set_result(None)
    await stage.task


async def _nothing() -> str:
    return ""
