"""Locks of processes on one host: a table in a file that is theirs alone.

A name's digest says in which bucket of the table it stands. Who looks into a bucket has that part
of the file locked meanwhile, by the kernel, which lets go of it with its process, however that
ends. It takes a few microseconds, within which nothing is waited for.

A lock that was not let go has its lease, and a dead process's is taken over sooner by whoever
cannot write to it. Nothing has to be swept: what is over is written over. Where a bucket is full,
that is what ends first, which costs a call if it was not over.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from proxy.fleet.base import OWNER_CHARACTERS, Holder
from proxy.fleet.letter import NAME_BYTES
from proxy.model.errors import TierError

_T = TypeVar("_T")

_NAME_BYTES: Final = 33  # see ``lock_name``
_SLOT: Final = struct.Struct(f"={_NAME_BYTES}s{OWNER_CHARACTERS}s{NAME_BYTES}sd")
_SLOTS: Final = 8  # in a bucket
_BUCKET_BYTES: Final = _SLOT.size * _SLOTS
_BUCKETS: Final = 8192  # some 5 MB once all have been used; of a sparse file until then
_PATIENCE_S: Final = 0.05  # to get into a bucket; others are in there for microseconds
_LONGEST_S: Final = 3600.0  # what ends later was written by another clock


_Slot = tuple[bytes, bytes, bytes, float]
"""A name, the replica and the flight that hold its lock, and when that ends; then it is free."""


class FileLocks:
    """``proxy.fleet.base.Locks`` of all processes that share a file.

    Args:
        path: in a directory of this user alone; of a size that no other release gives it. On a
            local disk, better in memory (tmpfs).
        clock: seconds, monotonic and the same in all processes.
        lease_s: longer than in Redis: who is dead is found out at once, not by his lease.
        patience_s: how long to wait for a process that is in the same part of the table.
    """

    doubtful = False

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float],
        lease_s: float = 30.0,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self.lease_s = lease_s
        self._path = path
        self._clock = clock
        self._patience_s = patience_s
        # One for all: the kernel lets go of a process's locks when it closes any file of them.
        self._file = -1

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    async def claim(self, name: bytes, holder: Holder) -> bool:
        return await self._within(name, partial(self._claim, name, holder))

    async def holder(self, name: bytes) -> Holder | None:
        return await self._within(name, partial(self._holder, name))

    async def renew(self, name: bytes, holder: Holder) -> bool:
        return await self._within(name, partial(self._renew, name, holder))

    async def leave(
        self,
        name: bytes,
        holder: Holder,
        linger_s: float = 0.0,
        *,
        sure: bool = False,  # noqa: ARG002 - to look costs nothing here
    ) -> bool:
        return await self._within(name, partial(self._end, name, holder, linger_s))

    # -- in a bucket --------------------------------------------------------------------------

    def _claim(self, name: bytes, holder: Holder, at: int, slots: list[_Slot]) -> bool:
        now, place = self._clock(), -1
        for number, (known, _, _, ends_at) in enumerate(slots):
            if known == name:
                if _left_s(ends_at, now):
                    return False
                place = number
        if place < 0:
            left_s = [_left_s(slot[3], now) for slot in slots]
            place = left_s.index(min(left_s))
        self._write(at, place, (name, *_as_bytes(holder), now + self.lease_s))
        return True

    def _holder(self, name: bytes, _at: int, slots: list[_Slot]) -> Holder | None:
        now = self._clock()
        for known, replica, flight, ends_at in slots:
            if known == name and _left_s(ends_at, now):
                return Holder(replica.decode("latin-1"), flight)
        return None

    def _renew(self, name: bytes, holder: Holder, at: int, slots: list[_Slot]) -> bool:
        return self._end(name, holder, self.lease_s, at, slots) or self._claim(
            name, holder, at, slots
        )

    def _end(
        self, name: bytes, holder: Holder, within_s: float, at: int, slots: list[_Slot]
    ) -> bool:
        now, wanted = self._clock(), (name, *_as_bytes(holder))
        for number, slot in enumerate(slots):
            if slot[:3] == wanted and _left_s(slot[3], now):
                self._write(at, number, (*wanted, now + within_s))
                return True
        return False

    # -- the file -----------------------------------------------------------------------------

    async def _within(self, name: bytes, work: Callable[[int, list[_Slot]], _T]) -> _T:
        """What ``work`` comes to while nobody else is in the bucket of ``name``."""
        at = int.from_bytes(name[:8]) % _BUCKETS * _BUCKET_BYTES
        try:
            if self._file < 0:
                self._file = _opened(self._path)
            await self._enter(at)
            # No waiting from here: what is locked is locked for the whole process.
            try:
                return work(at, self._read(at))
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _BUCKET_BYTES, at)
        except OSError as error:
            raise TierError(f"locks: {error}") from error

    async def _enter(self, at: int) -> None:
        """Lock the bucket at ``at``. Raises OSError, TierError."""
        gives_up_at = 0.0
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _BUCKET_BYTES, at)
            except (BlockingIOError, PermissionError):  # POSIX, fcntl(2): either
                now = asyncio.get_running_loop().time()
                gives_up_at = gives_up_at or now + self._patience_s
                if now >= gives_up_at:
                    raise TierError("locks: another process does not let go") from None
            else:
                return
            await asyncio.sleep(0)

    def _read(self, at: int) -> list[_Slot]:
        blob = os.pread(self._file, _BUCKET_BYTES, at).ljust(_BUCKET_BYTES, b"\0")
        return list(_SLOT.iter_unpack(blob))

    def _write(self, at: int, number: int, slot: _Slot) -> None:
        os.pwrite(self._file, _SLOT.pack(*slot), at + number * _SLOT.size)


def _left_s(ends_at: float, now: float) -> float:
    """For how long it is to be there; 0 for what is over, or makes no sense."""
    left_s = ends_at - now
    return left_s if 0 < left_s <= _LONGEST_S else 0.0


def _as_bytes(holder: Holder) -> tuple[bytes, bytes]:
    return holder.replica.encode("latin-1", "replace"), holder.flight


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)
