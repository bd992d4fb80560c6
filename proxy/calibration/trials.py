"""Trials: labelled questions put through a rehearsal, and what became of each.

Besides what the proxy would have done, each trial tells what would have been served had nothing
been asked of its similarity: from these, what any threshold comes to follows. Answers say no more
than a number, by which the parts that compare answers can tell them apart.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.calibration.labelled import Asked, Pair
from proxy.calibration.rehearsal import Met, Rehearsal
from proxy.model.decision import Hit, Miss, Why
from proxy.model.entry import Entry
from proxy.question import Question
from proxy.semantic.budget.calibration import Scored
from proxy.semantic.budget.controller import Budget

LEAST: Final = 0.70  # similarity; nobody sets a threshold below
_ANY: Final = 0.99  # an error budget that is never looked at: nothing is learned of it


class Tried(NamedTuple):
    """What became of a question."""

    met: Met
    right: bool | None  # whether what was served is the right answer; None: nothing was
    nearest: Scored | None  # what would be served but for its similarity; None: nothing

    @property
    def kind(self) -> str:
        """How the hit came about, "exact", "canonical", "typo" or "semantic"; "" for a miss."""
        if self.met.exact is not None:
            return "exact"
        hit = self.met.finding.hit
        return "" if hit is None else hit.why.value

    @property
    def score(self) -> float | None:
        """The similarity of the question whose answer was served; None for none."""
        best = self.met.finding.best
        return None if self.met.finding.hit is None or best is None else best.score

    @property
    def doubt(self) -> str:
        """Why nothing was served; "" if something was, or there is nothing to say."""
        doubt = self.met.finding.doubt
        return "" if doubt is None or self.kind else doubt.value


class Trials:
    """Puts questions to the proxy's parts.

    Args:
        rehearsal: one that has started.
    """

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.rehearsal = rehearsal
        self._any = rehearsal.otherwise(budget=Budget(_ANY, start=LEAST, floor=LEAST), least=LEAST)
        self._numbers: dict[str, int] = {}  # of groups
        self._groups: dict[bytes, str] = {}  # of entries, by digest
        self._pairs = 0

    async def pair(self, pair: Pair) -> Tried:
        """One question is asked and answered, then the other is asked; no other is in reach."""
        self._pairs += 1
        namespace = f"pair-{self._pairs}"
        stored = self.rehearsal.question(pair.stored, namespace)
        met = await self.rehearsal.meet(stored)
        await self.rehearsal.land(met.question, answer_of(self._pairs))
        met = await self.rehearsal.meet(self.rehearsal.question(pair.asked, namespace))
        right = None if met.served is None else pair.right
        score = await self._score(met)
        return Tried(met, right, None if score is None else Scored(score[0], pair.right))

    async def look(self, asked: Asked) -> Tried:
        """A question of a stream is asked; ``settle`` it before the next."""
        met = await self.rehearsal.meet(self.rehearsal.question(asked.text))
        score = await self._score(met)
        nearest = None
        if score is not None:
            nearest = Scored(score[0], self.is_right(score[1], asked.group))
        right = None if met.served is None else self.is_right(met.served, asked.group)
        return Tried(met, right, nearest)

    async def settle(self, asked: Asked, tried: Tried) -> bool:
        """A miss is answered, and a hit too if chance wants to know; whether that was done."""
        met = tried.met
        question = met.question if met.served is None else self.rehearsal.shadowed(met)
        if question is None:
            return False
        number = self._numbers.setdefault(asked.group, len(self._numbers) + 1)
        entry = await self.rehearsal.land(question, answer_of(number))
        self._groups[entry.key.digest] = asked.group
        return True

    def is_right(self, entry: Entry, group: str) -> bool:
        """Whether a stored answer is that of ``group``."""
        return self._groups[entry.key.digest] == group

    async def _score(self, met: Met) -> tuple[float, Entry] | None:
        """What would be served, and at which similarity; None for nothing, or without a look."""
        if met.exact is not None:
            return None
        question: Question = met.question
        finding = (await question.find(self._any, Miss(Why.UNSEEN))).finding
        if finding is None or finding.best is None or not isinstance(finding.hit, Hit):
            return None
        return finding.best.score, finding.hit.entry


def answer_of(number: int) -> str:
    """The answer with this number, unlike that with any other."""
    return f"The answer to this is no. {number}."
