"""What was worked out lately, by what it follows from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_OVERHEAD = 600  # bytes an entry costs besides what ``put`` is told, about
_LARGEST_SHARE = 64  # what takes more than this share of the bound would push out too many others


class Recent(Generic[K, V]):
    """Values by what they follow from, the least recently used forgotten first.

    Args:
        max_bytes: what all of it may take, overhead included.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._largest = max_bytes // _LARGEST_SHARE
        self._bytes = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """What was put for ``key``, if it is still known."""
        known = self._values.get(key)
        if known is None:
            return None
        self._values.move_to_end(key)
        return known[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Remember ``value`` from now on, unless that is too much.

        Args:
            size: bytes that both take.
        """
        size += _OVERHEAD
        if (known := self._values.pop(key, None)) is not None:
            self._bytes -= known[1]
        if size > self._largest:
            return
        self._values[key] = (value, size)
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, (_, freed) = self._values.popitem(last=False)
            self._bytes -= freed

    def __len__(self) -> int:
        return len(self._values)
