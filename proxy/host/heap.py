"""Memory that was freed, given back to the system.

glibc's allocator keeps what was freed for the next time: after 200 MB of answers were dropped, the
process still holds them. A container's limit counts what is held.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from typing import Final

_EVERY_S: Final = 10.0  # at most that often: looking through the heap takes time


class Heap:
    """Gives memory back some time after it was asked to.

    Args:
        trim: gives back what it can. Whoever needs memory waits for it, in other threads, too: half
            a millisecond for each megabyte. None: there is nothing that does.
        clock: seconds, monotonic.
    """

    def __init__(self, trim: Callable[[], object] | None, clock: Callable[[], float]) -> None:
        self.trims = 0
        self._trim = trim
        self._clock = clock
        self._wanted = False
        self._last = float("-inf")

    def ask(self) -> None:
        """Say that much was freed."""
        self._wanted = True

    async def give_back(self, *, at_once: bool = False) -> bool:
        """Give memory back, in a thread, if that was asked for; whether it was done.

        Args:
            at_once: however short ago that was done last.
        """
        now = self._clock()
        due = at_once or now - self._last >= _EVERY_S
        if not self._wanted or self._trim is None or not due:
            return False
        self._wanted, self._last = False, now
        await asyncio.to_thread(self._trim)
        self.trims += 1
        return True


def trimmer(library: str | None = None) -> Callable[[], object] | None:
    """What glibc calls ``malloc_trim(0)``; None where the allocator is another's.

    Args:
        library: where to look; None: in this process.
    """
    try:
        trim = ctypes.CDLL(library).malloc_trim
    except (OSError, TypeError, AttributeError):  # Windows; musl
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return lambda: trim(0)
