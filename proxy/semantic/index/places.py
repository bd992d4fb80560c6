"""Where the row of a key is: a table of slots by digest, of 4 to 16 bytes a row.

A dictionary would take some 200 bytes for each row, more than half of what a vector of 384 bytes
takes. This is a table of open addresses (Knuth, The Art of Computer Programming, volume 3, section
6.4, algorithms L and R): a slot lies in the first free place from where its digest points to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

NOWHERE: Final = 0xFFFF_FFFF
_LONG: Final = 2**64 - 1
_GOLDEN: Final = 0x9E37_79B9_7F4A_7C15  # 2**64 over the golden ratio (Knuth, the same section)
_EMPTY: Final = 0  # so that a new table is memory that nobody has touched yet


class Places:
    """Slots by digest.

    Args:
        capacity: how many slots there can be.
        digest_at: the digest of the row in a slot; for slots that are in the table.
    """

    def __init__(self, capacity: int, digest_at: Callable[[int], bytes]) -> None:
        bits = (2 * capacity).bit_length()
        size = 1 << bits
        self._mask = size - 1
        self._shift = 64 - bits
        self._slots = np.zeros(size, np.uint32).data  # each one more than the slot
        self._digest_at = digest_at

    def find(self, digest: bytes, is_it: Callable[[int], bool]) -> int:
        """The slot with this digest that ``is_it``, or NOWHERE."""
        slots, mask = self._slots, self._mask
        at = self._home(digest)
        while (found := slots[at]) != _EMPTY:
            if self._digest_at(found - 1) == digest and is_it(found - 1):
                return found - 1
            at = (at + 1) & mask
        return NOWHERE

    def put(self, digest: bytes, slot: int) -> None:
        """Enter a slot that is not there yet."""
        slots, mask = self._slots, self._mask
        at = self._home(digest)
        while slots[at] != _EMPTY:
            at = (at + 1) & mask
        slots[at] = slot + 1

    def drop(self, digest: bytes, slot: int) -> None:
        """Take out a slot that is there, while its digest can still be told."""
        slots, mask = self._slots, self._mask
        hole = self._home(digest)
        while slots[hole] != slot + 1:
            hole = (hole + 1) & mask
        at = hole
        while (found := slots[at := (at + 1) & mask]) != _EMPTY:
            # It may fill the hole unless its home lies behind the hole.
            if (at - self._home(self._digest_at(found - 1))) & mask >= (at - hole) & mask:
                slots[hole] = found
                hole = at
        slots[hole] = _EMPTY

    def _home(self, digest: bytes) -> int:
        # Spread, should digests be a row of numbers: those would lie in one long run.
        return (int.from_bytes(digest[-8:]) * _GOLDEN & _LONG) >> self._shift
