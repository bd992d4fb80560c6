"""The file of the disk tier: bytes by digest in LMDB, with expiry, a byte budget and a way back.

Everything here blocks; it is called from threads made for that, one that reads and one that writes.
The processes of one host share the file. Readers never wait for a writer, writers wait in turn.

    entries   digest -> when it dies (milliseconds since 1970) | envelope
    deaths    when it dies | digest -> nothing; in order of time
    about     format, name (drawn when it was made), generation (counted up by every clearing), used
              (bytes)

Nothing is synced on the way: the kernel has what a process wrote even if that is killed. What the
kernel itself has not written is lost, perhaps out of order, when the machine stops; so the boot at
which the file was in use is noted beside it, and a file of another boot that was not closed well is
never opened. Why LMDB and why so: ``docs/decisions/0008-lmdb.md``.

Every write is counted in a tally that all processes see, whether they have a guard or not: a guard
knows by it that others have written.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import lmdb

from proxy.tiers.guard import Guard, Moment
from proxy.tiers.tally import Tally

if TYPE_CHECKING:
    Transaction = lmdb.Transaction[memoryview]

_FORMAT: Final = b"sidecache 1"
_TABLES: Final = {b"entries", b"deaths", b"about"}
_CLEAN: Final = "closed well"
_TORN: Final = "torn"
_READERS: Final = 512  # at once on one host: two for each process are in use
_DEATH_BYTES: Final = 8
_PAGE: Final = 4096
_INLINE: Final = 1900  # a longer value gets pages of its own; LMDB keeps two keys a page at least
_OVERHEAD: Final = 200  # for the rows of both tables in half-filled pages
_BUDGET_SHARE: Final = 0.75  # of the map; the rest is for copies on write and gaps between pages
_SWEPT: Final = 16  # dead entries that a commit drops, and two more for each that it writes
_ROOM_SHARES: Final = (8, 2, 1)  # what goes when the map is full: an eighth, then half, then all
_SURVEYED: Final = 256  # digests at once; half a millisecond for which the loop may have to wait
_EVICTED: Final = 1024  # living ones that a commit drops at most

# What LMDB says of a file whose inside makes no sense.
_UNSOUND: Final = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.IncompatibleError,
    lmdb.BadDbiError,
)


class NotOurs(Exception):
    """The file is LMDB's, but it was not written here or by another release; or it is cut short."""


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
        self._directory = directory
        self._path = directory / "entries.mdb"
        self._max_bytes = max_bytes
        self._boot = boot
        self._users = -1
        self._tally = Tally(directory / "writes.count")
        self.guard = Guard(self._tally, directory / "guard") if guarded else None
        self._surveyed = b""  # the digest up to which the file was gone through
        self.generation = 0  # as last seen
        self.bytes = 0  # accounted for in the file, by all processes; as last seen
        self.expired = 0
        self.evicted = 0
        self.set_aside = 0

    def open(self) -> None:
        """Open the file, or set it aside and begin a new one.

        Raises:
            OSError: the directory cannot be used, or is not for its owner alone.
            lmdb.Error: the file is in use in this process, or no file can be made.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self._directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(f"{self._directory} is not a directory of this user")
        self._directory.chmod(0o700)
        with self._one_at_a_time():
            self._users = _locked(self._directory / "users.lock")
            try:
                self._tally.open(instant=self.guard is not None)
                alone = _try(self._users, fcntl.LOCK_EX)
                if alone and self._is_suspect():
                    self._put_aside()
                try:
                    self._environment(alone=alone)
                except (lmdb.InvalidError, lmdb.VersionMismatchError, NotOurs, *_UNSOUND):
                    if not alone:
                        raise
                    self._put_aside()
                    self._environment(alone=alone)
                fcntl.flock(self._users, fcntl.LOCK_SH)
            except BaseException:
                self._tally.close()
                os.close(self._users)
                raise

    def close(self) -> None:
        """Close the file; the last to do so has all of it written to the disk."""
        with self._one_at_a_time():
            try:
                if self.guard is not None:
                    # The transaction first: whoever has committed one by now has counted it by now.
                    moment = Moment(self._name, self._env.info()["last_txnid"])
                    self.guard.save(moment)
                if _try(self._users, fcntl.LOCK_EX) and self._note() != _TORN:
                    self._env.sync(force=True)
                    self._note(_CLEAN)
            finally:
                self._env.close()
                self._tally.close()
                os.close(self._users)

    def give_up(self) -> None:
        """Have the file set aside by who opens it next: it was found to be torn."""
        self._note(_TORN)

    def read(self, digest: bytes) -> bytes | None:
        """What was written under ``digest``."""
        with self._env.begin(buffers=True) as txn:
            self.generation = self._number(txn, b"generation")
            value = txn.get(digest, db=self._entries)
            return None if value is None else bytes(value[_DEATH_BYTES:])

    def begin_survey(self) -> bool:
        """Begin to let the guard see all that is here; whether ``survey`` is to go on with it."""
        if self.guard is None:
            return False
        self._surveyed = b""
        # While this is open, nobody else is in the middle of a write. It writes nothing itself.
        with self._env.begin(write=True, buffers=True) as txn:
            # What is put because the guard said that it is missing must not be void when it comes.
            self.generation = self._number(txn, b"generation")
            return self.guard.begin(self._live(txn))

    def survey(self) -> bool:
        """Let the guard see some more; whether there is more to see."""
        if self.guard is None:
            return False
        with self._env.begin(buffers=True) as txn:
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
                self._env.reader_check()  # who was killed while reading may hold on to pages
                self._commit([], now, short=self.bytes // share)
                self._commit([], now)  # what a commit frees is free for the next but one
        return self._commit(writes, now, clear=clear)

    def _commit(
        self, writes: Sequence[Write], now: float, *, clear: bool = False, short: int = 0
    ) -> None:
        with self._env.begin(write=True, buffers=True) as txn:
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
                txn.put(each.digest, death + each.value, db=self._entries)
                txn.put(death + each.digest, b"", db=self._deaths)
                used += _cost(_DEATH_BYTES + len(each.value))
            budget = self._env.info()["map_size"] * _BUDGET_SHARE
            swept = _SWEPT + 2 * len(writes)
            expired, evicted, used = self._sweep(txn, used, swept, min(budget, used - short), now)
            txn.put(b"generation", generation.to_bytes(8), db=self._about)
            txn.put(b"used", used.to_bytes(8), db=self._about)
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

    def _environment(self, *, alone: bool) -> None:
        """Open the environment and the tables. Raises NotOurs."""
        if alone:
            self._note(self._boot)
        env = lmdb.open(
            str(self._path),
            map_size=self._max_bytes if alone else 0,  # 0: as it is; none may outgrow another's
            subdir=False,
            mode=0o600,
            sync=False,
            metasync=False,
            max_dbs=len(_TABLES),
            max_readers=_READERS,
            max_spare_txns=1,
        )
        try:
            self._tables(env)
        except BaseException:
            env.close()
            raise
        self._env = env

    def _tables(self, env: lmdb.Environment) -> None:
        """Open the tables, and make them in a new file; load the guard. Raises NotOurs."""
        # To read beyond the end of a file that is mapped kills the process.
        pages, page = env.info()["last_pgno"] + 1, env.stat()["psize"]
        if pages * page > max(self._path.stat().st_size, 2 * page):
            raise NotOurs("the file is cut short")
        env.reader_check()
        with env.begin(write=True, buffers=True) as txn:
            tables = {bytes(name) for name in txn.cursor().iternext(values=False)}
            self._about = env.open_db(b"about", txn=txn)
            form = txn.get(b"format", db=self._about)
            if tables and (tables != _TABLES or form is None or bytes(form) != _FORMAT):
                raise NotOurs("the file holds something else")
            self._entries = env.open_db(b"entries", txn=txn)
            self._deaths = env.open_db(b"deaths", txn=txn)
            if txn.get(b"name", db=self._about) is None:
                txn.put(b"format", _FORMAT, db=self._about)
                txn.put(b"name", os.urandom(16), db=self._about)
            self._name = bytes(txn.get(b"name", b"", db=self._about))
            if self.guard is not None:
                self.guard.load(Moment(self._name, txn.id() - 1))
            self.generation = self._number(txn, b"generation")
            self.bytes = self._number(txn, b"used")

    def _live(self, txn: Transaction) -> int:
        """How many entries there are."""
        return txn.stat(self._entries)["entries"]

    def _number(self, txn: Transaction, name: bytes) -> int:
        found = txn.get(name, db=self._about)
        return 0 if found is None else int.from_bytes(found)

    def _is_suspect(self) -> bool:
        """Whether the machine went down under the file, or nobody here ever had it open."""
        return self._path.exists() and self._note() not in {_CLEAN, self._boot}

    def _note(self, new: str = "") -> str:
        """The state of the file, as noted beside it; after a ``new`` one has been."""
        note = self._directory / "state"
        if new:
            fresh = self._directory / "state.new"
            with fresh.open("w", encoding="utf-8") as file:
                file.write(new)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(note)
        with suppress(FileNotFoundError, UnicodeDecodeError):
            return note.read_text(encoding="utf-8")
        return ""

    def _put_aside(self) -> None:
        """Rename the file, for whoever wants to look into it; the one before goes."""
        numbers = [0]
        for old in self._directory.glob("entries.mdb.broken-*"):
            with suppress(ValueError):
                numbers.append(int(old.name.rpartition("-")[2]))
            old.unlink()
        self._path.rename(self._directory / f"entries.mdb.broken-{max(numbers) + 1}")
        self._path.with_name("entries.mdb-lock").unlink(missing_ok=True)
        self.set_aside += 1

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """While one opens or closes, no other does."""
        descriptor = _locked(self._directory / "opening.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def is_torn(error: Exception) -> bool:
    """Whether an error says that the file itself is broken, not the disk or the moment."""
    return isinstance(error, (lmdb.InvalidError, *_UNSOUND))


def boot_id() -> str:
    """What tells this run of the machine from others; one word for all where none can be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def _cost(length: int) -> int:
    """Bytes of the file that a value of ``length`` takes, about."""
    if length <= _INLINE:
        return length * 3 // 2 + _OVERHEAD
    return (length // _PAGE + 1) * _PAGE + _OVERHEAD


def _milliseconds(seconds: float) -> bytes:
    return int(min(max(seconds, 0.0), 1e15) * 1000).to_bytes(_DEATH_BYTES)


def _locked(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(descriptor: int, lock: int) -> bool:
    try:
        fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
