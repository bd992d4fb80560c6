"""Something asynchronous on a thread and a loop of its own, for tests of what blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")

_LIMIT_S = 20.0


@contextmanager
def beside(manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """What ``manager`` opens, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    leave: asyncio.Event = asyncio.Event()

    async def hold(entered: asyncio.Future[T]) -> None:
        # Entered and left by one task, as cancel scopes want it.
        async with manager as opened:
            loop.call_soon(entered.set_result, opened)
            await leave.wait()

    async def begin() -> tuple[T, asyncio.Task[None]]:
        entered: asyncio.Future[T] = loop.create_future()
        holding = loop.create_task(hold(entered))
        await asyncio.wait([entered, holding], return_when=asyncio.FIRST_COMPLETED)
        if holding.done():
            holding.result()
        return entered.result(), holding

    async def finish(holding: asyncio.Task[None]) -> None:
        leave.set()
        await holding

    try:
        opened, holding = asyncio.run_coroutine_threadsafe(begin(), loop).result(_LIMIT_S)
        try:
            yield opened
        finally:
            asyncio.run_coroutine_threadsafe(finish(holding), loop).result(_LIMIT_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_LIMIT_S)
        loop.close()
