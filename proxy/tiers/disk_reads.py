"""Reads of the disk tier: they go to the lane in batches, and come back in batches.

To wake a thread, and then the loop again, takes a hundred times as long as to read what is in the
page cache. So what is asked for in one turn of the loop goes together. A batch that is much to read
comes back in parts, and what is left of it goes behind the others: nobody waits for a large entry
but who asked for it.

Each read has its own deadline, and one timer does for all. Once one is late, the next fail at once,
until any has come back: a disk that hangs costs one deadline, not one for each request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Generic, NamedTuple, TypeVar

from proxy.lane import Lane
from proxy.model.entry import CacheKey
from proxy.model.errors import TierError

T = TypeVar("T")

_MOST: Final = 64  # keys in a batch: to wake all who asked takes a tenth of a millisecond


class _Asked(NamedTuple, Generic[T]):
    """A read that somebody waits for."""

    key: CacheKey
    found: asyncio.Future[T | None]


class _Batch(NamedTuple, Generic[T]):
    """Reads that were sent together."""

    asked: list[_Asked[T]]
    due: float  # seconds on the loop's clock


class DiskReads(Generic[T]):
    """Those who wait for reads. On the loop.

    Args:
        read: what is under each key; or under the first few, at least one, if that is much. Called
            in the lane. May raise TierError.
        limit_s: how long a read may take.
    """

    def __init__(
        self, read: Callable[[Sequence[CacheKey]], Sequence[T | None]], limit_s: float
    ) -> None:
        self._read = read
        self.limit_s = limit_s
        self._gathered: list[_Asked[T]] = []  # in this turn
        self._sent: deque[_Batch[T]] = deque()  # in the order of the lane
        self._timer: asyncio.Handle | None = None
        self._late = False
        self._closed = True
        self.late = 0  # reads that did not come in time, or failed since one had not; only grows

    def start(self, lane: Lane) -> None:
        """Read through ``lane`` from now on, and on the loop that runs."""
        self._lane = lane
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def get(self, key: CacheKey) -> T | None:
        """What is under ``key``. Raises TierError: it cannot be read, or not in time."""
        if self._late:
            self.late += 1
            raise TierError("the disk is still busy with an earlier read")
        found: asyncio.Future[T | None] = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._send)
        self._gathered.append(_Asked(key, found))
        if len(self._gathered) == _MOST:
            self._send()
        return await found

    def close(self) -> None:
        """Send no more batches; who would wait for one is told. Nobody may ask any more."""
        self._closed = True
        if self._timer is not None and not self._sent:
            self._timer.cancel()

    # -- there and back -----------------------------------------------------------------------

    def _send(self) -> None:
        batch, self._gathered = self._gathered, []
        self._pass(batch, self._loop.time() + self.limit_s)

    def _pass(self, batch: list[_Asked[T]], due: float) -> None:
        """Have a batch read, for who still waits."""
        batch = [each for each in batch if not each.found.done()]
        if self._closed:
            _fail(batch, "the disk tier is not open")
        elif batch:
            self._sent.append(_Batch(batch, due))
            self._lane.do(partial(self._work, [each.key for each in batch]))
            if self._timer is None:
                self._timer = self._loop.call_at(due, self._on_time)

    def _work(self, keys: Sequence[CacheKey]) -> Callable[[], None]:
        """In the lane."""
        try:
            found = self._read(keys)
        except TierError as error:
            return partial(self._failed, str(error))
        return partial(self._came, found)

    def _came(self, found: Sequence[T | None]) -> None:
        """The batch that was sent first has come back, or the first part of it."""
        self._late = False
        batch, due = self._sent.popleft()
        for asked, each in zip(batch, found, strict=False):
            if not asked.found.done():
                asked.found.set_result(each)
        self._pass(batch[len(found) :], due)

    def _failed(self, why: str) -> None:
        self._late = False
        _fail(self._sent.popleft().asked, why)

    # -- too late -----------------------------------------------------------------------------

    def _on_time(self) -> None:
        # If the loop was kept busy, what came meanwhile has its turn before anybody is late.
        self._timer = self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Give up on those who are late, and come again for the next."""
        self._timer = None
        now = self._loop.time()
        for batch, due in self._sent:
            if due <= now:
                self.late += _fail(batch, f"disk: no answer within {self.limit_s:g} s")
                self._late = True
        waits = [due for batch, due in self._sent if due > now]
        if waits:
            self._timer = self._loop.call_at(min(waits), self._on_time)


def _fail(batch: Sequence[_Asked[T]], why: str) -> int:
    """Tell those who still wait; how many."""
    waiting = [each.found for each in batch if not each.found.done()]
    for found in waiting:
        found.set_exception(TierError(why))
    return len(waiting)
