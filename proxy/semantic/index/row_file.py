"""The file of a local index: records by namespace and digest in LMDB, shared on one host.

Everything here blocks. Nothing is synced on the way, so what a killed process wrote is there, and
what the machine had not written when it stopped is not: the boot at which the file was in use is
noted beside it, and a file of another boot that was not closed well is never opened but set aside.
(``docs/decisions/0008-lmdb.md`` tells why; the disk tier does the same.)

A process reads the file once, when it starts. What others write meanwhile it sees when it starts
the next time.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import lmdb

if TYPE_CHECKING:
    Transaction = lmdb.Transaction[memoryview]

_FORMAT: Final = b"sidecache vectors 1"
_TABLES: Final = {b"rows", b"about"}
_CLEAN: Final = "closed well"
_TORN: Final = "torn"
_READERS: Final = 126  # at once on one host; a process has two at most
_BATCH: Final = 2048  # records read at once
_USERS: Final = "users.lock"
_BESIDES: Final = 250  # bytes of a row: the key, the scope and the head of a record
_PAGE: Final = 4_096
_INLINE: Final = 1_900  # bytes; LMDB gives a longer record pages of its own
_LEAST: Final = 64 * 2**20

# What LMDB says of a file whose inside makes no sense.
_UNSOUND: Final = (
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.IncompatibleError,
    lmdb.BadDbiError,
)


class NotOurs(Exception):
    """The file is LMDB's, but was not written here or by another release; or it is cut short."""


class RowFile:
    """Records in a folder. Its methods raise ``lmdb.Error`` or ``OSError``.

    Args:
        folder: for this alone; made if missing, for its owner only.
        max_bytes: how large the file may become. Fixed for all processes by the first.
        boot: what tells this run of the machine from others.
    """

    def __init__(self, folder: Path, max_bytes: int, boot: str) -> None:
        self.folder = folder
        self._path = folder / "rows.mdb"
        self._max_bytes = max_bytes
        self._boot = boot
        self._users = -1
        self.set_aside = 0

    def open(self) -> None:
        """Open the file, or set it aside and begin a new one."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(f"{self.folder} is not a directory of this user")
        self.folder.chmod(0o700)
        with self._one_at_a_time():
            self._users = _locked(self.folder / _USERS)
            try:
                alone = _try(self._users, fcntl.LOCK_EX)
                if alone and self._path.exists() and self._note() not in {_CLEAN, self._boot}:
                    self._put_aside()
                try:
                    self._environment(alone=alone)
                except (NotOurs, *_UNSOUND):
                    if not alone:
                        raise
                    self._put_aside()
                    self._environment(alone=alone)
                fcntl.flock(self._users, fcntl.LOCK_SH)
            except BaseException:
                os.close(self._users)
                self._users = -1
                raise

    def close(self) -> None:
        """Close the file; the last to do so has all of it written to the disk."""
        if self._users < 0:
            return
        with self._one_at_a_time():
            try:
                if _try(self._users, fcntl.LOCK_EX) and self._note() != _TORN:
                    self._env.sync(force=True)
                    self._note(_CLEAN)
            finally:
                self._env.close()
                os.close(self._users)
                self._users = -1

    def begin_anew(self) -> None:
        """Have the file set aside by who opens it next alone: it was found to be torn. Reopen."""
        self._note(_TORN)
        self.close()
        self.open()

    def count(self) -> int:
        """How many records there are."""
        with self._env.begin(buffers=True) as txn:
            return int(txn.stat(self._rows)["entries"])

    def batches(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """All names and records, in order of the names, some at a time."""
        after = b""
        while True:
            # A transaction for each, so that none keeps old pages from being used again.
            with self._env.begin() as txn:
                cursor = txn.cursor(db=self._rows)
                found = list(islice(cursor.iternext(), _BATCH)) if cursor.set_range(after) else []
            if found:
                yield found
                after = found[-1][0] + b"\0"  # the least that comes after
            if len(found) < _BATCH:
                return

    def write(self, writes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Keep records under their names, or forget those that are None; all of it or nothing."""
        with self._env.begin(write=True, db=self._rows) as txn:
            for name, record in writes:
                if record is None:
                    txn.delete(name)
                else:
                    txn.put(name, record)

    def clear(self) -> None:
        """Forget all records."""
        self._env.reader_check()  # who was killed while reading may hold on to pages
        with self._env.begin(write=True) as txn:
            txn.drop(self._rows, delete=False)
        for _ in range(2):  # what a commit frees is free for the next but one
            with self._env.begin(write=True) as txn:
                txn.put(b"format", _FORMAT, db=self._about)

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
        """Open the tables, and make them in a new file. Raises NotOurs."""
        # To read beyond the end of a file that is mapped kills the process.
        pages, page = env.info()["last_pgno"] + 1, env.stat()["psize"]
        if pages * page > max(self._path.stat().st_size, 2 * page):
            raise NotOurs("the file is cut short")
        env.reader_check()
        with env.begin(write=True) as txn:
            tables = {bytes(name) for name in txn.cursor().iternext(values=False)}
            self._about = env.open_db(b"about", txn=txn)
            form = txn.get(b"format", db=self._about)
            if tables and (tables != _TABLES or form != _FORMAT):
                raise NotOurs("the file holds something else")
            self._rows = env.open_db(b"rows", txn=txn)
            txn.put(b"format", _FORMAT, db=self._about)

    def _note(self, new: str = "") -> str:
        """The state of the file, as noted beside it; after a ``new`` one has been."""
        note = self.folder / "state"
        if new:
            fresh = self.folder / "state.new"
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
        self._path.replace(self._path.with_name("rows.mdb.broken"))
        self._path.with_name("rows.mdb-lock").unlink(missing_ok=True)
        self.set_aside += 1

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """While one opens or closes, no other does."""
        descriptor = _locked(self.folder / "opening.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def room(row_bytes: int, max_rows: int) -> int:
    """The bytes a file may need for so many rows, whose vectors take ``row_bytes`` each."""
    each = row_bytes + _BESIDES
    if each > _INLINE:
        each = (each // _PAGE + 1) * _PAGE + _BESIDES
    # Pages are never full, and are copied to be changed.
    return max(_LEAST, 3 * each * max_rows) // _PAGE * _PAGE


def is_torn(error: BaseException) -> bool:
    """Whether an error says that the file itself is broken, not the disk or the moment."""
    return isinstance(error, _UNSOUND)


def tidy(folder: Path, kept: int) -> None:
    """Leave only ``kept`` of the row files' folders in ``folder``, those last used, or in use."""
    files = [path for path in folder.glob(f"*/{_USERS}") if path.parent.is_dir()]
    files.sort(key=lambda path: (path.parent / "state").stat().st_mtime, reverse=True)
    for path in files[kept:]:
        users = _locked(path)
        try:
            if _try(users, fcntl.LOCK_EX):
                shutil.rmtree(path.parent)
        finally:
            os.close(users)


def boot_id() -> str:
    """What tells this run of the machine from others; one word for all where none can be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def _locked(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(descriptor: int, lock: int) -> bool:
    try:
        fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
