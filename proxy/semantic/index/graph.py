"""A graph of the rows of one namespace, to find near ones without a look at all (HNSW, by usearch).

Its nodes are slots; their vectors stay where ``Rows`` has them, which halves the memory, but for a
graph that was loaded from a file: that has its own copies of the vectors it came with.

usearch promises nothing of two calls at once (its concurrent insertions were seen to leave rows
that no search finds), so there is one at a time, and whoever searches goes first. One thread adds
and removes. What is to be removed waits in ``doomed`` until that thread comes by; a search may
still find it, and whoever searched must see that the row is gone.

A removed row stays as a node that leads to others, until its place is taken by a new row. Recall
was the same after as many rows were replaced as there are; only nodes that nobody takes are waste.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from proxy.semantic.index.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from proxy.semantic.base import Vector
    from proxy.semantic.index.precision import Floats, Kept

    Slots = NDArray[np.uint32]

_WASTE_SHARE: Final = 0.25  # of all nodes: with more that are removed, it is to be built anew
_WASTE_LEAST: Final = 256
_WIDEST: Final = 1024  # neighbours asked for at most when the nearest are no rows any more
_PATIENCE_S: Final = 0.05  # for which an insertion lets searches go first


@dataclass(frozen=True, slots=True)
class Shape:
    """How thorough a graph is. More of each finds more and takes longer."""

    connectivity: int = 16  # neighbours of a node, and twice as many on the lowest level
    expansion_add: int = 64  # candidates while a row is added
    expansion_search: int = 96  # candidates while one is sought


class Graph:
    """An empty graph over ``rows``."""

    def __init__(self, rows: Rows, shape: Shape) -> None:
        from usearch.index import Index  # noqa: PLC0415 # an extra, for large namespaces

        self._rows = rows
        self._shape = shape
        self._index = Index(
            ndim=rows.precision.dimensions,
            metric="cos",
            dtype=rows.precision.dtype,
            connectivity=shape.connectivity,
            expansion_add=shape.expansion_add,
            expansion_search=shape.expansion_search,
        )
        self._turns = _Turns()
        self._nodes = 0
        self._own: NDArray[np.bool_] | None = None  # by slot: whether the vector is its own
        self.doomed: deque[int] = deque()  # slots to be removed; the loop adds to it

    def __len__(self) -> int:
        return len(self._index)

    @property
    def is_wasteful(self) -> bool:
        """Whether so many of its nodes are removed that it is to be built anew."""
        waste = self._nodes - len(self._index)
        return waste > max(_WASTE_LEAST, self._nodes * _WASTE_SHARE)

    def near(
        self, asked: Vector, count: int, alive: Callable[[Slots], NDArray[np.bool_]]
    ) -> tuple[Slots, Floats]:
        """Slots of up to ``count`` of the nearest rows that are ``alive``, and their cosines.

        In no order. It may find fewer than there are if very many around are not.
        """
        wanted, given = count, self._rows.precision.asked(asked)
        while True:
            with self._turns.search():
                found = self._index.search(given, wanted, threads=1).keys
                slots: Slots = found.astype(np.uint32)
                kept = self._kept(slots)
            living = alive(slots)
            if int(living.sum()) >= count or len(slots) < wanted or wanted >= _WIDEST:
                slots, kept = slots[living], kept[living]
                return slots, self._rows.precision.cosines(kept, self._rows.factors[slots], asked)
            wanted *= 4

    def grow(self, slots: Iterable[int]) -> Graph:
        """Add the rows in ``slots``, and remove meanwhile what is doomed, until halted; itself."""
        gone: set[int] = set()
        self.bury(gone)
        for slot in slots:
            if self._rows.halted.is_set():
                break
            if self.doomed:
                self.bury(gone)
            if slot not in gone:
                self._add(slot)
        return self

    def bury(self, gone: set[int], heir: Graph | None = None) -> None:
        """Remove what is doomed, here and in an ``heir``; let ``gone`` have the slots."""
        while self.doomed:
            slot = self.doomed.popleft()
            gone.add(slot)
            self.remove(slot)
            if heir is not None:
                heir.remove(slot)
            self._rows.buried.append(slot)

    def remove(self, slot: int) -> None:
        """Take a row out, if it is there."""
        with self._turns.build():
            self._index.remove(slot, threads=1)
            if self._own is not None:
                self._own[slot] = False

    def regrown(self, slots: Iterable[int]) -> Graph:
        """A new graph of the rows in ``slots``, which are all in this one; unless halted."""
        new, gone = Graph(self._rows, self._shape), set[int]()
        new.doomed = self.doomed
        for slot in self._given_back(slots):
            self.bury(gone, new)
            if slot not in gone:
                new._add(slot)
        return new

    def disowned(self, slots: Iterable[int]) -> None:
        """Have ``Rows`` keep the vectors of the rows in ``slots`` from now on; unless halted."""
        for _ in self._given_back(slots):
            pass

    def kept(self, slot: int) -> Kept:
        """The vector of a row as it is kept."""
        if self._own is None or not self._own[slot]:
            there: Kept = self._rows.vectors[slot]
            return there
        with self._turns.search():
            own: Kept = self._kept(np.array([slot], np.uint32))[0]
        return own

    def holds(self, slots: Slots) -> NDArray[np.bool_]:
        """Which of the rows in ``slots`` are in it."""
        with self._turns.search():
            return np.asarray(self._index.contains(slots.astype(np.uint64)), np.bool_)

    def save(self, path: Path) -> None:
        """Write it to a file. Raises OSError."""
        try:
            with self._turns.search():
                self._index.save(path)
        except RuntimeError as error:  # all that usearch says of a file
            raise OSError(f"{path}: {error}") from error

    def load(self, path: Path, slots: Slots) -> None:
        """Become what was saved; ``slots`` are those of its rows. Raises OSError."""
        try:
            self._index.load(path)
        except RuntimeError as error:
            raise OSError(f"{path}: {error}") from error
        self._nodes = len(self._index)
        self._own = np.zeros(self._rows.capacity, np.bool_)
        self._own[slots] = True

    def _add(self, slot: int) -> None:
        vector = self._rows.vectors[slot : slot + 1]
        with self._turns.build():
            self._index.add(np.array([slot], np.uint64), vector, copy=False, threads=1)
            self._nodes = max(self._nodes, len(self._index))
            if self._own is not None:
                self._own[slot] = False

    def _kept(self, slots: Slots) -> Kept:
        """The vectors in ``slots``; anything for those that were removed."""
        kept: Kept = self._rows.vectors[slots]
        if self._own is not None and self._own[slots].any():
            kept = kept.copy()
            for at in np.flatnonzero(self._own[slots]).tolist():
                own = self._index.get(int(slots[at]))
                if isinstance(own, np.ndarray):
                    kept[at] = own
        return kept

    def _given_back(self, slots: Iterable[int]) -> Iterator[int]:
        """Each slot, once its vector is in ``Rows``."""
        for slot in slots:
            if self._rows.halted.is_set():
                return
            if self._own is not None and self._own[slot]:
                with self._turns.search():
                    self._rows.vectors[slot] = self._kept(np.array([slot], np.uint32))[0]
            yield slot


class _Turns:
    """One at a time; who builds lets those go first who search."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._change = Condition()
        self._searching = 0

    @contextmanager
    def search(self) -> Iterator[None]:
        with self._change:
            self._searching += 1
        try:
            with self._lock:
                yield
        finally:
            with self._change:
                self._searching -= 1
                self._change.notify_all()

    @contextmanager
    def build(self) -> Iterator[None]:
        if self._searching:
            with self._change:
                self._change.wait_for(lambda: not self._searching, _PATIENCE_S)
        with self._lock:
            yield
