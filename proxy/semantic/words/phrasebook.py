"""Remembers under which wordings entries may be found again without a model.

It names keys only, never answers: what it names is compared with the question before it is served.
It is bounded in entries and in bytes; the least recently used go first. A scope that holds more
than its share gives way before the others do, so that one who asks much does not evict the rest.

Questions are best given as they read in their canonical form, ``read(canonical(text))``: then all
who ask the same find the same, and slips are told from rewordings.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Final, NamedTuple

from proxy.model.entry import CacheKey
from proxy.semantic.words.near import masks
from proxy.semantic.words.text import Text

_FOUND: Final = 4  # keys that one wording may lead to
_MOST_BYTES: Final = 32 * 2**20
_SHARE: Final = 0.25
_DIGEST_BYTES: Final = 16
# As measured with tracemalloc on CPython 3.11, rounded up: a key with its places, and a wording.
_ENTRY_BYTES: Final = 700
_WORDING_BYTES: Final = 320


class _Held(NamedTuple):
    wordings: tuple[bytes, ...]  # 32 bytes each: the namespace, and a digest
    size: int  # bytes


class Phrasebook:
    """A map from wordings to keys, for one event loop.

    Args:
        most: entries that it may hold.
        most_bytes: what they may take, about.
        share: the part of either that a scope may defend against others, from 0 to 1.
    """

    def __init__(self, most: int, most_bytes: int = _MOST_BYTES, share: float = _SHARE) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._fair = share * most_bytes
        self._fair_count = share * most
        self._held: OrderedDict[CacheKey, _Held] = OrderedDict()
        self._scopes: dict[str, OrderedDict[CacheKey, None]] = {}
        self._sizes: dict[str, int] = {}
        self._heavy: set[str] = set()  # scopes above their share; a handful at most
        self._keys: dict[bytes, tuple[CacheKey, ...]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def learn(self, namespace: bytes, text: Text, key: CacheKey) -> None:
        """Remember that ``key`` answers ``text`` among the questions of ``namespace``."""
        self.forget(key)
        if not text.tokens:
            return
        wordings = tuple(dict.fromkeys(namespace + digest for digest in _digests(text)))
        size = _ENTRY_BYTES + len(wordings) * _WORDING_BYTES
        if size > self._most_bytes or not self._most:
            return
        while len(self._held) >= self._most or self.bytes + size > self._most_bytes:
            self.forget(self._next_to_go())
        self._held[key] = _Held(wordings, size)
        self._scopes.setdefault(key.scope, OrderedDict())[key] = None
        self._weigh(key.scope, size)
        for wording in wordings:
            # The oldest of many is no longer found by this wording, but may be by others.
            self._keys[wording] = (key, *self._keys.get(wording, ()))[:_FOUND]

    def look(self, namespace: bytes, text: Text) -> tuple[CacheKey, ...]:
        """Keys of entries that may answer ``text``, the likeliest first; at most 4."""
        likely = self.glance(namespace, text)
        for key in likely:
            self._held.move_to_end(key)
            self._scopes[key.scope].move_to_end(key)
        return likely

    def glance(self, namespace: bytes, text: Text) -> tuple[CacheKey, ...]:
        """As ``look``, but that they were looked for does not count as a use."""
        found: dict[CacheKey, None] = {}
        for digest in _digests(text) if text.tokens else ():
            found.update(dict.fromkeys(self._keys.get(namespace + digest, ())))
        return tuple(found)[:_FOUND]

    def forget(self, key: CacheKey) -> None:
        """Name ``key`` no more."""
        held = self._held.pop(key, None)
        if held is None:
            return
        del self._scopes[key.scope][key]
        self._weigh(key.scope, -held.size)
        for wording in held.wordings:
            rest = tuple(other for other in self._keys.get(wording, ()) if other != key)
            if rest:
                self._keys[wording] = rest
            else:
                self._keys.pop(wording, None)

    def clear(self) -> None:
        """Forget all."""
        for places in (self._held, self._scopes, self._sizes, self._heavy, self._keys):
            places.clear()
        self.bytes = 0

    def _weigh(self, scope: str, change: int) -> None:
        """Account for a scope that has grown or shrunk."""
        self.bytes += change
        size = self._sizes[scope] = self._sizes.get(scope, 0) + change
        count = len(self._scopes[scope])
        if size > self._fair or count > self._fair_count:
            self._heavy.add(scope)
        else:
            self._heavy.discard(scope)
        if not count:
            del self._scopes[scope], self._sizes[scope]

    def _next_to_go(self) -> CacheKey:
        """The oldest of the scope that holds most, if any holds more than its share; or of all."""
        if self._heavy:
            heaviest = max(self._heavy, key=lambda scope: self._sizes[scope])
            return next(iter(self._scopes[heaviest]))
        return next(iter(self._held))


def _digests(text: Text) -> tuple[bytes, ...]:
    """Of the whole, its case included, and of all that is around each word that may have a slip."""
    whole = blake2b(text.raw.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES, person=b"whole")
    return (whole.digest(), *masks(text))
