"""What a process takes up: memory, time, file descriptors."""

from __future__ import annotations

import mmap
import time
from pathlib import Path
from typing import NamedTuple

try:
    from resource import RLIMIT_NOFILE, getrlimit
except ImportError:  # Windows

    def _most_files() -> int | None:
        return None

else:

    def _most_files() -> int | None:
        return getrlimit(RLIMIT_NOFILE)[0]


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


def resident_bytes() -> int | None:
    """What this process takes of memory, now; None: the system does not say."""
    return _memory()[1]


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


def _memory() -> tuple[int | None, int | None]:
    """Virtual and resident memory, in bytes."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
        return int(pages[0]) * mmap.PAGESIZE, int(pages[1]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return None, None


def _open_files() -> int | None:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return None
