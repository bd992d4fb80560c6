"""What a replay keeps in its tiers: entries without bodies, and a tier that is further off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.query import Form

_HEAD: Final = Head(200, "OK", Headers())
_FORM: Final = Form()


@dataclass(frozen=True, slots=True)
class Held(Entry):
    """An entry that is as large as it was, though nothing is in it."""

    bytes: int = 0

    @property
    def stored_size(self) -> int:
        return self.bytes


def held(
    key: CacheKey,
    size: int,
    stored_at: float,
    lifetime: Lifetime,
    *,
    age: float,
    upstream_s: float,
    negative: bool,
) -> Held:
    """An entry of so many bytes; times in seconds."""
    return Held(
        key, "", "", _HEAD, _FORM, b"", stored_at, lifetime, age, None, None, upstream_s, 0, "",
        (), negative, None, size,
    )  # fmt: skip


class Further:
    """A tier behind the memory, as the disk is: who dies first goes first when it is full.

    How much an entry takes there is supposed: as much as in memory, in whole pages.

    Args:
        max_bytes: what all may take; None: there is no bound that is known, as with Redis.
        clock: seconds.
    """

    def __init__(self, max_bytes: int | None, clock: Callable[[], float]) -> None:
        self._most = max_bytes
        self._clock = clock
        self._entries: dict[bytes, Held] = {}
        self._deaths: list[tuple[float, bytes]] = []
        self.bytes = 0
        self.evicted = 0

    def get(self, key: CacheKey) -> Held | None:
        """The entry, if it is here and not past its keep."""
        entry = self._entries.get(key.digest)
        if entry is None or entry.key.scope != key.scope or _death(entry) <= self._clock():
            return None
        return entry

    def put(self, entry: Held) -> None:
        """Keep it, in place of an older one."""
        self._forget(entry.key.digest)
        self._entries[entry.key.digest] = entry
        self.bytes += _cost(entry.bytes)
        heappush(self._deaths, (_death(entry), entry.key.digest))
        now = self._clock()
        while self._deaths and (
            self._deaths[0][0] <= now or (self._most is not None and self.bytes > self._most)
        ):
            death, digest = heappop(self._deaths)
            there = self._entries.get(digest)
            if there is not None and _death(there) == death:  # else it was replaced
                self.evicted += death > now
                self._forget(digest)

    def _forget(self, digest: bytes) -> None:
        entry = self._entries.pop(digest, None)
        if entry is not None:
            self.bytes -= _cost(entry.bytes)


def _death(entry: Entry) -> float:
    return entry.stored_at + entry.lifetime.keep - entry.initial_age


def _cost(size: int) -> int:
    """Bytes that an entry takes in a file: what is long has pages of its own."""
    return size + _ROW if size <= _INLINE else -(-size // _PAGE) * _PAGE + _ROW


_ROW: Final = 200
_INLINE: Final = 1900
_PAGE: Final = 4096
