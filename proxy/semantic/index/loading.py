"""Reading a local index from its files into memory; what takes seconds for a million rows."""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from proxy.model.entry import CacheKey
from proxy.semantic.index.graph import Graph, Shape
from proxy.semantic.index.graph_file import SavedGraph, delete
from proxy.semantic.index.places import NOWHERE
from proxy.semantic.index.row_file import RowFile
from proxy.semantic.index.rows import DIGEST_BYTES, NAMESPACE_BYTES, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NAME_BYTES: Final = NAMESPACE_BYTES + DIGEST_BYTES
_HEAD: Final = Struct("<ddf")  # expires, added, factor; then the vector, then the scope
_STALE: Final = 100_000  # names to be forgotten that are noted at most

Record = tuple[bytes, bytes]  # namespace | digest, and what ``record`` made


def record(expires: float, added: float, factor: float, vector: bytes, scope: str) -> bytes:
    """A row as it stands in the file."""
    return _HEAD.pack(expires, added, factor) + vector + scope.encode("utf-8", "surrogatepass")


class Loaded(NamedTuple):
    """What was found besides the rows."""

    stale: list[bytes]  # names in the file that should go


def load(file: RowFile, rows: Rows, shape: Shape, now: float) -> Loaded:
    """Fill empty ``rows`` from the files of a folder, the newest if there is no room for all.

    It may end early if the rows are halted.

    Raises:
        lmdb.Error, OSError: the row file cannot be read.
    """
    graphs = _graphs(file.folder, rows, shape)
    for saved, _ in graphs.values():
        rows.reserve(int(saved.slots.max()) + 1)
    reserved, loading = rows.used, _Loading(rows, graphs, _oldest(file, rows, now), now)
    for batch in file.batches():
        if rows.halted.is_set():
            break
        loading.take(batch)
    for saved, graph in graphs.values():
        left = saved.slots[rows.space_of[saved.slots] == 0]
        for slot in left.tolist():
            graph.remove(slot)
        if space := rows.spaces.get(saved.namespace):
            space.graph = graph
    rows.free_up(reserved)
    rows.chain_up()
    while rows.count > rows.max_rows:  # as many were added at one time
        loading.drop(rows.victim(""))
    return Loaded(loading.stale)


class _Loading:
    def __init__(
        self,
        rows: Rows,
        graphs: dict[bytes, tuple[SavedGraph, Graph]],
        oldest: float,
        now: float,
    ) -> None:
        self._rows = rows
        self._graphs = graphs
        self._oldest = oldest
        self._now = now
        self.stale: list[bytes] = []

    def take(self, batch: list[Record]) -> None:
        """Put the rows of a batch, in order of their names, into memory."""
        start = 0
        for at, (name, _) in enumerate(batch):
            if name[:NAMESPACE_BYTES] != batch[start][0][:NAMESPACE_BYTES]:
                self._take(batch[start:at])
                start = at
        self._take(batch[start:])

    def drop(self, slot: int) -> None:
        """Forget the row in a slot."""
        self.stale.append(self._rows.name(slot))
        grown, space = self._rows.is_in_graph(slot), self._rows.drop(slot)
        if grown and space.graph is not None:
            space.graph.remove(slot)
        self._rows.release(slot)

    def _take(self, batch: list[Record]) -> None:
        """The same, of rows of one namespace."""
        rows, width = self._rows, self._rows.precision.row_bytes
        end = _HEAD.size + width
        whole = [each for each in batch if len(each[0]) == _NAME_BYTES and len(each[1]) >= end]
        if not whole:
            return
        namespace = whole[0][0][:NAMESPACE_BYTES]
        digests = [name[NAMESPACE_BYTES:] for name, _ in whole]
        slots: NDArray[np.uint32] = np.full(len(whole), NOWHERE, np.uint32)
        if namespace in self._graphs:
            parts = (memoryview(value)[_HEAD.size : end] for _, value in whole)
            slots = self._graphs[namespace][0].match(digests, parts)
        for digest, slot, (name, value) in zip(digests, slots.tolist(), whole, strict=True):
            expires, added, factor = _HEAD.unpack_from(value)
            if expires <= self._now or added < self._oldest:
                if len(self.stale) < _STALE:
                    self.stale.append(name)
                continue
            if slot == NOWHERE and not rows.has_room:
                continue
            vector = None
            if slot == NOWHERE:
                vector = np.frombuffer(value[_HEAD.size : end], rows.precision.type)
            scope = value[end:].decode("utf-8", "surrogatepass")
            key = CacheKey(scope, digest)
            rows.put(namespace, key, vector, factor, expires=expires, added=added, slot=slot)


def _graphs(folder: Path, rows: Rows, shape: Shape) -> dict[bytes, tuple[SavedGraph, Graph]]:
    """The saved graphs that can be used, by namespace; the others are deleted."""
    found: dict[bytes, tuple[SavedGraph, Graph]] = {}
    taken = np.zeros(rows.capacity, np.bool_)
    for path in sorted(folder.glob("*.table")):
        try:
            saved, graph = SavedGraph(path), Graph(rows, shape)
            saved.load(graph, taken)
        except (OSError, ValueError):
            delete(path)
            continue
        taken[saved.slots] = True
        found[saved.namespace] = saved, graph
    return found


def _oldest(file: RowFile, rows: Rows, now: float) -> float:
    """When the oldest row was added that there is room for; 0 if there is room for all."""
    if file.count() <= rows.max_rows:
        return 0.0
    added = [
        _HEAD.unpack_from(value)[1]
        for batch in file.batches()
        for _, value in batch
        if len(value) >= _HEAD.size and _HEAD.unpack_from(value)[0] > now
    ]
    if len(added) <= rows.max_rows:
        return 0.0
    return float(np.partition(added, -rows.max_rows)[-rows.max_rows])
