"""A stored response and the key it is found by."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from proxy.model.meaning import Wording
from proxy.model.message import Head
from proxy.model.query import Form, Usage


class CacheKey(NamedTuple):
    """What makes two queries equal. Callers of different scopes never share a key."""

    scope: str  # whose answers these are; a keyed hash, safe to show
    digest: bytes  # 32 bytes, covers the scope too


@dataclass(frozen=True, slots=True)
class Lifetime:
    """For how long an entry may be used; seconds of ``Entry.age``."""

    ttl: float
    stale_while_revalidate: float = 0.0  # after the ttl (RFC 5861, section 3)
    stale_if_error: float = 0.0  # after the ttl (RFC 5861, section 4)
    retain: float = 0.0  # after the ttl; kept to be asked about, not to be served

    @property
    def keep(self) -> float:
        """The age at which the entry is of no more use, in seconds."""
        return self.ttl + max(self.stale_while_revalidate, self.stale_if_error, self.retain)


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored response: what the backend sent, and how long it may be used."""

    key: CacheKey
    dialect: str
    model: str
    head: Head  # fields that belong to one delivery only are gone
    form: Form  # what the body is
    body: bytes  # the backend's own bytes: a JSON document, or a whole event stream
    stored_at: float  # seconds on the proxy's monotonic clock
    lifetime: Lifetime
    initial_age: float = 0.0  # seconds; the Age it arrived with (RFC 9111, section 4.2.3)
    usage: Usage | None = None
    asked: Form | None = None  # the form asked for when it came, which a backend may not heed
    upstream_s: float = 0.0  # seconds the backend took; what a hit saves
    generation: int = 0  # the newest purge when it was asked for; see ``proxy.ledger``
    path: str = ""  # raw, as it was asked at
    tags: tuple[str, ...] = ()  # labels to purge it by; each printable
    negative: bool = False  # an error or an empty result, kept for a moment
    wording: Wording | None = None  # how it was asked; None: it is not to be found by meaning

    def age(self, now: float) -> float:
        """Seconds since the backend made it (RFC 9111, section 4.2.3)."""
        return max(0.0, now - self.stored_at) + self.initial_age

    def ttl_left(self, now: float) -> float:
        """Seconds of freshness left; negative when stale."""
        return self.lifetime.ttl - self.age(now)

    @property
    def stored_size(self) -> int:
        """Bytes it takes in the memory tier, as far as it can tell: what is its own, packed."""
        words = 0 if self.wording is None else len(self.wording.text) + 40
        # The numbers, a date and what holds all of it; see ``proxy.tiers.packing``.
        return len(self.body) + sum(map(len, self.tags)) + words + 460

    @property
    def size(self) -> int:
        """Bytes it takes as it is, all its objects included: on its way, or in a queue."""
        pairs = self.head.headers.pairs
        texts = sum(map(len, chain.from_iterable(pairs))) + len(self.path)
        if self.wording is not None:
            texts += sys.getsizeof(self.wording.text) + 120  # for the pair and the namespace
        # Measured with tracemalloc: 1,200 bytes for the objects, the key and the place in the
        # memory tier; 250 for each field and its place in the index of the headers.
        return len(self.body) + texts + _tagged(self.tags) + 250 * len(pairs) + 1200


def _tagged(tags: tuple[str, ...]) -> int:
    """Bytes that tags take: their texts, 60 for each, and the tuple."""
    return sum(map(len, tags)) + 60 * len(tags) + 40 if tags else 0
