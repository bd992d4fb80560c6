"""A tier that is watched: what came of each operation, and how long it took.

Not for the memory tier, which would take longer to watch than to ask, and counts for itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from proxy.histogram import Histogram
from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import TierError
from proxy.tiers.browsing import Fits, OpenTier, Page, Seen

T = TypeVar("T")


class Watched:
    """What was asked of a tier, by operation (get, put, delete, clear). Counters only grow."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        # By operation and result: hit, miss; taken, declined; done; error.
        self.counts: dict[tuple[str, str], int] = {}
        self.seconds: dict[str, Histogram] = {}

    def note(self, operation: str, result: str, seconds: float) -> None:
        """Count one."""
        place = (operation, result)
        self.counts[place] = self.counts.get(place, 0) + 1
        if (histogram := self.seconds.get(operation)) is None:
            histogram = self.seconds[operation] = Histogram()
        histogram.add(seconds)


class MeasuredTier:
    """``inner``, watched. An ``OpenTier``; who only looks into it is not counted.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, inner: OpenTier, clock: Callable[[], float]) -> None:
        self._inner = inner
        self._clock = clock
        self.watched = Watched()

    @property
    def name(self) -> str:
        return self._inner.name

    async def get(self, key: CacheKey) -> Entry | None:
        return await self._timed("get", self._inner.get(key), _found)

    async def put(self, entry: Entry) -> bool:
        return await self._timed("put", self._inner.put(entry), _taken)

    async def delete(self, key: CacheKey) -> None:
        await self._timed("delete", self._inner.delete(key), _done)

    async def clear(self) -> None:
        await self._timed("clear", self._inner.clear(), _done)

    async def peek(self, digest: bytes) -> Seen | None:
        return await self._inner.peek(digest)

    async def page(self, after: str, prefix: str, fits: Fits, most: int) -> Page:
        return await self._inner.page(after, prefix, fits, most)

    async def _timed(self, operation: str, doing: Awaitable[T], result: Callable[[T], str]) -> T:
        """What comes of ``doing``; what is cancelled is not counted."""
        began = self._clock()
        try:
            done = await doing
        except TierError:
            self.watched.note(operation, "error", self._clock() - began)
            raise
        self.watched.note(operation, result(done), self._clock() - began)
        return done


def _found(entry: Entry | None) -> str:
    return "miss" if entry is None else "hit"


def _taken(taken: bool) -> str:  # noqa: FBT001 - what a put returns
    return "taken" if taken else "declined"


def _done(_: None) -> str:
    return "done"
