"""The files that settings come from, and whether anything in them has changed.

They are read rather than asked for their times, and found by their names each time: what Kubernetes
puts in their place is another folder behind the same links, and what an editor writes another file.
A network drive tells nobody of changes at all.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from enum import Enum, auto
from hashlib import blake2b
from math import inf
from pathlib import Path
from typing import Final

from proxy.config.changes import certificates, leaves
from proxy.config.settings import Settings
from proxy.config.units import SecretFile

_MOST_BYTES: Final = 16 * 2**20  # of each; what comes after is not looked at


def named_in(settings: Settings) -> tuple[Path, ...]:
    """The files of secrets and certificates that ``settings`` name, and that a reload reads."""
    secrets = (each.path for each in leaves(settings).values() if isinstance(each, SecretFile))
    return (*secrets, *certificates(settings).values())


def stamp(files: Iterable[Path]) -> bytes:
    """A digest of what is in ``files``, and of which are not there. It may block."""
    digest = blake2b(digest_size=16)
    for path in files:
        try:
            # A pipe would be emptied, or wait to be filled.
            content = _read(path) if stat.S_ISREG(path.stat().st_mode) else b"no file"
        except OSError as error:
            content = f"cannot be read: {error.errno}".encode()
        digest.update(blake2b(content, digest_size=16).digest())
    return digest.digest()


class Next(Enum):
    """What to do after a look at the files."""

    REST = auto()  # nothing is new
    LOOK_AGAIN = auto()  # soon: they may be being written just now
    LOAD = auto()


class Looks:
    """Tells from looks at the files what to do next.

    Args:
        retry_s: seconds after which what was refused is tried again: it may have needed a file that
            nobody knew to look at.
    """

    def __init__(self, retry_s: float) -> None:
        self._retry_s = retry_s
        self._seen = b""
        self._tried_at = -inf

    def tried(self, now: float) -> None:
        """Settings were loaded at ``now``, seconds on any clock."""
        self._tried_at = now

    def next(self, seen: bytes, tried: bytes, now: float, *, refused: bool) -> Next:
        """What to do.

        Args:
            seen: the stamp of the files now.
            tried: what it was when they were last loaded.
            refused: whether they were refused then.
        """
        before, self._seen = self._seen, seen
        if seen == tried:
            due = refused and now - self._tried_at >= self._retry_s
            return Next.LOAD if due else Next.REST
        return Next.LOAD if seen == before else Next.LOOK_AGAIN


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES)
