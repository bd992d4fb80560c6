"""A workload: what a trace says was asked and what answers were like, whatever became of them.

A request that was a hit may be a miss with other settings: then the answer to it is taken to be
like the last one that came for the same question, or the next one if none had come yet. So each
request refers to an answer (``Fact``) and to a way of asking (``Ask``), and what the cache did with
it is only counted, to compare a replay with.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Final, NamedTuple

from proxy.model.entry import CacheKey
from proxy.model.message import Head, Headers
from proxy.model.query import Controls, Usage
from proxy.observe.trace import Labelled
from proxy.prices import Prices

_SPACE: Final = 2**64  # of hashed keys
GROUPS: Final = 16  # of keys, by which the error of a sample is told
NOBODY: Final = -1
NOTHING_SAID: Final = Head(200, "OK", Headers())


class Mark(IntFlag):
    """What else there is to know of a request."""

    NONE = 0
    FAILED = 1  # the backend failed then


class Fact(NamedTuple):
    """An answer of the backend. Times in seconds."""

    size: int  # bytes it is accounted for
    backend_s: float  # until it was whole
    read: int = 0  # tokens
    written: int = 0
    head: Head = NOTHING_SAID  # what it says of its lifetime itself
    age: float = 0.0  # that it came with
    storable: bool = True
    shared: bool = True  # whoever asks meanwhile hears it, too
    negative: bool = False
    confident: bool = False  # it is sure of itself
    model: str = ""
    price: float = 0.0  # money for its tokens; 0: nobody said


class Ask(NamedTuple):
    """How something was asked."""

    path: str
    model: str
    dialect: str
    about_now: bool
    controls: Controls


class Near(NamedTuple):
    """What came nearest to answering a question in other words."""

    key: int  # its number
    score: float
    unopposed: bool  # nothing but the threshold could speak against it
    served: bool
    certain: bool  # no threshold has a say: the words are the same, or have a slip


class Seed(NamedTuple):
    """An answer that was there before the trace began, as a hit on it shows."""

    stored_at: float
    key: int
    fact: int
    ask: int


class Measured(NamedTuple):
    """What the cache did while the trace was recorded."""

    hits: int = 0
    stale: int = 0
    coalesced: int = 0
    misses: int = 0
    degraded: int = 0
    errors: int = 0
    mean_age_s: float = 0.0  # of what was served

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(self[:6])

    @property
    def hit_ratio(self) -> float:
        """The share that did not cost a call; 0 without requests."""
        return (self.hits + self.stale + self.coalesced) / self.requests if self.requests else 0.0


@dataclass(slots=True)
class Workload:
    """Requests in the order they came, as columns of one length; and what they refer to."""

    at: array[float] = field(default_factory=lambda: array("d"))  # seconds since the epoch
    key: array[int] = field(default_factory=lambda: array("i"))
    fact: array[int] = field(default_factory=lambda: array("i"))
    ask: array[int] = field(default_factory=lambda: array("i"))
    near: array[int] = field(default_factory=lambda: array("i"))  # NOBODY: nothing was near
    marks: array[int] = field(default_factory=lambda: array("b"))
    keys: list[CacheKey] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    nears: list[Near] = field(default_factory=list)
    seeds: list[Seed] = field(default_factory=list)
    labels: list[Labelled] = field(default_factory=list)
    measured: Measured = field(default_factory=Measured)
    left_out: Counter[str] = field(default_factory=Counter)  # requests, by kind
    dropped: int = 0  # requests that the recording lost
    unreadable: int = 0  # blocks
    share: float = 1.0  # of the keys, that are here
    whole: int = 0  # requests that this is a sample of; 0: it is none

    def __len__(self) -> int:
        return len(self.at)

    @property
    def span_s(self) -> float:
        """From the first request to the last."""
        return self.at[-1] - self.at[0] if self.at else 0.0

    def groups(self) -> array[int]:
        """For each key the group it is in, so that each has about as many."""
        return array("b", (_number(key) // 7 % GROUPS for key in self.keys))

    def priced(self, prices: Prices) -> set[str]:
        """Let every answer have its price; the models that have none."""
        unpriced: set[str] = set()
        for at, fact in enumerate(self.facts):
            price = prices.cost(fact.model, Usage(fact.read, fact.written))
            if price is None:
                unpriced.add(fact.model)
            else:
                self.facts[at] = fact._replace(price=price)
        return unpriced

    def sampled(self, share: float) -> Workload:
        """The requests for about ``share`` of the keys; those that answer each other together.

        By what keys hash to, so that a key is there with all its requests or not at all
        (Waldspurger, Park, Garthwaite and Ahmad: Efficient MRC Construction with SHARDS, FAST
        2015).
        """
        if share >= 1.0:
            return self
        root = self._roots()
        there = [_number(self.keys[root[at]]) < share * _SPACE for at in range(len(self.keys))]
        kept = [at for at, key in enumerate(self.key) if there[key]]
        return Workload(
            at=array("d", [self.at[at] for at in kept]),
            key=_chosen(self.key, kept),
            fact=_chosen(self.fact, kept),
            ask=_chosen(self.ask, kept),
            near=_chosen(self.near, kept),
            marks=array("b", [self.marks[at] for at in kept]),
            keys=self.keys,
            facts=self.facts,
            asks=self.asks,
            nears=self.nears,
            seeds=[seed for seed in self.seeds if there[seed.key]],
            labels=self.labels,
            measured=self.measured,
            left_out=self.left_out,
            dropped=self.dropped,
            unreadable=self.unreadable,
            share=share * self.share,
            whole=self.whole or len(self),
        )

    def _roots(self) -> list[int]:
        """For each key the one that stands for all it is bound to by meaning."""
        root = list(range(len(self.keys)))

        def find(at: int) -> int:
            while root[at] != at:
                root[at] = root[root[at]]
                at = root[at]
            return at

        for key, near in zip(self.key, self.near, strict=True):
            if near != NOBODY:
                one, other = find(key), find(self.nears[near].key)
                root[max(one, other)] = min(one, other)
        return [find(at) for at in range(len(root))]


def _number(key: CacheKey) -> int:
    return int.from_bytes(key.digest[:8], "little")


def _chosen(column: Sequence[int], kept: Sequence[int]) -> array[int]:
    return array("i", [column[at] for at in kept])
