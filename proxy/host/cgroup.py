"""How much memory this process may use before the kernel kills somebody, and how much is used.

A limit can stand at any control group from the process's own up to the root, in either version of
control groups; the tightest counts, with all that is used under it. In a container only its own is
visible, as a rule. Reads small files of the kernel's, none of which waits for anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

_LIMITS: Final = {"cgroup2": ("memory.max", "memory.high"), "cgroup": ("memory.limit_in_bytes",)}
_USED: Final = {"cgroup2": "memory.current", "cgroup": "memory.usage_in_bytes"}
# What the kernel takes back before it kills: cached files, of which the entries on disk are some,
# and its own caches. What is dirty is among it, as it is written out first.
_RECLAIMABLE: Final = {
    "cgroup2": ("active_file", "inactive_file", "slab_reclaimable"),
    "cgroup": ("total_active_file", "total_inactive_file"),
}


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A limit on memory, and the group of processes that it is for."""

    bytes: int
    folder: Path  # of the group
    kind: str  # of file system: cgroup2, or cgroup for version 1

    def used(self) -> int | None:
        """Bytes that the kernel cannot take back from the group; None: that cannot be read."""
        used = _number(self.folder / _USED[self.kind])
        try:
            stat = (self.folder / "memory.stat").read_text(encoding="ascii")
        except OSError:
            return None
        if used is None:
            return None
        rows = dict(line.split(" ", 1) for line in stat.splitlines() if " " in line)
        return max(0, used - sum(int(rows.get(name, 0)) for name in _RECLAIMABLE[self.kind]))


class _Mount(NamedTuple):
    """Where control groups are to be seen."""

    kind: str
    root: PurePosixPath  # the group that is seen at ``at``
    at: Path


def memory_limit(total: int | None, root: Path = Path("/")) -> MemoryLimit | None:
    """The tightest limit on this process's memory; None: there is none below ``total``.

    Args:
        total: bytes of the machine.
        root: of the file system that /proc and the control groups are in.
    """
    found: list[MemoryLimit] = []
    own = root / "proc/self"
    try:
        groups = (own / "cgroup").read_text(encoding="utf-8").splitlines()
        mounts = list(_mounts((own / "mountinfo").read_text(encoding="utf-8").splitlines(), root))
    except (OSError, UnicodeDecodeError):
        return None
    for kind, group in _groups(groups):
        for mount in mounts:
            if mount.kind == kind:
                found += _limits(mount, group)
    tight = [limit for limit in found if total is None or limit.bytes < total]
    return min(tight, key=lambda limit: limit.bytes, default=None)


def total_memory() -> int | None:
    """Bytes of memory that the machine has; None: that cannot be told."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _groups(lines: Iterable[str]) -> Iterator[tuple[str, PurePosixPath]]:
    """The groups that may limit memory, by the kind of file system that shows them."""
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            yield "cgroup2", PurePosixPath(path)
        elif "memory" in controllers.split(","):
            yield "cgroup", PurePosixPath(path)


def _mounts(lines: Iterable[str], root: Path) -> Iterator[_Mount]:
    """Where control groups are mounted, as proc(5) has it."""
    for line in lines:
        place, _, rest = line.partition(" - ")
        fields, kind, options = place.split(" "), *_kind(rest)
        if len(fields) > 4 and (kind == "cgroup2" or (kind == "cgroup" and "memory" in options)):  # noqa: PLR2004 - the mount point is the fifth
            yield _Mount(kind, PurePosixPath(fields[3]), root / fields[4].lstrip("/"))


def _kind(rest: str) -> tuple[str, list[str]]:
    kind, _, source = rest.partition(" ")
    return kind, source.rpartition(" ")[2].split(",")


def _limits(mount: _Mount, group: PurePosixPath) -> Iterator[MemoryLimit]:
    """The limits of ``group`` and of all above it that can be seen."""
    try:
        below = group.relative_to(mount.root)
    except ValueError:  # what is mounted is another's, or its own as seen from within
        below = PurePosixPath()
    if ".." in below.parts:
        below = PurePosixPath()
    for path in (below, *below.parents):
        folder = mount.at / path
        for name in _LIMITS[mount.kind]:
            limit = _number(folder / name)
            if limit:  # 0 forbids nothing less than everything
                yield MemoryLimit(limit, folder, mount.kind)


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no such file, or it says ``max``."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
