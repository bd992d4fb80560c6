"""A lane: one thread that does, one after the other, what may block or hang.

Unlike an executor's, its thread is not waited for when the process ends: what hangs on a dead disk
would keep the process from ending, too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from proxy.model.errors import TierError

T = TypeVar("T")


class Lane:
    """Jobs are done in the order they were given; what they return or raise comes to the loop."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """What ``job`` will return or raise. To cancel it only means not to hear of it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        future.add_done_callback(heard)

        def deliver(result: T | None, error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type] # None only if T has it

        def run() -> None:
            result, failed = None, None
            try:
                result = job()
            except Exception as error:  # noqa: BLE001 # the root of the thread: who asked is told
                failed = error
            try:
                loop.call_soon_threadsafe(deliver, result, failed)
            except RuntimeError:
                return  # the loop is closed: nobody is left to be told

        self._jobs.put(run)
        return future

    def stop(self) -> None:
        """End the thread once it has done what it was given. Does not wait."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # what it holds on to is not to stay until there is another


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
