"""What is asked of an engine elsewhere, and what that may cost: a budget, a breaker, a bound.

Whatever the engine does, its caller goes on in time, with a TierError. Each question is put in a
task of its own: libraries close connections politely when they are cut short, and wait for the
engine while they do. There are never more tasks than connections. A breaker hears how each ended;
after a few that failed callers are turned away at once, and one of them a second is let through to
see whether the engine is back.

What an index needs in an engine (a collection, a table) is made by whoever comes first, once, and
again when it has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, TypeVar

from proxy.breaker import Breaker
from proxy.model.errors import TierError

_T = TypeVar("_T")

_MOST_WORDS: Final = 200  # of what an engine says that is told on
_CLOSE_S: Final = 1.0  # for what is cut short to end
_SWEEP_S: Final = 60.0  # between two sweeps of one replica


class Gone(Exception):
    """What the index needs in the engine is not there any more; the engine is well."""


class Engine:
    """An engine, as far as it may be asked. Counters are plain integers that only grow.

    Args:
        name: what to call it in errors.
        clock: seconds on a monotonic clock.
        dice: a number from 0 up to 1, each time another.
        report: told once of each change: whether it may be asked now, and why.
        operation_s: seconds a caller waits for one operation.
        setup_s: seconds that making what is needed may take; only ``open`` waits for all of it.
        connections: the most operations at a time.

    Attributes:
        operation_s, setup_s, connections: as given, for libraries that keep to limits themselves.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Callable[[], float],
        dice: Callable[[], float],
        report: Callable[[bool, str], None],
        operation_s: float,
        setup_s: float,
        connections: int,
    ) -> None:
        self._name = name
        self._clock = clock
        self.operation_s = operation_s
        self.setup_s = setup_s
        self.connections = connections
        self._breaker = Breaker(clock=clock, dice=dice, report=report)
        self._free = asyncio.Semaphore(connections)
        self._tasks: set[asyncio.Task[object]] = set()
        self._prepare: Callable[[], Awaitable[None]] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._ready = False
        self._sweep_at = 0.0
        self.sent = 0  # operations that the engine was asked for
        self.failed = 0  # of these: no answer in time, or one that made no sense
        self.turned_away = 0  # callers, because the engine is off

    async def open(self, prepare: Callable[[], Awaitable[None]]) -> None:
        """Make what is needed, with ``prepare``, which may be called again at any time.

        Raises:
            TierError: it could not be made now. It is tried again by whoever asks.
        """
        self._prepare = prepare
        self._ready = False
        self._sweep_at = self._clock() + _SWEEP_S
        await self.ask(_nothing, limit_s=self.setup_s)

    async def ask(
        self, work: Callable[[], Coroutine[None, None, _T]], *, limit_s: float | None = None
    ) -> _T:
        """What ``work`` comes to, if it is done in time. Raises TierError."""
        if self._prepare is None:
            raise TierError(f"{self._name} is not open")
        trial = not self._breaker.closed
        if trial and not self._breaker.probe_due():
            self.turned_away += 1
            raise TierError(f"{self._name} is off")
        self.sent += 1
        try:
            async with asyncio.timeout(limit_s or self.operation_s):
                await self._prepared()
                await self._free.acquire()
                # No await in between: from here on, the task lets go of what was acquired.
                task = self._spawn(work())
                task.add_done_callback(lambda _task: self._free.release())
                found = await _outcome(task)
        except Gone as error:
            self._ready = False
            self._breaker.succeeded()
            raise TierError(f"{self._name} has lost what it was given: {error}") from error
        except Exception as error:  # the door of the room: libraries raise all sorts
            why = f"{type(error).__name__}: {error}"[:_MOST_WORDS]
            self.failed += 1
            self._breaker.failed(why)
            raise TierError(f"{self._name}: {why}") from error
        if trial:
            self._breaker.recovered()
        else:
            self._breaker.succeeded()
        return found

    def sweep_due(self) -> bool:
        """Whether the caller shall sweep up what is past its time; true about once a minute."""
        now = self._clock()
        if now < self._sweep_at:
            return False
        self._sweep_at = now + _SWEEP_S
        return True

    async def close(self) -> None:
        """End what is under way."""
        self._prepare = None
        self._ready = False
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_S)

    async def _prepared(self) -> None:
        """Return once what is needed is there; all who wait do so for one task."""
        while not self._ready:
            if self._prepare is None:
                raise TierError("it was closed")
            preparing = self._preparing
            if preparing is None or preparing.done():
                self._preparing = preparing = self._spawn(self._make_ready(self._prepare))
            # It goes on for the others, and for the next one, when a caller has to leave. By the
            # time this one is awake, another may have begun anew.
            await asyncio.wait((preparing,))
            _ended_well(preparing)

    async def _make_ready(self, prepare: Callable[[], Awaitable[None]]) -> None:
        async with asyncio.timeout(self.setup_s):
            await prepare()
        self._ready = self._prepare is prepare

    def _spawn(self, work: Coroutine[None, None, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)  # noqa: TID251 - its own, ended by close()
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen here: its caller may be gone


async def _outcome(task: asyncio.Task[_T]) -> _T:
    """What ``task`` comes to; it is cut short, and not waited for, when its caller has to leave."""
    try:
        await asyncio.wait((task,))
    finally:
        if not task.done():
            task.cancel()
    return _ended_well(task)


def _ended_well(task: asyncio.Task[_T]) -> _T:
    """What a task that is done came to. Raises what it raised, or TierError if it was cut short."""
    if task.cancelled():
        raise TierError("it was cut short")
    return task.result()


async def _nothing() -> None:
    """Ask for nothing but that all is made ready."""
