"""Who reads the journal on disk, and how far: a file for each process, locked while it lives.

The kernel lets go of a lock with its process, however that ends, so who has died is never waited
for. What is not locked was left behind, and is removed by whoever notices.

Everything here blocks; it is called from one thread.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from proxy.purges.base import Absent
from proxy.purges.journal_rows import Nonsense, seal, unseal, whole_rows

_MOST_BYTES: Final = 4096  # of a member's file
_BEAT_S: Final = 5.0  # a word at least so often; how long somebody has been silent is a hint only


class Said(NamedTuple):
    """What a member has learned."""

    replica: str
    line: str
    number: int


class Members:
    """All members, as one of them sees it.

    Args:
        directory: for their files. Made if missing.
        replica: what this one is called; others may be called the same.
        wall: seconds since 1970.
    """

    def __init__(self, directory: Path, replica: str, wall: Callable[[], float]) -> None:
        self._directory = directory
        self._wall = wall
        self._said = Said(replica, "", 0)
        self._said_at = -math.inf
        name = re.sub(r"[^\w-]", "_", replica, flags=re.ASCII)[:100]
        # A process may be called as one in another container is, down to its number.
        self._path = directory / f"{name}-{os.getpid()}-{secrets.token_hex(4)}"
        self._file = -1

    def say(self, line: str, number: int) -> None:
        """Let all know that this one has learned everything up to ``number``. Raises OSError."""
        self._said = self._said._replace(line=line, number=number)
        self._said_at = -math.inf
        self.stay()

    def stay(self) -> None:
        """Be a member, and one who is heard of. Raises OSError."""
        now = self._wall()
        there = self._is_there()
        if there and 0 <= now - self._said_at < _BEAT_S:
            return
        if not there:
            self._join()
        row = seal(self._said._asdict())
        os.pwrite(self._file, row, 0)
        os.ftruncate(self._file, len(row))
        os.utime(self._file, (now, now))
        self._said_at = now

    def leave(self) -> None:
        """Be no member any more. Raises OSError."""
        if self._file < 0:
            return
        self._path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = -1

    def behind(self, line: str, number: int) -> Sequence[Absent]:
        """The others who have not said that they learned of ``number``. Raises OSError."""
        found = []
        for path in sorted(self._directory.iterdir()):
            if path == self._path or path.name.startswith("."):
                continue
            with suppress(FileNotFoundError):
                absent = self._look(path, line, number)
                if absent is not None:
                    found.append(absent)
        return found

    def _look(self, path: Path, line: str, number: int) -> Absent | None:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if _let_go(file):
                path.unlink()
                return None
            said = _read(file)
            if said is not None and said.line == line and said.number >= number:
                return None
            silent_s = max(0.0, self._wall() - os.fstat(file).st_mtime)
            return Absent(said.replica if said else path.name, silent_s)
        finally:
            os.close(file)

    def _is_there(self) -> bool:
        """Whether the others can see this one: somebody may have removed the directory."""
        if self._file < 0:
            return False
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _join(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        unseen = self._path.with_name(f".{self._path.name}")
        file = os.open(unseen, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # Locked before it can be seen, so that nobody takes it for a dead one's.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unseen.rename(self._path)
        except BaseException:
            os.close(file)
            raise
        self._file = file


def _let_go(file: int) -> bool:
    """Whether nobody holds the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> Said | None:
    """What a member says; None while it is at it."""
    rows = whole_rows(os.pread(file, _MOST_BYTES, 0))
    try:
        said = unseal(rows[0]) if rows else None
    except Nonsense:
        return None
    match said:
        case {"replica": str(replica), "line": str(line), "number": int(number)}:
            return Said(replica, line, number)
        case _:
            return None
