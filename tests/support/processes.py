"""Processes of a crew, and who of them has which connection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

_LIMIT_S = 30.0
_LOCAL, _REMOTE = 1, 2  # columns of /proc/net/tcp


def children(pid: int) -> list[int]:
    """The processes that ``pid`` has forked, in that order."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def peers(pid: int) -> set[int]:
    """The ports at the other ends of the IPv4 connections that a process has."""
    return _ports(pid, _REMOTE)


def ports(pid: int) -> set[int]:
    """The ports at its own ends of the IPv4 connections that a process has."""
    return _ports(pid, _LOCAL)


def _ports(pid: int, column: int) -> set[int]:
    sockets = set()
    with suppress(OSError):  # the process is gone
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                name = str(descriptor.readlink())
                sockets.add(name.removeprefix("socket:[").removesuffix("]"))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in sockets:
            found.add(int(fields[column].partition(":")[2], 16))
    return found


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def until(true: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until something is true of other processes, which tell nobody. Raises TimeoutError."""
    async with asyncio.timeout(_LIMIT_S):
        while True:
            said = true()
            if said if isinstance(said, bool) else await said:
                return
            await asyncio.sleep(0.02)


async def gone(pids: list[int]) -> None:
    """Wait until none of these processes is there any more."""
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
