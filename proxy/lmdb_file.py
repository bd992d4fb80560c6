"""A file of LMDB's in a folder of its own, which the processes of one host share.

Everything here blocks. Nothing is synced on the way: the kernel has what a process wrote even if
that is killed. What the kernel itself has not written is lost, perhaps out of order, when the
machine stops; so the boot at which the file was in use is noted beside it, and a file of another
boot that was not closed well is never opened but set aside. Why LMDB and why so:
``docs/decisions/0008-lmdb.md``.

    users.lock     held, shared, by all who have the file open
    opening.lock   held by the one that opens or closes it
    state          how the file was left: closed well, found torn, or the boot it was in use at
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import lmdb

if TYPE_CHECKING:
    Transaction = lmdb.Transaction[memoryview]
    Table = lmdb._Database  # noqa: SLF001 - it has no other name

_ABOUT: Final = b"about"
_CLEAN: Final = "closed well"
_TORN: Final = "torn"
_STATE: Final = "state"
_USERS: Final = "users.lock"

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


class LmdbFile:
    """A file that may be open. Its methods raise ``lmdb.Error`` or ``OSError``.

    Attributes:
        env: the environment, while it is open.
        about: the table that says what the file is, while it is open.
        tables: the others, in the order in which they were asked for.
        set_aside: how many files could not be trusted.

    Args:
        path: in a folder for this file alone, made if missing, for its owner only.
        max_bytes: how large the file may become. Fixed for all processes by the first.
        boot: what tells this run of the machine from others.
        form: what is written in the file to tell it from others'.
        tables: the names of what it holds besides ``about``.
        readers: transactions that read at once on one host, at most.
    """

    def __init__(
        self,
        path: Path,
        max_bytes: int,
        boot: str,
        *,
        form: bytes,
        tables: Sequence[bytes],
        readers: int,
    ) -> None:
        self._path = path
        self._folder = path.parent
        self._max_bytes = max_bytes
        self._boot = boot
        self._form = form
        self._names = tables
        self._readers = readers
        self._users = -1
        self.env: lmdb.Environment
        self.about: Table
        self.tables: tuple[Table, ...] = ()
        self.set_aside = 0

    def open(self, learn: Callable[[Transaction], None] | None = None) -> None:
        """Open the file, or set it aside and begin a new one.

        Args:
            learn: told of the transaction that opened the tables, and may write in it; again, if
                the file was set aside after that.

        Raises:
            OSError: the folder cannot be used, or is not for its owner alone.
            lmdb.Error: the file is in use in this process, or no file can be made.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self._folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(f"{self._folder} is not a directory of this user")
        self._folder.chmod(0o700)
        with self._one_at_a_time():
            self._users = _descriptor(self._folder / _USERS)
            try:
                alone = _alone(self._users)
                if alone and self._path.exists() and self._note() not in {_CLEAN, self._boot}:
                    self._put_aside()
                try:
                    self._environment(learn, alone=alone)
                except (NotOurs, *_UNSOUND):
                    if not alone:
                        raise
                    self._put_aside()
                    self._environment(learn, alone=alone)
                fcntl.flock(self._users, fcntl.LOCK_SH)
            except BaseException:
                self._let_go()
                raise

    def close(self, last: Callable[[], None] | None = None) -> None:
        """Close the file, if it is open; the last to do so has all of it written to the disk.

        Args:
            last: called before, while no other process opens or closes it.
        """
        if self._users < 0:
            return
        with self._one_at_a_time():
            try:
                if last is not None:
                    last()
                if _alone(self._users) and self._note() != _TORN:
                    self.env.sync(force=True)
                    self._note(_CLEAN)
            finally:
                self.env.close()
                self._let_go()

    def give_up(self) -> None:
        """Have the file set aside by who opens it next alone: it was found to be torn."""
        self._note(_TORN)

    def _environment(self, learn: Callable[[Transaction], None] | None, *, alone: bool) -> None:
        """Open the environment and the tables. Raises NotOurs."""
        if alone:
            self._note(self._boot)
        self.env = lmdb.open(
            str(self._path),
            map_size=self._max_bytes if alone else 0,  # 0: as it is; none may outgrow another's
            subdir=False,
            mode=0o600,
            sync=False,
            metasync=False,
            max_dbs=1 + len(self._names),
            max_readers=self._readers,
            max_spare_txns=1,
        )
        try:
            self._check_length()
            self.env.reader_check()
            with self.env.begin(write=True, buffers=True) as txn:
                self._open_tables(txn)
                if learn is not None:
                    learn(txn)
        except BaseException:
            self.env.close()
            raise

    def _check_length(self) -> None:
        """Raise NotOurs if the file is cut short: to read beyond its end kills the process."""
        pages, page = self.env.info()["last_pgno"] + 1, self.env.stat()["psize"]
        if pages * page > max(self._path.stat().st_size, 2 * page):
            raise NotOurs("the file is cut short")

    def _open_tables(self, txn: Transaction) -> None:
        """Open the tables, and make them in a new file. Raises NotOurs."""
        there = {bytes(name) for name in txn.cursor().iternext(values=False)}
        self.about = self.env.open_db(_ABOUT, txn=txn)
        form = txn.get(b"format", db=self.about)
        if not there:
            txn.put(b"format", self._form, db=self.about)
        elif there != {_ABOUT, *self._names} or form is None or bytes(form) != self._form:
            raise NotOurs("the file holds something else")
        self.tables = tuple(self.env.open_db(name, txn=txn) for name in self._names)

    def _note(self, new: str = "") -> str:
        """The state of the file, as noted beside it; after a ``new`` one has been."""
        note = self._folder / _STATE
        if new:
            fresh = self._folder / f"{_STATE}.new"
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
        name, numbers = self._path.name, [0]
        for old in self._folder.glob(f"{name}.broken-*"):
            with suppress(ValueError):
                numbers.append(int(old.name.rpartition("-")[2]))
            old.unlink()
        self._path.rename(self._folder / f"{name}.broken-{max(numbers) + 1}")
        self._path.with_name(f"{name}-lock").unlink(missing_ok=True)
        self.set_aside += 1

    def _let_go(self) -> None:
        os.close(self._users)
        self._users = -1

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """While one opens or closes, no other does."""
        descriptor = _descriptor(self._folder / "opening.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def is_torn(error: BaseException) -> bool:
    """Whether an error says that the file itself is broken, not the disk or the moment."""
    return isinstance(error, _UNSOUND)


def tidy(folder: Path, kept: int) -> None:
    """Leave only ``kept`` of the files' folders in ``folder``, those last used, or in use."""
    files = [path for path in folder.glob(f"*/{_USERS}") if path.parent.is_dir()]
    files.sort(key=lambda path: (path.parent / _STATE).stat().st_mtime, reverse=True)
    for path in files[kept:]:
        users = _descriptor(path)
        try:
            if _alone(users):
                shutil.rmtree(path.parent)
        finally:
            os.close(users)


def boot_id() -> str:
    """What tells this run of the machine from others; one word for all where none can be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def _descriptor(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _alone(users: int) -> bool:
    """Whether nobody else has the file open, who has to wait from now on."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
