"""What came of a replay: counted request by request, and told as ratios, money and ages."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Final, NamedTuple

from proxy.model.decision import Hit, Why
from proxy.tuning.grid import Choice
from proxy.tuning.workload import GROUPS, Fact

_LOOKED_AT: Final = 50_000  # ages that a percentile is taken of
_P99: Final = 0.99
_SURE: Final = 2.131  # standard deviations: 95 times in 100, of 16 groups (Student)


class Result(NamedTuple):
    """A choice and what comes of it. Times in seconds; of a sample, but for ratios, in its size."""

    choice: Choice
    requests: int
    hit_ratio: float  # the share of requests that cost no call of their own; 0 without any
    hits: int
    stale: int
    coalesced: int
    misses: int
    errors: int
    passed: int  # would not be cached at all
    by_meaning: int  # of the hits, those that a threshold has a say in
    refreshes: int
    saved_read: int  # tokens
    saved_written: int
    spent_read: int
    spent_written: int
    saved: float  # money; 0 without prices
    spent: float
    refreshed: float  # of that, for refreshes
    saved_s: float  # of the backend's time
    waited_s: float  # by all callers together
    mean_age_s: float  # of answers served from the cache
    p99_age_s: float
    max_age_s: float
    peak_bytes: int  # of memory, at the most; of a sample as if it were all
    evicted: int
    declined: int  # by memory, as too large
    error: float  # of the hit ratio, 95 times in 100; 0: nothing was left to chance
    wrong: float | None = None  # share of hits by meaning that would be wrong; None: not known
    wrong_high: float | None = None  # at most, 95 times in 100

    @property
    def stale_ratio(self) -> float:
        """The share of requests that were given a stale answer."""
        return self.stale / self.requests if self.requests else 0.0

    @property
    def calls(self) -> int:
        """How often the backend was asked."""
        return self.misses + self.refreshes

    @property
    def mean_wait_s(self) -> float:
        """How long a request waited for the backend, on average."""
        return self.waited_s / self.requests if self.requests else 0.0


@dataclass(slots=True)
class Tally:
    """Counts what becomes of requests.

    Args:
        groups: for each key the group it is in, by which the error of a sample is told.
    """

    groups: Sequence[int]
    hits: int = 0
    stale: int = 0
    coalesced: int = 0
    misses: int = 0
    errors: int = 0
    passed: int = 0
    by_meaning: int = 0
    refreshes: int = 0
    saved_read: int = 0
    saved_written: int = 0
    spent_read: int = 0
    spent_written: int = 0
    saved: float = 0.0
    spent: float = 0.0
    refreshed: float = 0.0
    saved_s: float = 0.0
    waited_s: float = 0.0
    peak_bytes: int = 0
    ages: array[float] = field(default_factory=lambda: array("f"))
    _missed: list[int] = field(default_factory=lambda: [0] * GROUPS)

    def hit(self, fact: Fact, hit: Hit, now: float) -> None:
        """An answer was served from the cache."""
        if hit.why is Why.FRESH:
            self.hits += 1
        elif hit.stale:
            self.stale += 1
        else:
            self.hits += 1
        self.ages.append(hit.entry.age(now))
        self._saved(fact)

    def coalesced_one(self, fact: Fact, waits_s: float) -> None:
        """An answer was heard that somebody else had asked for."""
        self.coalesced += 1
        self.waited_s += waits_s
        self._saved(fact)

    def miss(self, key: int, fact: Fact) -> None:
        """The backend was asked."""
        self.misses += 1
        self.waited_s += fact.backend_s
        self._missed[self.groups[key]] += 1
        self._spent(fact)

    def refresh(self, fact: Fact) -> None:
        """The backend was asked while a stored answer was served."""
        self.refreshes += 1
        self.refreshed += fact.price
        self._spent(fact)

    def error(self, key: int) -> None:
        """There was no answer."""
        self.errors += 1
        self._missed[self.groups[key]] += 1

    def held(self, bytes_: int) -> None:
        """So much memory is in use."""
        self.peak_bytes = max(self.peak_bytes, bytes_)

    def _saved(self, fact: Fact) -> None:
        self.saved_read += fact.read
        self.saved_written += fact.written
        self.saved += fact.price
        self.saved_s += fact.backend_s

    def _spent(self, fact: Fact) -> None:
        self.spent_read += fact.read
        self.spent_written += fact.written
        self.spent += fact.price

    def told(
        self, choice: Choice, share: float, whole: int, *, evicted: int, declined: int
    ) -> Result:
        """All of it.

        Args:
            share: of the keys that were replayed.
            whole: requests that they are a sample of.
        """
        requests = self.hits + self.stale + self.coalesced + self.misses + self.errors
        # Of a sample the misses count, which many keys have a part in. Whether the few that are
        # asked for most are in it is luck, and their requests are nearly all hits (SHARDS, section
        # 3.4, adjusts for them so).
        of = max(1.0, requests if share == 1.0 else whole * share - self.passed)
        missed = self.misses + self.errors
        ages = self.ages
        ranked = sorted(ages[:: max(1, len(ages) // _LOOKED_AT)])
        return Result(
            choice,
            requests,
            max(0.0, 1.0 - missed / of) if requests else 0.0,
            self.hits,
            self.stale,
            self.coalesced,
            self.misses,
            self.errors,
            self.passed,
            self.by_meaning,
            self.refreshes,
            self.saved_read,
            self.saved_written,
            self.spent_read,
            self.spent_written,
            self.saved,
            self.spent,
            self.refreshed,
            self.saved_s,
            self.waited_s,
            sum(ages) / len(ages) if ages else 0.0,
            ranked[int(_P99 * (len(ranked) - 1))] if ranked else 0.0,
            max(ages, default=0.0),
            int(self.peak_bytes / share),
            evicted,
            declined,
            _error(self._missed, of, share) if share < 1.0 else 0.0,
        )


def _error(missed: Sequence[int], of: float, share: float) -> float:
    """How far a sample's hit ratio may be off, 95 times in 100, by how much groups of keys differ.

    Keys differ more than requests do, so groups of keys are what is independent; of these there
    are few, so it is itself right to a fifth or so.
    """
    mean = sum(missed) / GROUPS
    spread = sum((group - mean) ** 2 for group in missed) * GROUPS / (GROUPS - 1)
    return _SURE * sqrt(spread * (1.0 - share)) / of
