"""File descriptors: how many there may be, and how many connections fit in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

RESERVE: Final = 64
"""Descriptors for all else: files that are written, names that are looked up, clients that are told
that there is no room for them."""

_GUESS: Final = 32  # somewhat more than there are at the start
_FEWEST: Final = 8  # clients; fewer are no use


def raise_limit() -> int | None:
    """Have this process use as many descriptors as it may; how many that is. None: no limit.

    The soft limit is for programs that use select(2), which this is not (systemd's documentation,
    section File Descriptors, has why).
    """
    try:
        import resource  # noqa: PLC0415 - not on Windows, which has no such limit
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):  # macOS says there is no limit, and has one
            pass
    return None if soft == resource.RLIM_INFINITY else soft


def in_use(folders: Sequence[str] = ("/proc/self/fd", "/dev/fd")) -> int:
    """How many descriptors are open now, as the first of ``folders`` shows; or else a guess."""
    for folder in folders:
        try:
            return sum(1 for _ in Path(folder).iterdir()) - 1  # that of the look itself
        except OSError:
            continue
    return _GUESS


def needed(clients: int, pools: int, in_use: int) -> int:
    """Descriptors that so many clients and connections to backends need, with all else."""
    return clients + pools + in_use + RESERVE


def clients_that_fit(clients: int, pools: int, in_use: int, most: int | None) -> int:
    """How many clients may be connected at once, of the ``clients`` that were asked for.

    A client whose question is not stored takes a connection to a backend, too: where not all fit,
    clients have at least half of what there is.

    Args:
        pools: connections to backends there may be.
        in_use: descriptors that are open already.
        most: descriptors there may be; None: any number.
    """
    if most is None:
        return clients
    left = most - in_use - RESERVE
    if clients + pools <= left:
        return clients
    return min(clients, max(_FEWEST, left - pools, left // 2))
