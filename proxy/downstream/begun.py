"""A coroutine that is begun at once, where it was made, and gone on with by a task if it must wait.

What comes to its end without waiting needs no task: waking one takes as long as the answer itself
where that is in memory. Tasks that begin at once do the same from Python 3.12 on; here the task is
one that is there already, and goes on with one coroutine after the other.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine, Generator
from typing import Generic, TypeVar

T = TypeVar("T")


class Begun(Generic[T]):
    """What is left of a coroutine whose beginning has run. To be awaited by ``task``, once.

    Args:
        coroutine: it runs here until it first waits.
        task: the one that will go on with it, which waits for something at present; ``coroutine``
            meets it as the current one.
        loop: the running one.
    """

    __slots__ = ("_awaited", "_cancelled", "_coroutine", "_failed", "_value", "over")

    def __init__(
        self,
        coroutine: Coroutine[object, None, T],
        task: asyncio.Task[None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._coroutine = coroutine
        self._failed: BaseException | None = None
        self._value: T | None = None
        self._awaited: object = None
        self._cancelled = False
        self.over = True  # whether nothing is left but what it has come to
        _enter_task(loop, task)
        try:
            self._awaited = coroutine.send(None)
            self.over = False
        except StopIteration as end:
            self._value = end.value
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as failure:  # noqa: BLE001 - for whoever awaits this
            self._failed = failure
        finally:
            _leave_task(loop, task)

    @property
    def value(self) -> T | None:
        """What it has returned; None if it has not, or has failed."""
        return self._value

    def cancel(self) -> None:
        """Let it be cancelled as soon as it is awaited: the task was, before it could do so."""
        self._cancelled = True

    def __await__(self) -> Generator[object, None, T]:
        """What ``coroutine`` returns, or raises."""
        if self._failed is not None:
            raise self._failed
        if self.over:
            return self._value  # type: ignore[return-value] # it is over, and has not failed
        rest = self._coroutine.__await__()
        awaited = self._awaited
        if awaited is None and not self._cancelled:
            return (yield from rest)  # it only let others go first, and they have
        while True:
            try:
                cancelled, self._cancelled = self._cancelled, False
                if cancelled and not _cancel(awaited):
                    raise asyncio.CancelledError  # noqa: TRY301 - as if the task had been woken by it
                yield awaited
            except BaseException as error:  # noqa: BLE001 - it is for the coroutine
                try:
                    awaited = rest.throw(error)
                except StopIteration as end:
                    value: T = end.value
                    return value
            else:
                return (yield from rest)


def _cancel(awaited: object) -> bool:
    """Cancel what is waited for, as a task that is cancelled does; False if it cannot be."""
    return isinstance(awaited, asyncio.Future) and awaited.cancel()
