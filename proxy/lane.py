"""A lane: one thread that does, one after the other, what may block or hang.

Unlike an executor's, its thread is not waited for when the process ends: what hangs on a dead disk
would keep the process from ending, too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from proxy.model.errors import TierError

T = TypeVar("T")
_Given: TypeAlias = tuple[asyncio.AbstractEventLoop, Callable[[], Callable[[], None]]]


class Lane:
    """Jobs are done in the order they were given; what they return or raise comes to the loop."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Given | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """What ``job`` will return or raise. To cancel it only means not to hear of it."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        future.add_done_callback(heard)

        def run() -> Callable[[], None]:
            try:
                result = job()
            except Exception as error:  # noqa: BLE001 # the root of the thread: who asked is told
                return partial(_fail, future, error)
            return partial(_settle, future, result)

        self.do(run)
        return future

    def do(self, job: Callable[[], Callable[[], None]]) -> None:
        """Have ``job`` done, which raises nothing, and then what it returns called on this loop."""
        self._jobs.put((asyncio.get_running_loop(), job))

    def stop(self) -> None:
        """End the thread once it has done what it was given. Does not wait."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (given := self._jobs.get()) is not None:
            loop, job = given
            told = job()
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                loop.call_soon_threadsafe(told)
            # What they hold on to is not to stay until there is another.
            del given, loop, job, told


def _settle(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def heard(future: asyncio.Future[Any]) -> None:
    """Look at what a future came to, so that an error nobody waits for any more makes no noise."""
    if not future.cancelled():
        future.exception()


async def within(limit_s: float, future: asyncio.Future[T]) -> T:
    """What ``future`` comes to, which goes on whatever happens here. Raises TierError if late."""
    await asyncio.wait((future,), timeout=limit_s)
    if not future.done():
        raise TierError(f"disk: no answer within {limit_s:g} s")
    return future.result()
