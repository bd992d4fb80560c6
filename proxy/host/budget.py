"""How much memory stored answers may take, where nobody has said it. Pure."""

from __future__ import annotations

from typing import Final

_MIB: Final = 2**20
SHARE: Final = 0.4
"""The part of the memory there is. The rest: the process itself (some 60 MB), answers as they come
(`flights.max_total_bytes`), connections, and what an allocator loses."""

UNLIMITED_AT_MOST: Final = 256 * _MIB
"""What a process takes on a machine that it shares with others, without being told to."""

AT_LEAST: Final = 8 * _MIB
"""Less holds too few answers to be of use."""


def memory_budget(limit: int | None, total: int | None, workers: int) -> int:
    """Bytes for the memory tier of each of so many workers.

    Args:
        limit: bytes that all of them may use together; None: as many as the machine has.
        total: bytes that the machine has; None: that is not known.
    """
    there_are = limit if limit is not None else total
    if there_are is None:
        return UNLIMITED_AT_MOST
    share = int(there_are * SHARE) // workers
    return max(AT_LEAST, share if limit is not None else min(share, UNLIMITED_AT_MOST))
