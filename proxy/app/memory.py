"""The watch on memory: once a second it looks how much is left, and sees to it that some is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from proxy.host.cgroup import MemoryLimit
from proxy.host.heap import Heap
from proxy.host.pressure import Allowance, Level, Pressure
from proxy.observe.state import MemoryState

log = logging.getLogger("sidecache.memory")

SPARE_BYTES: Final = 256 * 2**10
"""An answer that is longer is passed on without being kept while memory is scarce."""


class Held(Protocol):
    """The memory tier, as it is bounded."""

    @property
    def budget(self) -> int:
        """Bytes that it may hold when there is no pressure."""
        ...

    @property
    def held(self) -> int:
        """Bytes that it holds."""
        ...

    async def hold(self, most_bytes: int | None, most_entry: int | None) -> None:
        """Hold no more than that from now on; None: as the settings say."""
        ...


class MemoryWatch:
    """Keeps what is used below the limit: ``start`` it on the loop, and ``close`` it in the end.

    Args:
        limit: what the kernel allows; None: there is no pressure ever, and freed memory is given
            back all the same.
        workers: how many processes share the limit, and watch it.
        store: where answers are held.
        heap: gives back what was freed.
        spare: told whether to take in as little as possible, when that changes.
        clock: seconds, monotonic.
        every_s: between two looks.
    """

    def __init__(
        self,
        limit: MemoryLimit | None,
        store: Held,
        heap: Heap,
        *,
        spare: Callable[[], None],
        clock: Callable[[], float],
        workers: int = 1,
        every_s: float = 1.0,
    ) -> None:
        self.level = Level.EASE
        self.reached = {level: 0 for level in Level if level}  # how often
        self._limit = limit
        self._store = store
        self._heap = heap
        self._spare = spare
        self._clock = clock
        self._used: int | None = None
        self._holding: tuple[int | None, int | None] = (None, None)
        self._pressure = None if limit is None else Pressure(limit.bytes)
        self._allowance = None if limit is None else Allowance(limit.bytes, workers)
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    @property
    def may_call(self) -> bool:
        """Whether there is memory for one more answer of a backend's."""
        return self.level < Level.REFUSE

    @property
    def is_scarce(self) -> bool:
        """Whether to take in as little as possible."""
        return self.level >= Level.SPARE

    @property
    def state(self) -> MemoryState:
        """What is known of memory."""
        return MemoryState(
            None if self._limit is None else self._limit.bytes,
            self._used,
            self.level.name.lower(),
            int(self.level),
            {level.name.lower(): count for level, count in self.reached.items()},
            self._heap.trims,
        )

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._keep_looking())

    async def close(self) -> None:
        """Look no more. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def look(self) -> None:
        """Look once, and do what there is to do."""
        limit, pressure, allowance = self._limit, self._pressure, self._allowance
        if limit is not None and pressure is not None and allowance is not None:
            self._used = used = await asyncio.to_thread(limit.used)
            if used is not None:
                now = self._clock()
                self._reach(pressure.heed(used, now))
                held, budget = self._store.held, self._store.budget
                await self._hold(allowance.heed(self.level, used, held, budget, now))
        await self._heap.give_back()

    def _reach(self, level: Level) -> None:
        before, self.level = self.level, level
        if level == before:
            return
        for each in range(before + 1, level + 1):
            self.reached[Level(each)] += 1
        told = logging.WARNING if level > before else logging.INFO
        used, limit = self._used, self._limit
        log.log(
            told,
            "memory is running out" if level > before else "memory is less scarce",
            extra={
                "level": level.name.lower(),
                "before": before.name.lower(),
                "used_bytes": used,
                "limit_bytes": None if limit is None else limit.bytes,
            },
        )
        if (level >= Level.SPARE) != (before >= Level.SPARE):
            self._spare()

    async def _hold(self, allowed: int) -> None:
        held, budget = self._store.held, self._store.budget
        most = None if allowed >= budget else allowed
        entry = SPARE_BYTES if self.is_scarce else None
        if (most, entry) != self._holding:
            await self._store.hold(most, entry)
            self._holding = (most, entry)
            if self._store.held < held:
                self._heap.ask()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.look()
            except Exception as error:
                log.error("memory could not be watched", exc_info=error)  # noqa: TRY400 - told so
