"""The notes of the journal on disk: one file that all processes of a host read, and append to.

A row without an end was torn when its writer died, and nobody was ever told of it: the next writer
cuts it off. Whatever else makes no sense is set aside whole. What is begun anew says first that
everything from before is purged, and so does what is left when the older half is dropped.

Numbers are milliseconds since 1970, or more where they would not grow. The line tells one counting
from another: it is new whenever the file is begun anew. Should that happen while the clock has gone
back, what a reader finds may begin below what it knows. It cannot tell what it missed then, so it
begins yet another line, above all it knows: once more everything is purged.

Nothing is synced but by ``close``: a kill takes nothing away, and what is lost when the machine
stops, the entries on its disk do not outlive either (``proxy/lmdb_file.py``).

Everything here blocks; it is called from one thread.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from proxy.model.purge import Kind, Purge
from proxy.purges.base import Note, next_number
from proxy.purges.journal_rows import Nonsense, file_of, read_file, read_notes, row_of, whole_rows

_MOST_BYTES: Final = 64 * 2**20  # what is larger was not written here: it is halved long before
_MOST_ROW: Final = 2**16  # bytes; no path or tag comes near
_FRESH: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


class Busy(Exception):
    """Another process is writing. That takes no longer than a moment, unless it hangs."""


class Gap(Exception):
    """The file does not go on where this reader left off."""


class NotesFile:
    """The file as one reader knows it, who may write as well.

    Args:
        directory: where it lies, with its lock. Made if missing, for its owner only.
        wall: seconds since 1970.
        most: notes that the file may hold; beyond that it keeps the newest half.
    """

    def __init__(self, directory: Path, wall: Callable[[], float], most: int) -> None:
        self._directory = directory
        self._path = directory / "notes"
        self._wall = wall
        self._most = most
        self._file = -1
        self._end = 0  # bytes to the end of the last row that was read
        self._count = 0  # notes up to there
        self._news: list[Note] = []
        self.line = ""
        self.known = 0  # the newest number
        self.set_aside = 0

    def take(self) -> Sequence[Note]:
        """What was read or written since this was last asked, in the order of the numbers."""
        news, self._news = self._news, []
        return news

    def make_room(self) -> None:
        """Make the directory. Raises OSError where it is not this user's, or cannot be."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self._directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(f"{self._directory} is not a directory of this user")
        if found.st_mode & 0o077:
            self._directory.chmod(0o700)

    def read(self) -> None:
        """Read on to the end. A file that is not there, or makes no sense, is begun anew.

        Raises:
            Busy: it must be begun, and another process is at it.
            OSError: it cannot be read, or not be begun.
        """
        try:
            self._read_on()
        except (FileNotFoundError, Nonsense, Gap):
            with self._alone():  # what was seen may have been half of what somebody writes
                self._set_right()

    def append(self, purge: Purge) -> int:
        """Read on to the end and write ``purge`` there; its number.

        Raises:
            Busy: another process is writing.
            OSError: it could not be written. What came before it may have been read.
        """
        with self._alone():
            self._set_right()
            number = self._write(purge)
            if self._count > self._most or self._end > _MOST_BYTES // 2:
                with suppress(OSError):  # the next one will try again
                    self._halve()
        return number

    def close(self) -> None:
        """Have all of it written to the disk, and let go of it. Raises OSError."""
        if self._file < 0:
            return
        try:
            os.fsync(self._file)
            directory = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory)  # for the name
            finally:
                os.close(directory)
        finally:
            os.close(self._file)
            self._file = -1

    # -- reading ------------------------------------------------------------------------------

    def _read_on(self) -> None:
        """Read what has come. Raises FileNotFoundError, Nonsense, Gap."""
        found = self._path.stat()
        if self._file < 0 or not _same(found, os.fstat(self._file)) or found.st_size < self._end:
            self._reopen()
        elif found.st_size > self._end:
            rows = whole_rows(os.pread(self._file, found.st_size - self._end, self._end))
            notes = read_notes(rows, self.known)
            self._end += _length(rows)
            self._count += len(notes)
            self._learn(notes)

    def _reopen(self) -> None:
        """Read the file from its beginning; what was known before is no news."""
        file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            rows = _rows(file)
            line, notes = read_file(rows)
            self._compare(line, notes)
        except BaseException:
            os.close(file)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._end, self._count, self.line = file, _length(rows), len(notes), line
        self._learn([note for note in notes if note.number > self.known])

    def _compare(self, line: str, notes: Sequence[Note]) -> None:
        """Raises Gap if this reader has read more than there is, or something else."""
        if notes[-1].number < self.known or (line != self.line and notes[0].number <= self.known):
            raise Gap

    def _learn(self, notes: Sequence[Note]) -> None:
        if notes:
            self._news += notes
            self.known = notes[-1].number

    # -- writing, while nobody else does ------------------------------------------------------

    def _set_right(self) -> None:
        """Read on to the end of a file that makes sense."""
        try:
            self._read_on()
        except (FileNotFoundError, Gap):
            self._begin()
        except Nonsense:
            self._path.rename(self._directory / "notes.broken")  # for whoever wants to look
            self.set_aside += 1
            self._begin()

    def _begin(self) -> None:
        everything = Note(self._next(), Purge(Kind.ALL), float(self._wall()))
        self._replace(secrets.token_hex(16), [everything])

    def _halve(self) -> None:
        """Keep the newest half: to those who read all it is the same, to others a beginning."""
        _, notes = read_file(_rows(self._file))
        oldest, *newer = notes[len(notes) // 2 :]
        self._replace(self.line, [oldest._replace(purge=Purge(Kind.ALL)), *newer])

    def _replace(self, line: str, notes: Sequence[Note]) -> None:
        """Put a new file in the place of what is there, if anything is."""
        fresh = self._directory / "notes.new"
        try:
            with os.fdopen(os.open(fresh, _FRESH, 0o600), "wb") as file:
                file.write(file_of(line, notes))
            fresh.rename(self._path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        self._read_on()

    def _write(self, purge: Purge) -> int:
        note = Note(self._next(), purge, float(self._wall()))
        row = row_of(note)
        if len(row) > _MOST_ROW:
            raise OSError(errno.EMSGSIZE, "the purge is too long to be written down")
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if not _same(os.fstat(file), os.fstat(self._file)):
                raise Busy  # all was removed, lock included, and somebody has begun anew
            os.ftruncate(file, self._end)  # what is beyond was torn
            try:
                _put(file, row)
            except OSError:
                with suppress(OSError):  # else the next writer will
                    os.ftruncate(file, self._end)
                raise
        finally:
            os.close(file)
        self._end += len(row)
        self._count += 1
        self._learn([note])
        return note.number

    def _next(self) -> int:
        return next_number(self.known, self._wall())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else writes. Raises Busy, also when all is removed meanwhile."""
        self.make_room()
        path = self._directory / "lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # Not waited for: who is stopped with the lock in hand must not stop the reading here.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _same(path.stat(), os.fstat(lock)):
                raise Busy
            yield
        except (BlockingIOError, FileNotFoundError) as error:
            raise Busy from error
        finally:
            os.close(lock)


def _rows(file: int) -> Sequence[bytes]:
    """All whole rows of a file. Raises Nonsense."""
    size = os.fstat(file).st_size
    if size > _MOST_BYTES:
        raise Nonsense("it is too long")
    return whole_rows(os.pread(file, size, 0))


def _put(file: int, row: bytes) -> None:
    if os.write(file, row) < len(row):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _length(rows: Sequence[bytes]) -> int:
    """Bytes that ``rows`` take with their ends."""
    return sum(map(len, rows)) + len(rows)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return os.path.samestat(one, other)
