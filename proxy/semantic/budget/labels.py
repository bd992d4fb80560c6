"""Labels: what was learned of single answers, and samples of them that forget.

A label says whether serving a neighbour's answer was right, or would have been. Its weight is one
over the chance that there was one, so that a sample with weights looks like all of the traffic.

A sample keeps three sums and no label. It forgets as it learns: each label ages the others by the
traffic it stands for, measured by the traffic that one of them stands for, so that the effective
number settles at what the sample is to remember, however many queries that takes. (Ageing by one a
label would let the many labels of misses, of weight 1, push out the few of hits; ageing by traffic
alone would leave no labels in memory where few hits are looked at.)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import exp, isfinite
from typing import Final, NamedTuple

from proxy.model.meaning import Script
from proxy.semantic.budget.wilson import NOTHING, Share

_NOTHING_LEFT: Final = 1e-9  # of a label: far from where floating point ends
_WEIGHT_MOST: Final = 1000.0  # one label never stands for more hits than that


class Stratum(NamedTuple):
    """What is counted together: errors differ by the model, the script and the kind of question."""

    fingerprint: str  # the embedder's
    script: Script
    family: str  # of questions whose answers are wrong about as often: the model that gave them


class Source(StrEnum):
    """Who says so."""

    MISS = "miss"  # the upstream's answer, beside what the nearest entry would have said
    SHADOW = "shadow"  # the same for a hit, asked for after it was served
    FEEDBACK = "feedback"  # the caller
    JUDGE = "judge"  # a model that compared two answers


@dataclass(frozen=True, slots=True)
class Label:
    """Whether the answer of a neighbour was right.

    Only of neighbours that nothing but the threshold would have kept from being served: those with
    a veto say nothing of hits.
    """

    score: float  # the cosine
    wrong: bool
    weight: float  # 1 / the chance that this was looked at; 1 for misses and feedback
    source: Source
    served: bool  # a hit; else what would have been one with a lower threshold

    @property
    def usable(self) -> bool:
        """Whether it can be counted: its numbers are numbers."""
        return isfinite(self.score) and isfinite(self.weight) and self.weight > 0


class Sample:
    """Labels as three sums. Forgets what is older than ``memory`` effective labels, smoothly."""

    __slots__ = ("_squares", "_weight", "_wrong")

    def __init__(self, weight: float = 0.0, squares: float = 0.0, wrong: float = 0.0) -> None:
        self._weight = weight
        self._squares = squares
        self._wrong = wrong

    def add(self, weight: float, memory: float, *, wrong: bool) -> None:
        """Count one label more; ``memory`` is how many the effective number may come to."""
        weight = min(weight, _WEIGHT_MOST)
        if self._squares > 0:
            one = self._squares / self._weight  # what one of those in here stands for
            # With weights all 1 it settles at a keep of about 1 - 2/memory, where ``one`` is 1/2.
            keep = exp(-weight / (one * memory))
            self._weight *= keep
            self._wrong *= keep
            self._squares *= keep * keep
        self._weight += weight
        self._squares += weight * weight
        if wrong:
            self._wrong += weight

    def fade(self, keep: float) -> None:
        """Let it count as ``keep`` times as many labels, with what they say unchanged."""
        if self._weight * keep < _NOTHING_LEFT:
            keep = 0.0
        self._weight *= keep
        self._squares *= keep
        self._wrong *= keep

    def share(self) -> Share:
        """The share of wrong ones, and the effective number."""
        if self._squares <= 0:
            return NOTHING
        effective = self._weight * self._weight / self._squares
        return Share(min(1.0, self._wrong / self._weight), effective)

    def shrink(self, most: float) -> None:
        """Go on saying the same, as at most ``most`` labels of weight 1."""
        value, effective = self.share()
        count = min(effective, most)
        self._weight, self._squares, self._wrong = count, count, count * value

    def sums(self) -> tuple[float, float, float]:
        """The sums of weights, of their squares, and of the weights of wrong ones."""
        return self._weight, self._squares, self._wrong
