"""Reading a local index from its files into memory; what takes seconds for a million rows."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

import numpy as np

from proxy.model.entry import CacheKey
from proxy.semantic.index.lists_file import load_all
from proxy.semantic.index.look import Shape
from proxy.semantic.index.row_file import RowFile
from proxy.semantic.index.rows import DIGEST_BYTES, NAMESPACE_BYTES, Rows

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
    loading = _Loading(rows, _oldest(file, rows, now), now)
    for batch in file.batches():
        if rows.halted.is_set():
            break
        loading.take(batch)
    rows.chain_up()
    while rows.count > rows.max_rows:  # as many were added at one time
        loading.drop(rows.victim(""))
    load_all(file.folder, rows, shape)
    return Loaded(loading.stale)


class _Loading:
    def __init__(self, rows: Rows, oldest: float, now: float) -> None:
        self._rows = rows
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
        self._rows.drop(slot)
        self._rows.release(slot)

    def _take(self, batch: list[Record]) -> None:
        """The same, of rows of one namespace."""
        rows, width = self._rows, self._rows.precision.row_bytes
        end = _HEAD.size + width
        whole = [each for each in batch if len(each[0]) == _NAME_BYTES and len(each[1]) >= end]
        if not whole:
            return
        namespace = whole[0][0][:NAMESPACE_BYTES]
        for name, value in whole:
            expires, added, factor = _HEAD.unpack_from(value)
            if expires <= self._now or added < self._oldest:
                if len(self.stale) < _STALE:
                    self.stale.append(name)
                continue
            if not rows.has_room:
                continue
            key = CacheKey(value[end:].decode("utf-8", "surrogatepass"), name[NAMESPACE_BYTES:])
            vector = np.frombuffer(value[_HEAD.size : end], rows.precision.type)
            rows.put(namespace, key, vector, factor, expires=expires, added=added)


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
