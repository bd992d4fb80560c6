"""The disk tier: entries in a file that outlives this process and that others on the host share.

No disk work happens on the event loop. One lane reads, another writes: a write that hangs, or waits
for another process, takes nothing from readers. How they share their lane, and what becomes of one
that is late, stands in ``disk_reads.py``. Writes wait (``disk_writes.py``), the newest word for
each key, which ``get`` asks first; so this process always reads its own writes, deletes and
clearings. Where there is a guard, what it rules out is not read at all.

A small entry is decoded by who waits for it, on the loop: in the lane it would keep the loop from
the interpreter just as long, but for a whole batch on end. A large one is decoded in the lane,
straight from the file, where most of the time the interpreter is not needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from proxy.lane import Lane, within
from proxy.lmdb_file import boot_id, is_torn
from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import TierError
from proxy.tiers.browsing import Digest, Fits, Page, Seen
from proxy.tiers.codec import Codec, Odd, is_light, opened
from proxy.tiers.disk_file import DiskFile, Write
from proxy.tiers.disk_queue import Batch, Put
from proxy.tiers.disk_reads import DiskReads
from proxy.tiers.disk_writes import GATHER_S, DiskWrites
from proxy.tiers.guard import Guard
from proxy.tiers.refill import Refill

T = TypeVar("T")
_Loaded: TypeAlias = bytes | Entry | Odd  # bytes: still to be decoded

_LIST_S: Final = 1.0  # that a few entries may take when they are listed
_MOST_LISTED: Final = 2000  # entries that one page may be looked for among
_MOST_HELD: Final = 16 * 2**20  # bytes of the entries on one page, and one more


class L2Disk:
    """The disk tier. Counters are plain integers that only grow, but for ``bytes``.

    Args:
        directory: for this alone; made if missing, for its owner only. On a local disk.
        codec: for this tier alone.
        max_bytes: how large the file may become; the first process on the host decides.
        max_entry_bytes: a larger entry (see ``Entry.size``) is declined.
        clock: seconds on the monotonic clock that ``Entry.stored_at`` was read from.
        wall: seconds since 1970.
        read_timeout_s: how long a ``get`` may take.
        write_timeout_s: how long ``start``, ``delete``, ``clear``, each transaction of ``flush``
            and each of the two parts of ``close`` may take.
        max_queued_bytes: of entries that wait to be written; beyond that the oldest is dropped.
        gather_s: for how long the first of them waits for others.
        guarded: whether to keep a guard, which spares reads of what is not there.
        boot: what tells this run of the machine from others; found out if not given.
    """

    name = "l2_disk"

    def __init__(
        self,
        directory: Path,
        *,
        codec: Codec,
        max_bytes: int,
        max_entry_bytes: int,
        clock: Callable[[], float],
        wall: Callable[[], float],
        read_timeout_s: float = 0.05,
        write_timeout_s: float = 5.0,
        max_queued_bytes: int = 16 * 2**20,
        gather_s: float = GATHER_S,
        guarded: bool = False,
        boot: str = "",
    ) -> None:
        self._codec = codec
        self._near = codec.twin()  # decodes on the loop
        self._file = DiskFile(directory, max_bytes, boot or boot_id(), guarded=guarded)
        self._refill: Refill | None = None  # while it is open, and has a guard
        self.max_entry_bytes = max_entry_bytes
        self._max_bytes = max_bytes
        self._max_queued_bytes = max_queued_bytes
        self._clock = clock
        self._wall = wall
        self._reading: DiskReads[_Loaded] = DiskReads(self._read, read_timeout_s)
        self._writing = DiskWrites(
            self._write, self._look, clock,
            limit_s=write_timeout_s, max_bytes=max_queued_bytes, gather_s=gather_s,
        )  # fmt: skip
        self._write_timeout_s = write_timeout_s
        self._open = False
        self._torn = False
        self._epoch = 0  # counted up by every delete and clear
        self.hits = 0
        self.misses = 0
        self.guard_wrong = 0  # reads of what the guard let pass and was not there
        self._failed = 0  # ends

    @property
    def written(self) -> int:
        """Entries."""
        return self._writing.written

    @property
    def declined(self) -> int:
        """Entries that were too large, dead on arrival, or came while writing is off."""
        return self._writing.declined

    @property
    def dropped(self) -> int:
        """Entries that were taken, and not written: too many waited, or the write failed."""
        return self._writing.dropped

    @property
    def failed(self) -> int:
        """Transactions that failed, and each part of the end that did."""
        return self._writing.failed + self._failed

    @property
    def bytes(self) -> int:
        """Bytes of the file that entries take, about; by all processes, as last seen."""
        return self._file.bytes

    @property
    def expired(self) -> int:
        """Entries that this process swept out after their time."""
        return self._file.expired

    @property
    def evicted(self) -> int:
        """Entries that this process dropped to make room."""
        return self._file.evicted

    @property
    def late(self) -> int:
        """Reads that did not come in time, or failed since one had not."""
        return self._reading.late

    @property
    def set_aside(self) -> int:
        """Files that could not be trusted when they were to be opened."""
        return self._file.set_aside

    @property
    def spared(self) -> int:
        """Reads that the guard has spared; each is a miss too."""
        return self._file.guard.spared if self._file.guard else 0

    @property
    def guard(self) -> Guard | None:
        """What rules out reads; None where there is nothing that does."""
        return self._file.guard

    @property
    def max_bytes(self) -> int:
        """How large the file may become, if this process makes it."""
        return self._max_bytes

    @property
    def is_open(self) -> bool:
        """Whether there is a file that can be asked."""
        return self._open and not self._torn

    async def start(self) -> None:
        """Open the file. What is found broken is set aside and begun anew.

        Raises:
            TierError: there can be no file, or not in time. The tier stays off; ``start`` may be
                tried again.
        """
        self._reads, self._writes = Lane("disk-reads"), Lane("disk-writes")
        opening = self._writes.submit(partial(self._guarded, self._file.open))
        try:
            await within(self._write_timeout_s, opening)
        except TierError:
            if not opening.done():
                _ = self._writes.submit(self._file.close)  # should it open after all
            self._reads.stop()
            self._writes.stop()
            raise
        self._torn = False
        self._open = True
        self._reading.start(self._reads)
        self._writing.start(self._writes)
        if self._file.guard is not None:
            self._refill = Refill(self._file, self._file.guard, self._survey, self._clock)
            self._refill.look()

    async def close(self) -> None:
        """Write what waits and close the file. What hangs is left behind. Raises nothing."""
        if not self._open:
            return
        try:
            await self.flush()
        except TierError:
            self._failed += 1
        self._open = False  # no reader may be in the file when it is closed
        self._reading.close()
        if self._refill is not None:
            self._refill.stop()
        try:
            await within(self._write_timeout_s, self._reads.submit(lambda: None))
            closing = self._writes.submit(partial(self._guarded, self._file.close))
            await within(self._write_timeout_s, closing)
        except TierError:
            self._failed += 1
        finally:
            self._reads.stop()
            self._writes.stop()

    async def flush(self) -> None:
        """Wait until nothing waits to be written; what cannot be is counted as dropped.

        Raises:
            TierError: not in time, or the disk takes no deletions either.
        """
        await self._writing.flush()

    async def settled(self, key: CacheKey) -> None:
        """Wait until other processes find what was put under ``key``, or never will."""
        await self._writing.settled(key.digest)

    async def get(self, key: CacheKey) -> Entry | None:
        self._check()
        if (batch := self._writing.word(key.digest)) is not None:
            return self._count(self._alive(key, batch.puts.get(key.digest)))
        passed = False
        if self._refill is not None and (guard := self._file.guard) is not None:
            before = guard.passed
            if self._refill.rules_out(key.digest):
                return self._count(None)
            passed = guard.passed != before
        epoch = self._epoch
        loaded = await self._reading.get(key)
        found: Entry | None = None
        match loaded:
            case None:
                self.guard_wrong += passed
            case bytes():
                found = self._near.decode(key, loaded, self._clock(), self._wall())
            case Odd():
                self._codec.odd[loaded] += 1
            case Entry():
                found = loaded
        # Deleted while it was read: the deletion holds.
        return self._count(found if epoch == self._epoch else None)

    async def peek(self, digest: Digest) -> Seen | None:
        self._check()
        if (batch := self._writing.word(digest)) is not None:
            put = batch.puts.get(digest)
            alive = None if put is None else self._alive(put.entry.key, put)
            return None if alive is None else Seen(alive)
        reading = self._reads.submit(partial(self._guarded, partial(self._peek, digest)))
        return await within(self._reading.limit_s, reading)

    async def page(self, after: str, prefix: str, fits: Fits, most: int) -> Page:
        """As that of an open tier: by digest. What waits to be written is not told yet."""
        self._check()
        at, looked_at, held, seen = bytes.fromhex(after), 0, 0, list[Seen]()
        while looked_at < _MOST_LISTED:
            job = partial(self._guarded, partial(self._list, at, prefix))
            rows, over = await within(_LIST_S, self._reads.submit(job))
            for at, entry in rows:
                looked_at += 1
                if entry is None or self._writing.word(at) is not None or not fits(entry):
                    continue
                seen.append(Seen(entry))
                held += entry.size
                if len(seen) >= most or held >= _MOST_HELD:
                    return Page(seen, at.hex(), looked_at)
            if over:
                return Page(seen, None, looked_at)
        return Page(seen, at.hex(), looked_at)

    async def put(self, entry: Entry) -> bool:
        self._check()
        now = self._clock()
        most = min(self.max_entry_bytes, self._max_queued_bytes)
        size = entry.size
        if self._writing.off or size > most or entry.age(now) >= entry.lifetime.keep:
            self._writing.decline(entry.key.digest)
            return False
        self._writing.put(Put(entry, self._file.generation, size))
        return True

    async def delete(self, key: CacheKey) -> None:
        self._check()
        self._epoch += 1
        await self._writing.delete(key.digest)

    async def clear(self) -> None:
        self._check()
        self._epoch += 1
        await self._writing.clear()

    # -- on the loop --------------------------------------------------------------------------

    def _check(self) -> None:
        if not self._open:
            raise TierError("the disk tier is not open")
        if self._torn:
            raise TierError("the file on the disk is torn")

    def _alive(self, key: CacheKey, put: Put | None) -> Entry | None:
        """What waits to be written, if it is what was asked for and not past its keep."""
        if put is None or put.entry.key != key:
            return None
        entry = put.entry
        return entry if entry.age(self._clock()) < entry.lifetime.keep else None

    def _count(self, found: Entry | None) -> Entry | None:
        if found is None:
            self.misses += 1
        else:
            self.hits += 1
        return found

    def _look(self) -> None:
        """Have the guard filled, if it wants that: something was written, or given up."""
        if self._refill is not None and self._open:
            self._refill.look()

    def _survey(self, job: Callable[[], bool]) -> asyncio.Future[bool]:
        return self._writes.submit(partial(self._guarded, job))

    # -- in the lanes -------------------------------------------------------------------------

    def _guarded(self, work: Callable[[], T]) -> T:
        """``work``, whatever it raises told in our own words."""
        try:
            return work()
        except Exception as error:  # whatever it is: a tier that fails is a miss
            if self._open and is_torn(error):
                self._torn = True  # what makes no sense to LMDB may well crash it the next time
                self._file.give_up()
            raise TierError(f"disk: {error}") from error

    def _read(self, keys: Sequence[CacheKey]) -> list[_Loaded | None]:
        return self._guarded(partial(self._file.read_some, keys, self._load))

    def _load(self, key: CacheKey, blob: memoryview) -> _Loaded:
        # What is odd stays: the miss brings a new one in its place.
        if is_light(blob):
            return bytes(blob)
        return self._codec.read(key, blob, self._clock(), self._wall())

    def _peek(self, digest: Digest) -> Seen | None:
        blob = self._file.read(digest)
        entry = (
            None if blob is None else opened(self._codec, digest, blob, self._clock(), self._wall())
        )
        return None if entry is None else Seen(entry)

    def _list(self, after: Digest, prefix: str) -> tuple[list[tuple[Digest, Entry | None]], bool]:
        rows, over = self._file.rows(after, prefix)
        now, wall = self._clock(), self._wall()
        return [
            (digest, opened(self._codec, digest, blob, now, wall)) for digest, blob in rows
        ], over

    def _write(self, batch: Batch) -> int:
        return self._guarded(partial(self._commit, batch))

    def _commit(self, batch: Batch) -> int:
        """Write a batch; how many of its entries no envelope could hold."""
        now, wall = self._clock(), self._wall()
        writes = [Write(digest, None) for digest in batch.deletes]
        beyond = 0
        for digest, (entry, generation, _) in batch.puts.items():
            dead_at = wall + entry.lifetime.keep - entry.age(now)
            try:
                blob = self._codec.encode(entry, now, wall)
            except ValueError:
                beyond += 1
                writes.append(Write(digest, None))
            else:
                writes.append(Write(digest, blob, dead_at, generation))
        self._file.write(writes, wall, clear=batch.clear)
        return beyond
