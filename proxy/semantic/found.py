"""The words of the search by meaning: what is sought, what may answer it, what was found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from proxy.model.decision import Hit
from proxy.model.entry import CacheKey, Entry
from proxy.model.meaning import Doubt, Measured, Wording
from proxy.model.outcome import Nearest
from proxy.semantic.budget.labels import Stratum
from proxy.semantic.words.text import Text


class Sought(NamedTuple):
    """A question that may be answered by the answer to another."""

    key: CacheKey
    namespace: bytes
    text: Text
    plain: Text  # its canonical form
    alias: CacheKey | None  # where the tiers note who answers its canonical form
    family: str  # answers to such questions are wrong about as often: the model that gave them
    acts: bool  # asked again in secret, it might do something

    @property
    def wording(self) -> Wording:
        """How it was put, to be kept with its answer."""
        return Wording(self.namespace, self.text.raw)


Fits = Callable[[Entry, str], Hit | None]
"""The hit that an entry, found in the tier so named, would be for who asks; None if it is none."""


class Candidate(NamedTuple):
    """An entry that may answer a question."""

    entry: Entry
    tier: str
    score: float  # the similarity of the questions, from -1 to 1
    text: Text  # how it was asked


class Finding(NamedTuple):
    """What became of the search for an answer by meaning."""

    hit: Hit | None = None
    doubt: Doubt | None = None  # why there is none, or nothing to look with
    best: Candidate | None = None  # of the hit; or whose score alone spoke against it
    stratum: Stratum | None = None  # of the budget, which ``best`` counts for
    measured: Measured | None = None  # how often such hits are wrong
    neighbours: tuple[Candidate, ...] = ()

    @property
    def nearest(self) -> Nearest | None:
        """The candidate that came nearest to being served, or was."""
        if self.best is None and not self.neighbours:
            return None
        nearest = self.best or self.neighbours[0]
        return Nearest(nearest.entry.key, nearest.score, unopposed=self.best is not None)


class Neighbour(NamedTuple):
    """A candidate, and what speaks against it besides that it may not be near enough."""

    candidate: Candidate
    doubt: Doubt | None


class Nearby(NamedTuple):
    """Who is near to a question, nearest first."""

    neighbours: tuple[Neighbour, ...]
    threshold: float  # that is in force, or would be if the breaker were closed
    least: float  # below which nobody is looked at
    is_open: bool  # the breaker: nothing is served


NOTHING: Final = Finding()
