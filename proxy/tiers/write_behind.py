"""Writes behind: a tier whose puts are taken at once and done in the background.

A slow tier must not make an answer wait for its storing. What waits to be written is bounded in
bytes; when there is more, the oldest goes unwritten. An older entry must not be served in place of
one that was lost, so its key is deleted in the background, and till then it is not looked for.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final

from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import TierError
from proxy.tiers.browsing import Fits, OpenTier, Page, Seen

_MOST_BYTES: Final = 32 * 2**20
_AT_ONCE: Final = 8  # entries: half of the connections to a cluster, where each takes one
_BYTES_AT_ONCE: Final = 256 * 1024  # to pack which takes a few milliseconds of the loop's time
_MOST_LOST: Final = 65_536  # keys; some 10 MB, when a tier has taken nothing for long


class WriteBehind:
    """``tier``, with writes in the background. ``start`` it, and ``close`` it in the end.

    Args:
        tier: where to.
        report: told of each write that failed.
        max_bytes: what may wait to be written.
    """

    def __init__(
        self,
        tier: OpenTier,
        report: Callable[[str, TierError], None],
        *,
        max_bytes: int = _MOST_BYTES,
    ) -> None:
        self._tier = tier
        self._report = report
        self._max_bytes = max_bytes
        self._waiting: OrderedDict[bytes, Entry] = OrderedDict()
        self._awaited: dict[bytes, asyncio.Event] = {}  # set once it no longer waits
        self._lost: OrderedDict[bytes, CacheKey] = OrderedDict()  # still to be deleted
        self._bytes = 0
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()
        self._lock = asyncio.Lock()  # a purge waits for the write under way, and is not overtaken
        self._writer: asyncio.Task[None] | None = None
        self.unwritten = 0  # entries given up because too much was waiting

    @property
    def name(self) -> str:
        return self._tier.name

    async def start(self) -> None:
        """Begin to write."""
        self._writer = asyncio.create_task(self._write())  # noqa: TID251 - close() ends it

    async def close(self, deadline_s: float) -> None:
        """Write what waits, for at most ``deadline_s`` seconds, and stop."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            async with asyncio.timeout(deadline_s):
                await self.flush()
        except TimeoutError:
            self.unwritten += len(self._waiting)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)

    async def flush(self) -> None:
        """Wait until all that was put so far has been written, or given up."""
        await self._none.wait()

    async def written(self, key: CacheKey) -> None:
        """Wait until what was put under ``key`` has been written, or given up."""
        while key.digest in self._waiting:
            await self._awaited.setdefault(key.digest, asyncio.Event()).wait()

    async def get(self, key: CacheKey) -> Entry | None:
        waiting = self._waiting.get(key.digest)
        if waiting is not None and waiting.key == key:
            return waiting
        return None if key.digest in self._lost else await self._tier.get(key)

    async def peek(self, digest: bytes) -> Seen | None:
        if (waiting := self._waiting.get(digest)) is not None:
            return Seen(waiting)
        return None if digest in self._lost else await self._tier.peek(digest)

    async def page(self, after: str, prefix: str, fits: Fits, most: int) -> Page:
        """As that of an open tier. What waits to be written is not told yet."""
        page = await self._tier.page(after, prefix, fits, most)
        kept = [
            seen
            for seen in page.seen
            if seen.entry.key.digest not in self._waiting
            and seen.entry.key.digest not in self._lost
        ]
        return page._replace(seen=kept)

    async def put(self, entry: Entry) -> bool:
        self._some.set()
        if entry.size > self._max_bytes or self._writer is None:
            self._lose(entry.key)
            return False
        self._forget(entry.key.digest)
        self._lost.pop(entry.key.digest, None)
        self._waiting[entry.key.digest] = entry
        self._bytes += entry.size
        while self._bytes > self._max_bytes:
            self._lose(next(iter(self._waiting.values())).key)
            self.unwritten += 1
        self._none.clear()
        return True

    async def delete(self, key: CacheKey) -> None:
        self._forget(key.digest)
        async with self._lock:
            await self._tier.delete(key)
            self._lost.pop(key.digest, None)

    async def clear(self) -> None:
        for digest in tuple(self._waiting):
            self._forget(digest)
        async with self._lock:
            await self._tier.clear()
            self._lost.clear()

    def _forget(self, digest: bytes) -> None:
        waiting = self._waiting.pop(digest, None)
        if waiting is not None:
            self._bytes -= waiting.size
            if (awaited := self._awaited.pop(digest, None)) is not None:
                awaited.set()

    async def _write(self) -> None:
        while True:
            while self._waiting:
                async with self._lock:
                    await self._write_some()
            self._some.clear()
            self._none.set()
            await self._delete_lost()
            await self._some.wait()

    async def _write_some(self) -> None:
        """Write the oldest, together where they are short."""
        some: list[Entry] = []
        left = _BYTES_AT_ONCE
        for entry in islice(self._waiting.values(), _AT_ONCE):
            left -= entry.size
            if some and left < 0:
                break
            some.append(entry)
        if len(some) == 1:  # mostly
            await self._write_one(some[0])
        else:
            await asyncio.gather(*map(self._write_one, some))

    async def _write_one(self, entry: Entry) -> None:
        """Write one; it can be found here until it can be found there."""
        digest = entry.key.digest
        written = True
        try:
            await self._tier.put(entry)
        except TierError as error:
            self._report(self._tier.name, error)
            written = False
        if self._waiting.get(digest) is not entry:
            return  # something newer waits, or nothing shall
        if written:
            self._forget(digest)
        else:
            self._lose(entry.key)

    def _lose(self, key: CacheKey) -> None:
        """Give up what waits under ``key``, and have deleted what it should have replaced."""
        self._forget(key.digest)
        self._lost[key.digest] = key
        if len(self._lost) > _MOST_LOST:
            self._lost.popitem(last=False)

    async def _delete_lost(self) -> None:
        """Delete what stands in the place of entries that were lost, unless there is more to do."""
        while self._lost and not self._some.is_set():
            async with self._lock:
                if not self._lost:
                    return
                digest, key = next(iter(self._lost.items()))
                try:
                    await self._tier.delete(key)
                except TierError:
                    return  # the next put comes back to it
                self._lost.pop(digest, None)
