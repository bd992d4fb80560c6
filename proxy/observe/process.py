"""What a process takes up: memory, time, file descriptors."""

from __future__ import annotations

import mmap
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

try:
    from resource import RLIMIT_NOFILE, getrlimit
except ImportError:  # Windows

    def _most_files() -> int | None:
        return None

else:

    def _most_files() -> int | None:
        return getrlimit(RLIMIT_NOFILE)[0]


_SELF: Final = Path("/proc/self")
_OWN: Final = ("RssAnon", "VmSwap")
_SMALL: Final = 80  # bytes, of those that failed requests leave


class Figures(NamedTuple):
    """It, of one process or of several together; None: the system does not say."""

    cpu_s: float
    rss_bytes: int | None = None
    virtual_bytes: int | None = None
    open_fds: int | None = None
    max_fds: int | None = None
    started_at: float | None = None  # seconds since the epoch; only of several


def figures() -> Figures:
    """Those of this process, now."""
    virtual, resident = _memory()
    return Figures(time.process_time(), resident, virtual, _open_files(), _most_files())


def own_bytes(folder: Path = _SELF) -> int | None:
    """What this process takes of memory for itself, now; None: the system does not say.

    Swapped out or not; but without mapped files, which the system lets go of as it likes.

    Args:
        folder: of the process, under /proc.
    """
    try:
        lines = (folder / "status").read_text(encoding="ascii", errors="replace").splitlines()
        told = dict(line.split(":", 1) for line in lines)
        return sum(int(told[name].split()[0]) for name in _OWN) * 1024
    except (OSError, ValueError, LookupError):  # Linux before 4.5, and sandboxes, tell less
        return _memory(folder)[1]


def small_bytes() -> int:
    """What small objects take that this process has, about.

    Other than what the system says, it shrinks with each that is freed.
    """
    return sys.getallocatedblocks() * _SMALL


def together(each: list[Figures]) -> Figures:
    """The sums."""
    return Figures(
        sum(one.cpu_s for one in each),
        _sum([one.rss_bytes for one in each]),
        _sum([one.virtual_bytes for one in each]),
        _sum([one.open_fds for one in each]),
        _sum([one.max_fds for one in each]),
    )


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _memory(folder: Path = _SELF) -> tuple[int | None, int | None]:
    """Virtual and resident memory, in bytes."""
    try:
        pages = (folder / "statm").read_text(encoding="ascii").split()
        return int(pages[0]) * mmap.PAGESIZE, int(pages[1]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return None, None


def _open_files() -> int | None:
    try:
        return sum(1 for _ in (_SELF / "fd").iterdir())
    except OSError:
        return None
