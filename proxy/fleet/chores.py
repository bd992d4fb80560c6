"""What is done in the background, and ends with its owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine


class Chores:
    """Tasks of one owner. ``close`` must be awaited in the end.

    Args:
        report: told of an exception that none of them foresaw; a bug.
    """

    def __init__(self, report: Callable[[BaseException], None]) -> None:
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, chore: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Do ``chore`` in a task of its own."""
        task = asyncio.create_task(chore)  # noqa: TID251 - its own, ended by close()
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self, within_s: float) -> None:
        """Let what is under way come to its end for so many seconds, then cancel it."""
        if self._tasks and within_s > 0:
            await asyncio.wait(self._tasks, timeout=within_s)
        late = tuple(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._report(bug)
