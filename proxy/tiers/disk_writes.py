"""Writes of the disk tier: what waits goes to the lane in batches, and what becomes of them.

A put waits a moment for company: to wake the lane, begin a transaction and wake the loop again
takes longer than to write. Who waits for one (``flush``, ``settled``, a deletion, the end) ends
that, and so does a batch that is full.

What cannot be written is replaced by a deletion, since an older entry must not be served in place
of a newer one that was lost. After a write has failed, nothing more is taken for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from proxy.lane import Lane, heard, within
from proxy.tiers.disk_queue import Batch, Put

GATHER_S: Final = 0.005  # some misses one after the other; twenty at once
_PAUSE_S: Final = 30.0  # without puts after a write has failed, as on a full disk


class DiskWrites:
    """Words that wait to be written, and those who wait for that. On the loop.

    Counters are plain integers that only grow.

    Args:
        write: writes a batch; how many of its entries no envelope could hold. Called in the lane.
            May raise TierError.
        written: called whenever a batch has been written, or given up.
        clock: seconds, monotonic.
        limit_s: how long a deletion, a clearing and each transaction of ``flush`` may take.
        max_bytes: of entries that wait; beyond that the oldest is dropped.
        gather_s: for how long the first of them waits for others.
    """

    def __init__(
        self,
        write: Callable[[Batch], int],
        written: Callable[[], None],
        clock: Callable[[], float],
        *,
        limit_s: float,
        max_bytes: int,
        gather_s: float,
    ) -> None:
        self._write = write
        self._tell = written
        self._clock = clock
        self._limit_s = limit_s
        self._max_bytes = max_bytes
        self._gather_s = gather_s
        self._timer: asyncio.TimerHandle | None = None  # until what waits is pushed
        self.pending = Batch()
        self._writing: Batch | None = None
        self._asked: list[asyncio.Future[None]] = []  # done when all deletes that wait are
        self.turned = asyncio.Event()  # a batch has been written, or given up
        self._off_until = 0.0
        self.written = 0
        self.declined = 0
        self.dropped = 0  # the queue was full, or the write failed
        self.failed = 0  # transactions

    def start(self, lane: Lane) -> None:
        """Write through ``lane`` from now on, and on the loop that runs."""
        self._lane = lane

    @property
    def off(self) -> bool:
        """Whether nothing is taken for now, as a write has failed."""
        return self._clock() < self._off_until

    def word(self, digest: bytes) -> Batch | None:
        """The batch that decides what is found under ``digest``; None: the file does."""
        if self.pending.knows(digest):
            return self.pending
        writing = self._writing
        return writing if writing is not None and writing.knows(digest) else None

    def put(self, put: Put) -> None:
        """Have an entry written, which must fit what may wait."""
        self.pending.put(put)
        while self.pending.size > self._max_bytes:  # by others: it fits itself
            self.pending.delete(next(iter(self.pending.puts)))
            self.dropped += 1
        self._gather()

    def decline(self, digest: bytes) -> None:
        """Have what is under ``digest`` forgotten: what was to replace it is not taken."""
        self.declined += 1
        self.pending.delete(digest)
        if not self.off:
            self._gather()

    async def delete(self, digest: bytes) -> None:
        """Have what is under ``digest`` forgotten. Raises TierError: not in time, or not at all."""
        self.pending.delete(digest)
        await self._obeyed()

    async def clear(self) -> None:
        """Have all forgotten, and nothing written that waits. Raises TierError, as ``delete``."""
        self.pending = Batch(clear=True)
        await self._obeyed()

    async def flush(self) -> None:
        """Wait until nothing waits to be written; what cannot be is counted as dropped.

        Raises:
            TierError: not in time, or the disk takes no deletions either.
        """
        # Not for an empty batch, which only tells somebody that the one before it is written: two
        # who flush would ask for one after the other without end.
        while self.pending or self._writing:
            await self._obeyed()

    async def settled(self, digest: bytes) -> None:
        """Wait until what was put under ``digest`` has been written, or given up."""
        while any(each and digest in each.puts for each in (self.pending, self._writing)):
            self._push()
            await self.turned.wait()

    async def _obeyed(self) -> None:
        """Wait until the next batch, which has all deletions that wait, is on the disk."""
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked.add_done_callback(heard)
        self._asked.append(asked)
        self._push()
        await within(self._limit_s, asked)

    # -- there and back -----------------------------------------------------------------------

    def _gather(self) -> None:
        """Have what waits handed to the lane soon, and at once if it fills a batch."""
        if self.pending.full:
            self._push()
        elif self._timer is None and self._writing is None and self.pending:
            self._timer = asyncio.get_running_loop().call_later(self._gather_s, self._push)

    def _push(self) -> None:
        """Hand the next batch to the lane, unless it still has one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None or not (self.pending or self._asked):
            return
        batch, asked = self.pending.split(), self._asked
        self._writing, self._asked = batch, []
        write = self._lane.submit(partial(self._write, batch))
        write.add_done_callback(partial(self._on_written, batch, asked))

    def _on_written(
        self, batch: Batch, asked: list[asyncio.Future[None]], write: asyncio.Future[int]
    ) -> None:
        self._writing = None
        error = write.exception()
        if error is None:
            beyond = write.result()
            self.written += len(batch.puts) - beyond
            self.declined += beyond
        else:
            self.failed += 1
            self.dropped += len(batch.puts)
            self._off_until = self._clock() + _PAUSE_S
            self._restore(batch)
            if batch.puts:  # what was deleted with them goes once more, alone
                self._asked, asked = asked + self._asked, []
        for each in asked:
            if error is None:
                each.set_result(None)
            else:
                each.set_exception(error)
        if self._asked:
            self._push()
        elif error is None:
            self._gather()
        self.turned.set()
        self.turned.clear()
        self._tell()

    def _restore(self, failed: Batch) -> None:
        """Keep in mind what a failed batch should have made others forget."""
        self.pending.clear |= failed.clear
        for digest in (*failed.deletes, *failed.puts):
            if not self.pending.knows(digest):
                self.pending.delete(digest)
