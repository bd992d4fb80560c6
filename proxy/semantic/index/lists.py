"""The rows of one large namespace in lists of near ones, to find a near one by a look at few.

Each list has a centre. Who searches goes through the lists with the nearest centres (see ``look``),
tells by sketches (see ``sketches``) which rows may be near, and compares only these. A new row goes
to the list whose centre is nearest. A list that has grown too large is divided in two, and rows
that are nearer to a new centre than to their own move there (as Xu and others have it in SPFresh,
SOSP 2023). So it takes as long to add a row to many as to few, nothing is ever built anew, and
nobody waits. Who adds rests now and then, so that others get the interpreter's lock sooner than
they would by asking for it.

One thread adds and removes. What it has done shows at once, as a whole: who searches looks at one
state of all lists that nothing changes any more. What is to be removed waits in ``doomed`` until
that thread comes by; a search may still find it, and whoever searched must see that the row is
gone.

Whatever is wrong with a list, a row may be found too late or not at all, but none that is not near:
lists only say what to compare.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from time import sleep
from typing import TYPE_CHECKING, Final

import numpy as np

from proxy.semantic.index.dividing import divided
from proxy.semantic.index.look import Look, Shape, State
from proxy.semantic.index.pages import Listed, Pages
from proxy.semantic.index.rows import Rows
from proxy.semantic.index.sketches import Sketcher, levelled, packed_vectors, products, shrunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from proxy.semantic.base import Vector
    from proxy.semantic.index.pages import Numbers, Slots
    from proxy.semantic.index.sketches import Small

_AT_ONCE: Final = 2_048  # rows added before they show, and before what is doomed goes
_AROUND: Final = 16  # lists whose rows may move when one is divided
_SMALL: Final = 8  # a list of so few times less than it should have is given up
_NOWHERE: Final = -1
_BEFORE_REST: Final = 64  # lists changed
_REST_S: Final = 5e-5


class Lists:
    """No rows yet, of those in ``rows``."""

    def __init__(self, rows: Rows, shape: Shape) -> None:
        self._rows = rows
        self._shape = shape
        self._sketcher = Sketcher(rows.precision.dimensions)
        self._list_of = np.full(0, _NOWHERE, np.int32)  # by slot
        self._centres: Small = np.zeros((0, rows.precision.dimensions), np.int8)
        self._lists: list[Listed] = []
        self._pages = Pages(self._sketcher.words, rows.capacity)
        self._empty = self._pages.empty()
        self._holes: list[int] = []  # lists that are none, and may be used again
        self._undivided: dict[int, int] = {}  # rows of lists that could not be divided
        self._state = self._made()  # what searches look at
        self.doomed: deque[int] = deque()  # slots to be removed; the loop adds to it

    def __len__(self) -> int:
        return self._state.rows

    @property
    def glanced_at(self) -> int:
        """Rows that a first look goes through."""
        return int(len(self) * self._shape.looked_at_first)

    def look(self, asked: Vector) -> Look:
        """A look for what is near to ``asked`` in the lists as they are now."""
        return Look(self._rows, self._shape, self._state, self._sketcher, asked)

    def grow(self, slots: Sequence[int]) -> Lists:
        """Add the rows in ``slots``, and remove meanwhile what is doomed, until halted; itself."""
        gone: set[int] = set()
        self.bury(gone)
        for at in range(0, len(slots), _AT_ONCE):
            if self._rows.halted.is_set():
                break
            some = [slot for slot in slots[at : at + _AT_ONCE] if slot not in gone]
            if some:
                self._take(np.array(some, np.uint32))
            self.bury(gone)
        return self

    def bury(self, gone: set[int]) -> None:
        """Remove what is doomed; let ``gone`` have the slots."""
        slots = [self.doomed.popleft() for _ in range(len(self.doomed))]
        if not slots:
            return
        gone.update(slots)
        there = np.array([slot for slot in slots if slot < len(self._list_of)], np.uint32)
        hit = np.unique(self._list_of[there])
        self._list_of[there] = _NOWHERE
        left = [self._kept(number) for number in hit[hit != _NOWHERE].tolist()]
        if small := [number for number in left if self._is_small(number)]:
            self._give_up(small)
        self._show()
        self._rows.buried.extend(slots)

    def saved(self) -> tuple[Small, list[Slots]]:
        """The centres of all lists, and the slots in each."""
        return self._centres, [each.slots for each in self._lists]

    def restore(self, centres: Small, slots: Slots, numbers: Numbers) -> None:
        """Become what was saved: the row in each of ``slots`` was in the list of that number."""
        self._centres = centres.copy()
        self._lists = [self._empty] * len(centres)
        order = np.argsort(numbers, kind="stable")
        for at in range(0, len(order), _AT_ONCE):
            some = order[at : at + _AT_ONCE]
            self._put(slots[some], numbers[some])
        self._holes = [at for at, each in enumerate(self._lists) if not len(each.slots)]
        self._centres[self._holes] = 0
        self._show()

    # -- what the thread does that adds ----------------------------------------------------------

    def _take(self, slots: Slots) -> None:
        """Put rows into the lists nearest to them, and divide those that become too large."""
        vectors = self._rows.vectors[slots]
        if not self._lists:
            self._centres = levelled(vectors.astype(np.float32).mean(axis=0, keepdims=True))
            self._lists = [self._empty]
        self._put(slots, self._nearest(vectors))
        for number in range(len(self._lists)):
            if len(self._lists[number].slots) > self._limit(number):
                self._divide(number)
                sleep(_REST_S)
        self._show()

    def _nearest(self, vectors: NDArray[np.generic]) -> Numbers:
        """The number of the list for each vector."""
        found = products(shrunk(vectors), packed_vectors(self._centres))
        if self._holes:
            found[:, self._holes] = np.iinfo(np.int32).min
        nearest: Numbers = found.argmax(axis=1)
        return nearest

    def _put(self, slots: Slots, numbers: Numbers) -> None:
        """Have each slot in the list of that number; it is in none."""
        if len(self._list_of) == 0:
            self._list_of = np.full(self._rows.capacity, _NOWHERE, np.int32)
        self._list_of[slots] = numbers
        order = np.argsort(numbers, kind="stable")
        slots, numbers = slots[order], numbers[order]
        bits = self._sketcher.sketch(self._rows.vectors[slots])
        starts = np.flatnonzero(np.diff(numbers, prepend=_NOWHERE)).tolist()
        for done, (start, end) in enumerate(zip(starts, [*starts[1:], len(slots)], strict=True)):
            number = int(numbers[start])
            self._lists[number] = self._pages.appended(
                self._lists[number], slots[start:end], bits[:, start:end], self._state
            )
            if done % _BEFORE_REST == _BEFORE_REST - 1:
                sleep(_REST_S)

    def _divide(self, number: int) -> None:
        """Make several of a list, and have those rows move there that belong there now."""
        slots = self._lists[number].slots
        small = shrunk(self._rows.vectors[slots])
        centres = divided(small, max(2, round(len(slots) / self._shape.rows)))
        if len(centres) == 1:
            self._undivided[number] = len(slots)
            return
        numbers = [number, *(self._new() for _ in centres[1:])]
        self._centres[numbers] = centres
        self._emptied(number)
        self._put(slots, self._nearest(small))
        for each in numbers:
            if (size := len(self._lists[each].slots)) > self._limit(each):
                self._undivided[each] = size
        towards = products(centres, packed_vectors(self._centres)).max(axis=0)
        towards[[*numbers, *self._holes]] = np.iinfo(np.int32).min
        around = np.argsort(-towards)[: min(_AROUND, len(self._lists) - len(numbers))]
        self._attract(
            np.array(numbers), [at for at in around.tolist() if self._lists[at].slots.size]
        )

    def _attract(self, numbers: Numbers, around: Sequence[int]) -> None:
        """Move rows of the lists ``around`` that are nearer to one of those of ``numbers``."""
        packed = packed_vectors(self._centres[numbers])
        for at in around:
            slots = self._lists[at].slots
            small = shrunk(self._rows.vectors[slots])
            own = products(small, packed_vectors(self._centres[at : at + 1]))[:, 0]
            found = products(small, packed)
            best = found.argmax(axis=1)
            moving = found[np.arange(len(best)), best] > own
            if moving.any():
                self._list_of[slots[moving]] = _NOWHERE
                self._kept(at)
                self._put(slots[moving], numbers[best[moving]])

    def _give_up(self, small: Sequence[int]) -> None:
        """Put the rows of lists that have few left into others."""
        slots = np.concatenate([self._lists[number].slots for number in small])
        for number in small:
            self._emptied(number)
            self._centres[number] = 0
            self._holes.append(number)
        if len(slots):
            self._put(slots, self._nearest(self._rows.vectors[slots]))

    def _new(self) -> int:
        """The number of a new list."""
        if self._holes:
            return self._holes.pop()
        self._lists.append(self._empty)
        self._centres = np.concatenate([self._centres, np.zeros_like(self._centres[:1])])
        return len(self._lists) - 1

    def _kept(self, number: int) -> int:
        """Leave out of a list what is not in it any more; its number."""
        old = self._lists[number]
        stays = self._list_of[old.slots] == number
        self._lists[number] = self._pages.kept(old, stays, self._state)
        return number

    def _emptied(self, number: int) -> None:
        """Leave nothing in a list."""
        self._pages.leave(self._lists[number].pages, self._state)
        self._lists[number] = self._empty
        self._undivided.pop(number, None)

    def _is_small(self, number: int) -> bool:
        few = len(self._lists[number].slots) < self._shape.rows / _SMALL
        return few and len(self._lists) - len(self._holes) > 1

    def _limit(self, number: int) -> int:
        return 2 * max(self._shape.rows, self._undivided.get(number, 0))

    def _show(self) -> None:
        """Have searches look at what there is now."""
        self._pages.leave(self._empty.pages, self._state)  # in turn, even if it left nothing
        self._state = self._made()

    def _made(self) -> State:
        lists = self._lists or [self._empty]
        centres = self._centres if self._lists else np.zeros((1, self._centres.shape[1]), np.int8)
        sizes = np.array([len(each.slots) for each in lists], np.intp)
        return State(
            packed_vectors(centres),
            sizes,
            int(sizes.sum()),
            tuple(each.pages for each in lists),
            self._pages.bits,
            self._pages.slots,
        )
