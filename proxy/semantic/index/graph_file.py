"""Graphs as files, so that a restart need not build them anew: the graph, and whose rows it has.

``<namespace>.graph`` is usearch's own format. ``<namespace>.table`` says of each row of it which
slot it was in, its digest and a checksum of its vector; by them the rows in the row file are told
from those that came or changed since. A graph is loaded only if every byte of it is what was
written: usearch would follow a broken link to where nothing is.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from proxy.semantic.index.graph import Graph
from proxy.semantic.index.places import NOWHERE
from proxy.semantic.index.rows import DIGEST_BYTES, Rows, Space

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from proxy.semantic.index.graph import Slots

    Longs = NDArray[np.uint64]

_FORMAT: Final = "sidecache graph 1"
_SUM_BYTES: Final = 32


def checksum(vector: bytes | memoryview) -> int:
    """What tells a kept vector from another under the same key."""
    return zlib.crc32(vector)


def save(folder: Path, rows: Rows, space: Space, graph: Graph) -> None:
    """Write the graph of a space. Raises OSError."""
    slots = rows.grown(space)
    slots = slots[graph.holds(slots)]
    sums = np.fromiter(
        (checksum(graph.kept(slot).tobytes()) for slot in slots.tolist()), np.uint32, len(slots)
    )
    path = folder / f"{space.name.hex()}.graph"
    path.with_suffix(".table").unlink(missing_ok=True)  # until both are there, neither is
    fresh = path.with_suffix(".new")
    graph.save(fresh)
    body = b"".join([slots.tobytes(), sums.tobytes(), rows.digests[slots].tobytes()])
    head = json.dumps([_FORMAT, version("usearch"), len(slots), _sum_of(fresh)]).encode() + b"\n"
    fresh.replace(path)
    table = path.with_suffix(".table.new")
    table.write_bytes(hashlib.blake2b(head + body, digest_size=_SUM_BYTES).digest() + head + body)
    table.replace(path.with_suffix(".table"))


def save_all(folder: Path, rows: Rows) -> None:
    """Write all graphs of ``rows``, and delete those that are none any more. Raises OSError."""
    for path in folder.glob("*.table"):
        space = rows.spaces.get(bytes.fromhex(path.stem))
        if space is None or space.graph is None:
            delete(path)
    for space in rows.spaces.values():
        if space.graph is not None:
            save(folder, rows, space, space.graph)


def delete(table: Path) -> None:
    """Delete a graph by the path of its table. Raises OSError."""
    table.unlink(missing_ok=True)
    table.with_suffix(".graph").unlink(missing_ok=True)


class SavedGraph:
    """A table that was read: of which rows there is a saved graph."""

    def __init__(self, path: Path) -> None:
        """Read it. Raises OSError or ValueError: there is none that can be used."""
        self._path = path
        self.namespace = bytes.fromhex(path.stem)
        content = memoryview(path.read_bytes())
        total, rest = bytes(content[:_SUM_BYTES]), content[_SUM_BYTES:]
        if hashlib.blake2b(rest, digest_size=_SUM_BYTES).digest() != total:
            raise ValueError(f"{path} is torn")
        head, _, _ = bytes(rest[:1024]).partition(b"\n")
        form, made_by, count, self._graph_sum = json.loads(head)
        if (form, made_by) != (_FORMAT, version("usearch")):
            raise ValueError(f"{path} was written by another release")
        body = rest[len(head) + 1 :]
        self.slots: Slots = np.frombuffer(body[: 4 * count], np.uint32)
        self._sums = np.frombuffer(body[4 * count : 8 * count], np.uint32)
        self._digests = np.frombuffer(body[8 * count :], np.uint8).reshape(count, DIGEST_BYTES)
        ends = _ends(self._digests)
        self._order = np.argsort(ends)
        self._sorted = ends[self._order]

    def load(self, graph: Graph, taken: NDArray[np.bool_]) -> None:
        """Have ``graph`` become the one that was saved, unless some of its slots are ``taken``.

        Raises:
            OSError, ValueError: it cannot be used.
        """
        if self.slots.max(initial=0) >= len(taken) or taken[self.slots].any():
            raise ValueError(f"{self._path} is of another process, or of a larger index")
        path = self._path.with_suffix(".graph")
        if len(self.slots) == 0 or _sum_of(path) != self._graph_sum:
            raise ValueError(f"{path} is torn")
        graph.load(path, self.slots)
        if not graph.holds(self.slots).all():
            raise ValueError(f"{path} has other rows than its table")

    def match(self, digests: Iterable[bytes], vectors: Iterable[memoryview]) -> Slots:
        """The slot of each row in the graph; NOWHERE of those that are not, or have changed."""
        asked = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
        sums = np.fromiter(map(checksum, vectors), np.uint32, len(asked))
        at = np.searchsorted(self._sorted, _ends(asked))
        at = self._order[np.minimum(at, len(self._order) - 1)]
        same = (self._digests[at] == asked).all(axis=1) & (self._sums[at] == sums)
        return np.where(same, self.slots[at], np.uint32(NOWHERE))


def _ends(digests: NDArray[np.uint8]) -> Longs:
    """The last eight bytes of each; they are as good as drawn by lot."""
    return np.ascontiguousarray(digests[:, -8:]).view(np.uint64)[:, 0]


def _sum_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, hashlib.blake2b).hexdigest()
