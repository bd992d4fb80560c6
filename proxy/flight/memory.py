"""What flights remember of keys: which cannot be shared, and which just failed."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_LONGEST_PAUSE: Final = 60.0  # seconds; pauses double from 1


class Marks:
    """Hit-for-miss: keys whose answer was not to be shared, remembered for ``ttl`` seconds.

    At most ``most`` keys; the oldest mark goes first.
    """

    def __init__(self, ttl: float, most: int) -> None:
        self._ttl = ttl
        self._most = most
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def add(self, digest: bytes, now: float) -> None:
        """Mark ``digest`` from ``now`` on."""
        self._until[digest] = now + self._ttl
        self._until.move_to_end(digest)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def holds(self, digest: bytes, now: float) -> bool:
        """Whether the mark stands."""
        until = self._until.get(digest)
        if until is None:
            return False
        if now >= until:
            del self._until[digest]
            return False
        return True

    def stands(self, digest: bytes, now: float) -> bool:
        """As ``holds``, for who only wants to know."""
        return now < self._until.get(digest, now)

    def drop(self, digest: bytes) -> None:
        """Take the mark away."""
        self._until.pop(digest, None)

    def limit(self, ttl: float, most: int) -> None:
        """Remember later marks for so long, and so many at most."""
        self._ttl, self._most = ttl, most
        while len(self._until) > most:
            self._until.popitem(last=False)

    def __len__(self) -> int:
        return len(self._until)


class Setbacks:
    """Failed refreshes: after each, the key is left alone for 1 s, doubling to 60 s."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: OrderedDict[bytes, tuple[float, float]] = OrderedDict()  # pause, until when

    def add(self, digest: bytes, now: float) -> None:
        """One more failure."""
        pause = min(2.0 * self._keys[digest][0], _LONGEST_PAUSE) if digest in self._keys else 1.0
        self._keys[digest] = (pause, now + pause)
        self._keys.move_to_end(digest)
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)

    def holds(self, digest: bytes, now: float) -> bool:
        """Whether the key is still to be left alone."""
        known = self._keys.get(digest)
        return known is not None and now < known[1]

    def limit(self, most: int) -> None:
        """Remember so many keys at most."""
        self._most = most
        while len(self._keys) > most:
            self._keys.popitem(last=False)

    def drop(self, digest: bytes) -> None:
        """It succeeded."""
        self._keys.pop(digest, None)
