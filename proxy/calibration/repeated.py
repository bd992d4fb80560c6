"""An index that is asked the same thing again and again, and looks once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxy.model.entry import CacheKey
from proxy.semantic.base import Index, Neighbour, Row

if TYPE_CHECKING:
    from proxy.semantic.base import Vector


class RepeatedIndex:
    """An ``Index`` in front of another, to be told when that has changed.

    Args:
        index: the other one; it is opened and closed by others.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._asked: tuple[bytes, Vector, int] | None = None
        self._found: Sequence[Neighbour] = ()

    @property
    def name(self) -> str:
        return self._index.name

    async def open(self, fingerprint: str, dimensions: int) -> None:
        await self._index.open(fingerprint, dimensions)

    async def search(self, namespace: bytes, vector: Vector, count: int) -> Sequence[Neighbour]:
        asked = self._asked
        if asked is None or asked[0] != namespace or asked[1] is not vector or asked[2] != count:
            self._found = await self._index.search(namespace, vector, count)
            self._asked = (namespace, vector, count)
        return self._found

    async def add(self, rows: Sequence[Row]) -> None:
        self.changed()
        await self._index.add(rows)

    async def remove(self, namespace: bytes, keys: Sequence[CacheKey]) -> None:
        self.changed()
        await self._index.remove(namespace, keys)

    async def clear(self) -> None:
        self.changed()
        await self._index.clear()

    async def close(self) -> None:
        self.changed()

    def changed(self) -> None:
        """Look again the next time."""
        self._asked = None
