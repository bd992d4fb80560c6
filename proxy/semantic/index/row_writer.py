"""Writing the rows of a local index to its file, behind the caller's back and in batches.

The newest word on each row waits as its name only; what the row is gets read from memory when its
batch is due. If the file is full or a write fails, what is in it cannot be told any more: it is
cleared, and all rows in memory are written again, after a pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import lmdb
import numpy as np

from proxy.lane import Lane
from proxy.semantic.index.loading import record
from proxy.semantic.index.places import NOWHERE
from proxy.semantic.index.row_file import RowFile, is_torn
from proxy.semantic.index.rows import NAMESPACE_BYTES, Rows

_BATCH: Final = 512  # rows read from memory in one go: about a millisecond
_PAUSE_S: Final = 30.0  # after a write has failed, as on a full disk
_OVERFLOWS: Final = 3  # of the file, each time it is written anew; then it is given up


class RowWriter:
    """The way of rows into an open file.

    Args:
        rows: those in memory; others after ``clear``.
        wall: seconds since 1970.
    """

    def __init__(self, file: RowFile, lane: Lane, rows: Rows, wall: Callable[[], float]) -> None:
        self._file = file
        self._lane = lane
        self._rows = rows
        self._wall = wall
        self._waiting: dict[bytes, None] = {}  # namespace | digest
        self._all_from: int | None = None  # the slot from which on all rows are to be written
        self._torn = False  # it is to be set aside first
        self._anew = False  # the file is to be cleared first
        self._writing: asyncio.Future[None] | None = None
        self._off_until = 0.0  # seconds since 1970
        self._overflows = 0  # in a row
        self._idle = asyncio.Event()
        self._idle.set()
        self.failed = 0  # transactions

    def note(self, name: bytes) -> None:
        """A row was added or dropped: have the file say so, some time."""
        self._waiting[name] = None
        if len(self._waiting) > self._rows.capacity:  # most by far were dropped again
            self._begin_anew()
        if self._writing is None:
            self._write()

    def clear(self, rows: Rows) -> None:
        """Forget all; from now on write of ``rows``."""
        self._rows = rows
        self._overflows = 0
        self._off_until = 0.0
        self._begin_anew()
        if self._writing is None:
            self._write()

    def give_up(self) -> None:
        """What is in the file cannot be read: set it aside, and write all there is into another."""
        self._torn = True
        self._begin_anew()
        if self._writing is None:
            self._write()

    @property
    def is_off(self) -> bool:
        """Whether nothing is written for now, since that has failed."""
        return self._overflows >= _OVERFLOWS or self._wall() < self._off_until

    async def flush(self) -> None:
        """Wait until nothing waits to be written, or writing fails."""
        await self._idle.wait()

    def _begin_anew(self) -> None:
        self._anew, self._all_from = True, 0
        self._waiting.clear()

    def _write(self) -> None:
        """Have the next batch written, if there is one."""
        if self.is_off or not (self._anew or self._waiting or self._all_from is not None):
            self._writing = None
            self._idle.set()
            return
        self._idle.clear()
        if self._anew:
            job: Callable[[], None] = self._file.begin_anew if self._torn else self._file.clear
            self._anew = self._torn = False
        else:
            job = partial(self._file.write, self._batch())
        self._writing = self._lane.submit(job)
        self._writing.add_done_callback(self._written)

    def _written(self, writing: asyncio.Future[None]) -> None:
        if writing.cancelled():
            return
        error = writing.exception()
        if error is not None:
            self.failed += 1
            self._begin_anew()
            if is_torn(error):
                self._torn = True
            if isinstance(error, lmdb.MapFullError):
                self._overflows += 1
            else:
                self._off_until = self._wall() + _PAUSE_S
        elif self._all_from is None and not self._anew:
            self._overflows = 0
        self._write()

    def _batch(self) -> list[tuple[bytes, bytes | None]]:
        names = [name for name, _ in zip(self._waiting, range(_BATCH), strict=False)]
        for name in names:
            del self._waiting[name]
        batch = [(name, self._record(self._slot(name))) for name in names]
        if self._all_from is not None and not names:
            batch = self._next_of_all(self._all_from)
        return batch

    def _next_of_all(self, start: int) -> list[tuple[bytes, bytes | None]]:
        rows = self._rows
        end = start + _BATCH
        self._all_from = end if end < rows.used else None
        slots = start + np.flatnonzero(rows.space_of[start : min(end, rows.used)])
        return [(rows.name(slot), self._record(slot)) for slot in slots.tolist()]

    def _slot(self, name: bytes) -> int:
        return self._rows.find(name[:NAMESPACE_BYTES], name[NAMESPACE_BYTES:])

    def _record(self, slot: int) -> bytes | None:
        if slot == NOWHERE:
            return None
        rows = self._rows
        return record(
            float(rows.expires[slot]),
            float(rows.added[slot]),
            float(rows.factors[slot]),
            rows.vectors[slot].tobytes(),
            rows.key(slot).scope,
        )
