"""How often a file was written, by whichever process: a number in memory that all of them share.

It says whether what one process knows of the file is all there is to know. Who has counted its own
writes and finds the same number here knows that nobody else has written.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

_BYTES: Final = mmap.PAGESIZE


class Tally:
    """The number, in a file of one page that every process has mapped.

    Args:
        path: on the same disk as the file it counts for; made if missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._page: mmap.mmap | None = None
        self._numbers = memoryview(bytes(8)).cast("Q")
        self.instant = False

    def open(self, *, instant: bool) -> None:
        """Map the page. Only one process at a time may do so. Raises OSError.

        Args:
            instant: keep the page in memory, so that no read of it ever waits for a disk; whether
                that could be done is told by the attribute of this name.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < _BYTES:
                os.ftruncate(descriptor, _BYTES)
            page = mmap.mmap(descriptor, _BYTES)
        finally:
            os.close(descriptor)
        self.instant = instant and _stays_in_memory(page)
        self._page, self._numbers = page, memoryview(page).cast("Q")

    def close(self) -> None:
        """Let go of the page, if there is one."""
        self.instant = False
        if self._page is not None:
            self._numbers.release()
            self._page.close()
            self._page = None

    @property
    def count(self) -> int:
        """The writes that were begun so far."""
        return self._numbers[0]  # eight bytes in line are read as one on all that runs this

    def step(self) -> int:
        """Count a write that can be seen by nobody yet; the count before it.

        Only while no other process can, in a transaction that excludes them.
        """
        before = self._numbers[0]
        self._numbers[0] = (before + 1) % 2**64
        return before


def _stays_in_memory(page: mmap.mmap) -> bool:
    """Have the system keep ``page`` in memory until it is unmapped; whether it will (mlock(2))."""
    import ctypes  # noqa: PLC0415 # 300 KB that only a guard needs

    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    locked: int = ctypes.CDLL(None).mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(page)))
    return locked == 0
