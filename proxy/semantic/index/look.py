"""A look through lists for what is near: at few rows first, and at more if nothing is near there.

The first look is at the lists with the nearest centres, and at half of each sketch. If what it
finds is near, lists that are farther away would hardly have anything nearer. Of the rows looked at
those are compared whose sketches are not much farther away than the nearest.

A search calls numpy some twenty times, however many lists it looks at: each call gives up the
interpreter's lock, and has to get it back from a thread that adds rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from proxy.semantic.index.pages import PAGE
from proxy.semantic.index.rows import Rows
from proxy.semantic.index.sketches import Packed, Sketcher, apart, products, shrunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from proxy.semantic.base import Vector
    from proxy.semantic.index.pages import Numbers, Slots
    from proxy.semantic.index.precision import Floats
    from proxy.semantic.index.sketches import Bits

    Alive = Callable[[Slots], NDArray[np.bool_]]

_WORD: Final = 64  # bits
_WITHIN: Final = np.arange(PAGE)
_FAR: Final = 1 / 4  # of the bits; what has no nearer sketch than that is far: its cosine is 0.7
_MARGIN: Final = (
    2.5  # by the root of the number of bits: five deviations, at most, of how many differ
)
_EACH: Final = 4  # rows compared for each that is asked for, at least


@dataclass(frozen=True, slots=True)
class Shape:
    """How large lists are, and how much of them is looked at. More of that finds more."""

    rows: int = 1_000  # of a list; with twice as many it is divided
    looked_at_first: float = 1 / 48  # of all rows, by half of their sketches
    near: float = 0.87  # cosine; who finds it by the first look needs no other
    looked_at: float = 1 / 12  # of all rows, if nothing is near among the first
    looked_at_least: int = 40_000  # then
    compared: int = 512  # rows at most, those with the nearest sketches


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class State:
    """Lists as they are at one time; nothing in it changes."""

    centres: Packed
    sizes: Numbers
    rows: int
    pages: tuple[Numbers, ...]  # of each list
    bits: Bits  # of all pages
    slots: Slots  # of all pages


class Near(NamedTuple):
    """Rows, and their cosines."""

    slots: Slots
    cosines: Floats


class _Seen(NamedTuple):
    pages: Numbers
    bits: NDArray[np.uint16]  # that differ, for each row of the pages
    width: int  # bits looked at; more differ where there is no row


class Look:
    """A look for what is near to ``asked``; nothing is looked at yet."""

    def __init__(
        self, rows: Rows, shape: Shape, state: State, sketcher: Sketcher, asked: Vector
    ) -> None:
        self._rows = rows
        self._shape = shape
        self._state = state
        self._asked = asked
        self._sketch = sketcher.sketch(asked[None])
        self._order = np.argsort(-products(shrunk(asked[None]), state.centres)[0])
        self._reached = np.cumsum(state.sizes[self._order])

    def glance(self, count: int, alive: Alive) -> Near | None:
        """As ``best``, by the first look alone; None if that finds nothing near, or not enough."""
        shape = self._shape
        seen = self._seen(int(self._state.rows * shape.looked_at_first), -(-len(self._sketch) // 2))
        if seen.bits.min(initial=seen.width) > _FAR * seen.width:
            return None
        found = self._compared(seen, _EACH * count, max(shape.compared, _EACH * count), alive)
        near = len(found.slots) >= count and found.cosines.max(initial=-1) >= shape.near
        return found if near else None

    def best(self, count: int, alive: Alive) -> Near:
        """Up to ``count`` of the nearest rows that are ``alive``, and maybe more; in no order."""
        return self.glance(count, alive) or self.further(count, alive)

    def further(self, count: int, alive: Alive) -> Near:
        """As ``best``, without a first look."""
        rows, shape = self._state.rows, self._shape
        looked_at = max(shape.looked_at_least, int(rows * shape.looked_at))
        least, most = _EACH * count, max(shape.compared, _EACH * count)
        while True:
            seen = self._seen(looked_at, len(self._sketch))
            found = self._compared(seen, least, most, alive)
            if len(found.slots) >= count or min(looked_at, least) >= rows:
                return found
            looked_at, least, most = 4 * looked_at, 4 * most, 4 * most

    def _seen(self, rows: int, words: int) -> _Seen:
        """So many rows or a few more, of the lists with the nearest centres."""
        state = self._state
        end = int(np.searchsorted(self._reached, min(rows, state.rows))) + 1
        numbers = self._order[:end]
        numbers = numbers[state.sizes[numbers] > 0]
        if len(numbers) == 0:
            return _Seen(np.zeros(0, np.intp), np.zeros(0, np.uint16), _WORD * words)
        each = [state.pages[number] for number in numbers.tolist()]
        pages = np.concatenate(each)
        sketches = state.bits[:words].take(pages, axis=1).reshape(words, -1)
        bits = apart(self._sketch[:words], sketches)
        last = np.cumsum([len(some) for some in each]) - 1
        rest = (state.sizes[numbers] - 1) % PAGE
        by_page = bits.reshape(-1, PAGE)
        ends = by_page[last]
        ends[rest[:, None] < _WITHIN] = _WORD * words + 1  # there is no row
        by_page[last] = ends
        return _Seen(pages, bits, _WORD * words)

    def _compared(self, seen: _Seen, least: int, most: int, alive: Alive) -> Near:
        """The living ones of those with the nearest sketches, from ``least`` to ``most`` rows."""
        at = _chosen(seen, least, most)
        slots = self._slots(seen, at)
        living = alive(slots)
        if not living.all():
            if seen.bits[at[living]].min(initial=seen.width) > seen.bits[at].min():
                # What is gone must not hide what is farther away, so leave out all that is gone.
                there = np.flatnonzero(seen.bits <= seen.width)
                seen.bits[there[~alive(self._slots(seen, there))]] = seen.width + 1
                at = _chosen(seen, least, most)
                slots = self._slots(seen, at)
                living = alive(slots)
            slots = slots[living]
        slots.sort()  # memory is read faster in order
        rows = self._rows
        return Near(slots, rows.precision.scan(rows.vectors, rows.factors, slots, self._asked))

    def _slots(self, seen: _Seen, at: Numbers) -> Slots:
        return self._state.slots[seen.pages[at // PAGE], at % PAGE]


def _chosen(seen: _Seen, least: int, most: int) -> Numbers:
    """Where those with the nearest sketches are: from ``least`` to ``most``, if there are."""
    bits, width = seen.bits, seen.width
    nearest = int(bits.min(initial=width))
    at = np.flatnonzero(bits <= min(nearest + int(_MARGIN * width**0.5), width))
    if len(at) < least:
        upto = np.bincount(bits, minlength=width + 1).cumsum()
        at = np.flatnonzero(bits <= min(int(np.searchsorted(upto, least)), width))
    if len(at) > most:
        some = bits[at]
        limit = int(np.searchsorted(np.bincount(some).cumsum(), most, "right")) - 1
        at = at[some <= max(limit, nearest)]
    if len(at) > most:  # very many are alike
        at = at[bits[at].argsort(kind="stable")[:most]]
    return at
