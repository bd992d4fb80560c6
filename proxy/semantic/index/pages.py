"""Pages: the sketches of rows, and their slots, side by side in pieces that a list has for itself.

So one call brings together what is in many lists. A page that was shown is never written to: who
changes a list writes other pages and gives the old ones back, which are used again when nobody
looks at a state that has them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import ref

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from proxy.semantic.index.sketches import Bits

    Slots = NDArray[np.uint32]
    Numbers = NDArray[np.intp]

PAGE: Final = 128  # rows of a page: few are left empty, and each piece of a column is 1 kB
_SPARE: Final = 64  # pages


class Listed(NamedTuple):
    """The rows of a list."""

    slots: Slots
    pages: Numbers  # all full but the last


class Pages:
    """No pages yet, for sketches of so many words; room for ``rows``, or for more if need be.

    The system gives memory only for the room that is used.
    """

    def __init__(self, words: int, rows: int) -> None:
        self._words = words
        room = rows // PAGE * 5 // 4 + _SPARE  # lists leave part of a page empty
        self.bits = np.zeros((words, room, PAGE), np.uint64)
        self.slots = np.zeros((room, PAGE), np.uint32)
        self._used = 0  # pages below this have been used
        self._free: list[int] = []
        self._left: deque[tuple[ref[object], list[int]]] = deque()  # and the last to look there

    def empty(self) -> Listed:
        return Listed(np.zeros(0, np.uint32), np.zeros(0, np.intp))

    def appended(self, old: Listed, slots: Slots, bits: Bits, shown: object) -> Listed:
        """A list with more rows, instead of the ``old`` one; ``shown`` may look at that."""
        whole, rest = divmod(len(old.slots), PAGE)
        fresh = slots
        if rest:
            fresh = np.concatenate([old.slots[-rest:], slots])
            bits = np.concatenate([self.bits[:, old.pages[-1], :rest], bits], axis=1)
            self.leave(old.pages[whole:], shown)
        return Listed(
            np.concatenate([old.slots, slots]),
            np.concatenate([old.pages[:whole], self._written(fresh, bits)]),
        )

    def kept(self, old: Listed, stays: NDArray[np.bool_], shown: object) -> Listed:
        """A list of those rows that stay, instead of the ``old`` one."""
        slots, bits = old.slots[stays], self.sketches(old)[:, stays]
        self.leave(old.pages, shown)
        return Listed(slots, self._written(slots, bits))

    def sketches(self, listed: Listed) -> Bits:
        """The sketches of the rows of a list, a column for each."""
        bits: Bits = self.bits[:, listed.pages].reshape(self._words, -1)[:, : len(listed.slots)]
        return bits

    def leave(self, pages: Numbers, shown: object) -> None:
        """Let pages be used again when ``shown`` is gone, and what was shown before."""
        self._left.append((ref(shown), pages.tolist()))

    def _written(self, slots: Slots, bits: Bits) -> Numbers:
        """The pages in which rows are now."""
        pages = self._taken(-(-len(slots) // PAGE))
        whole, rest = divmod(len(slots), PAGE)
        full = whole * PAGE
        if whole:
            self.slots[pages[:whole]] = slots[:full].reshape(whole, PAGE)
            self.bits[:, pages[:whole]] = bits[:, :full].reshape(self._words, whole, PAGE)
        if rest:
            self.slots[pages[-1], :rest] = slots[full:]
            self.bits[:, pages[-1], :rest] = bits[:, full:]
        return pages

    def _taken(self, count: int) -> Numbers:
        """The numbers of so many pages that nobody looks at."""
        while len(self._free) < count and self._left and self._left[0][0]() is None:
            self._free += self._left.popleft()[1]
        again = min(count, len(self._free))
        taken = [self._free.pop() for _ in range(again)]
        taken += range(self._used, self._used + count - again)
        self._used += count - again
        if self._used > len(self.slots):
            self._grow()
        return np.array(taken, np.intp)

    def _grow(self) -> None:
        """Have room for twice as many pages."""
        room = 2 * self._used
        bits = np.zeros((self._words, room, PAGE), np.uint64)
        slots = np.zeros((room, PAGE), np.uint32)
        bits[:, : len(self.slots)], slots[: len(self.slots)] = self.bits, self.slots
        self.bits, self.slots = bits, slots
