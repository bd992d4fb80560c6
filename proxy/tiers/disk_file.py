"""The file of the disk tier: bytes by digest in LMDB, with expiry, a byte budget and a way back.

Everything here blocks; it is called from threads made for that, one that reads and one that writes.
The processes of one host share the file. Readers never wait for a writer, writers wait in turn.

    entries   digest -> when it dies (milliseconds since 1970) | envelope
    deaths    when it dies | digest -> nothing; in order of time
    about     format, name (drawn when it was made), generation (counted up by every clearing), used
              (bytes)

How the file is opened, shared and trusted: ``proxy/lmdb_file.py``.

Every write is counted in a tally that all processes see, whether they have a guard or not: a guard
knows by it that others have written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import lmdb

from proxy.lmdb_file import LmdbFile
from proxy.model.entry import CacheKey
from proxy.tiers.guard import Guard, Moment
from proxy.tiers.tally import Tally

if TYPE_CHECKING:
    Transaction = lmdb.Transaction[memoryview]

T = TypeVar("T")

_FORMAT: Final = b"sidecache 1"
_TABLES: Final = (b"entries", b"deaths")
_READERS: Final = 512  # at once on one host: two for each process are in use
_DEATH_BYTES: Final = 8
_PAGE: Final = 4096
_INLINE: Final = 1900  # a longer value gets pages of its own; LMDB keeps two keys a page at least
_OVERHEAD: Final = 200  # for the rows of both tables in half-filled pages
_BUDGET_SHARE: Final = 0.75  # of the map; the rest is for copies on write and gaps between pages
_SWEPT: Final = 16  # dead entries that a commit drops, and two more for each that it writes
_ROOM_SHARES: Final = (8, 2, 1)  # what goes when the map is full: an eighth, then half, then all
_SURVEYED: Final = 256  # digests at once; half a millisecond for which the loop may have to wait
_LISTED: Final = 64  # entries that are read on end when they are listed: some milliseconds
_LISTED_BYTES: Final = 2**20  # of them; one more may come
_READ_BYTES: Final = 2**18  # at once, and one more entry; a fraction of a millisecond
_EVICTED: Final = 1024  # living ones that a commit drops at most


class Write(NamedTuple):
    """What is to become of one digest."""

    digest: bytes
    value: bytes | None  # None: forget it
    dead_at: float = 0.0  # seconds since 1970
    generation: int = 0  # of the file when this was asked for; older than a clearing, it is void


class DiskFile:
    """An open file. Every method but the counters may raise ``lmdb.Error`` or ``OSError``.

    Args:
        directory: for this alone; made if missing, for its owner only.
        max_bytes: how large the file may become. Fixed for all processes by the first.
        boot: what tells this run of the machine from others.
        guarded: whether to keep a guard, which knows what need not be looked for.
    """

    def __init__(
        self, directory: Path, max_bytes: int, boot: str, *, guarded: bool = False
    ) -> None:
        self._file = LmdbFile(
            directory / "entries.mdb", max_bytes, boot,
            form=_FORMAT, tables=_TABLES, readers=_READERS,
        )  # fmt: skip
        self._tally = Tally(directory / "writes.count")
        self.guard = Guard(self._tally, directory / "guard") if guarded else None
        self._surveyed = b""  # the digest up to which the file was gone through
        self.generation = 0  # as last seen
        self.bytes = 0  # accounted for in the file, by all processes; as last seen
        self.expired = 0
        self.evicted = 0

    @property
    def set_aside(self) -> int:
        """Files that could not be trusted."""
        return self._file.set_aside

    def open(self) -> None:
        """Open the file, or set it aside and begin a new one.

        Raises:
            OSError: the directory cannot be used, or is not for its owner alone.
            lmdb.Error: the file is in use in this process, or no file can be made.
        """
        try:
            self._file.open(self._learn)
        except BaseException:
            self._tally.close()
            raise

    def close(self) -> None:
        """Close the file; the last to do so has all of it written to the disk."""
        try:
            self._file.close(self._save_guard)
        finally:
            self._tally.close()

    def give_up(self) -> None:
        """Have the file set aside by who opens it next: it was found to be torn."""
        self._file.give_up()

    def read(self, digest: bytes) -> bytes | None:
        """What was written under ``digest``."""
        with self._file.env.begin(buffers=True) as txn:
            self.generation = self._number(txn, b"generation")
            value = txn.get(digest, db=self._entries)
            return None if value is None else bytes(value[_DEATH_BYTES:])

    def read_some(
        self, keys: Sequence[CacheKey], load: Callable[[CacheKey, memoryview], T]
    ) -> list[T | None]:
        """What ``load`` makes of what was written under each of ``keys``; None if nothing was.

        Of the first few keys only, at least one, if that is much. ``load`` must not hold on to the
        bytes it is given.
        """
        found: list[T | None] = []
        size = 0
        with self._file.env.begin(buffers=True) as txn:
            self.generation = self._number(txn, b"generation")
            for key in keys:
                value = txn.get(key.digest, db=self._entries)
                if value is None:
                    found.append(None)
                    continue
                size += len(value)
                found.append(load(key, value[_DEATH_BYTES:]))
                if size >= _READ_BYTES:
                    break
        return found

    def rows(self, after: bytes, prefix: str) -> tuple[list[tuple[bytes, bytes]], bool]:
        """Some digests above ``after``, each with what was written under it; whether these are all.

        Args:
            after: a digest, or b"" for the first.
            prefix: of the digests, in hexadecimal digits in lower case.
        """
        least = bytes.fromhex(prefix if len(prefix) % 2 == 0 else f"{prefix}0")
        start = max(least, after + b"\0" if after else b"")
        rows: list[tuple[bytes, bytes]] = []
        size = 0
        with self._file.env.begin(buffers=True) as txn:
            cursor = txn.cursor(db=self._entries)
            for digest, value in cursor.iternext() if cursor.set_range(start) else ():
                if not bytes(digest).hex().startswith(prefix):
                    break
                if len(rows) >= _LISTED or size >= _LISTED_BYTES:
                    return rows, False
                rows.append((bytes(digest), bytes(value[_DEATH_BYTES:])))
                size += len(value)
        return rows, True

    def begin_survey(self) -> bool:
        """Begin to let the guard see all that is here; whether ``survey`` is to go on with it."""
        if self.guard is None:
            return False
        self._surveyed = b""
        # While this is open, nobody else is in the middle of a write. It writes nothing itself.
        with self._file.env.begin(write=True, buffers=True) as txn:
            # What is put because the guard said that it is missing must not be void when it comes.
            self.generation = self._number(txn, b"generation")
            return self.guard.begin(self._live(txn))

    def survey(self) -> bool:
        """Let the guard see some more; whether there is more to see."""
        if self.guard is None:
            return False
        with self._file.env.begin(buffers=True) as txn:
            cursor = txn.cursor(db=self._entries)
            rows = cursor.iternext(values=False) if cursor.set_range(self._surveyed) else iter(())
            digests = [bytes(row) for row in islice(rows, _SURVEYED)]
        if digests:
            self._surveyed = digests[-1] + b"\0"  # the least that comes after
        return self.guard.fill(digests, last=len(digests) < _SURVEYED)

    def write(self, writes: Sequence[Write], now: float, *, clear: bool = False) -> None:
        """Do all of it or nothing; ``clear`` comes first. ``now`` is in seconds since 1970.

        A few of the dead make room with each call, and if need be those that would die soonest.
        """
        for share in _ROOM_SHARES:
            try:
                return self._commit(writes, now, clear=clear)
            except lmdb.MapFullError:
                self._file.env.reader_check()  # who was killed while reading may hold on to pages
                self._commit([], now, short=self.bytes // share)
                self._commit([], now)  # what a commit frees is free for the next but one
        return self._commit(writes, now, clear=clear)

    def _commit(
        self, writes: Sequence[Write], now: float, *, clear: bool = False, short: int = 0
    ) -> None:
        with self._file.env.begin(write=True, buffers=True) as txn:
            generation, used = self._number(txn, b"generation"), self._number(txn, b"used")
            oldest = generation
            if clear:
                txn.drop(self._entries, delete=False)
                txn.drop(self._deaths, delete=False)
                generation, used = generation + 1, 0
            for each in writes:
                used = max(0, used - self._forget(txn, each.digest))
                if each.value is None or each.generation < oldest:
                    continue
                death = _milliseconds(each.dead_at)
                # Joined: the interpreter is free while much is copied.
                txn.put(each.digest, b"".join((death, each.value)), db=self._entries)
                txn.put(death + each.digest, b"", db=self._deaths)
                used += _cost(_DEATH_BYTES + len(each.value))
            budget = self._file.env.info()["map_size"] * _BUDGET_SHARE
            swept = _SWEPT + 2 * len(writes)
            expired, evicted, used = self._sweep(txn, used, swept, min(budget, used - short), now)
            txn.put(b"generation", generation.to_bytes(8), db=self._file.about)
            txn.put(b"used", used.to_bytes(8), db=self._file.about)
            before = self._tally.step()
            if self.guard is not None:
                kept = (each.digest for each in writes if each.value is not None)
                self.guard.learn(before, kept, self._live(txn))
        self.generation, self.bytes = generation, used
        self.expired += expired
        self.evicted += evicted

    def _sweep(
        self, txn: Transaction, used: int, swept: int, budget: float, now: float
    ) -> tuple[int, int, int]:
        """Forget some of the dead, and of the living until ``used`` is in ``budget``."""
        expired = evicted = 0
        today = _milliseconds(now)
        cursor = txn.cursor(db=self._deaths)
        while cursor.first():
            row = bytes(cursor.key())
            if row[:_DEATH_BYTES] <= today:
                if expired >= swept and used <= budget:
                    break
                expired += 1
            else:
                if used <= budget or evicted >= _EVICTED:
                    break
                evicted += 1
            used = max(0, used - self._forget(txn, row[_DEATH_BYTES:]))
            txn.delete(row, db=self._deaths)  # if it was left without its entry
        else:
            used = 0
        return expired, evicted, used

    def _forget(self, txn: Transaction, digest: bytes) -> int:
        """Take an entry out of both tables; the bytes it was accounted for."""
        value = txn.get(digest, db=self._entries)
        if value is None:
            return 0
        death, cost = bytes(value[:_DEATH_BYTES]), _cost(len(value))
        txn.delete(death + digest, db=self._deaths)
        txn.delete(digest, db=self._entries)
        return cost

    def _learn(self, txn: Transaction) -> None:
        """See what the file holds, and load the guard, in the transaction that opened it."""
        self._tally.close()  # if it was opened for a file that has been set aside
        self._tally.open(instant=self.guard is not None)
        self._entries, self._deaths = self._file.tables
        if txn.get(b"name", db=self._file.about) is None:
            txn.put(b"name", os.urandom(16), db=self._file.about)
        self._name = bytes(txn.get(b"name", b"", db=self._file.about))
        if self.guard is not None:
            self.guard.load(Moment(self._name, txn.id() - 1))
        self.generation = self._number(txn, b"generation")
        self.bytes = self._number(txn, b"used")

    def _save_guard(self) -> None:
        if self.guard is not None:
            # The transaction first: whoever has committed one by now has counted it by now.
            self.guard.save(Moment(self._name, self._file.env.info()["last_txnid"]))

    def _live(self, txn: Transaction) -> int:
        """How many entries there are."""
        return txn.stat(self._entries)["entries"]

    def _number(self, txn: Transaction, name: bytes) -> int:
        found = txn.get(name, db=self._file.about)
        return 0 if found is None else int.from_bytes(found)


def _cost(length: int) -> int:
    """Bytes of the file that a value of ``length`` takes, about."""
    if length <= _INLINE:
        return length * 3 // 2 + _OVERHEAD
    return (length // _PAGE + 1) * _PAGE + _OVERHEAD


def _milliseconds(seconds: float) -> bytes:
    return int(min(max(seconds, 0.0), 1e15) * 1000).to_bytes(_DEATH_BYTES)
