"""The finder: from a question to the entry that answers it, though it was asked in other words.

Three looks, each further than the last, and each may be switched off:

1. The canonical question: a note in the tiers says which entry answers it.
2. A slip of the keyboard: the phrasebook knows questions that differ in one word.
3. Meaning: the index names the nearest entries, and the verifier says what speaks against them.

What is found is a key. The entry is fetched from the tiers and judged like any other; it must have
been asked in this very namespace, whatever a note or an index says. Every failure is a miss with a
name, and nothing takes longer than the embedder's and the index's own limits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from proxy.histogram import Histogram
from proxy.model.decision import Hit, Why
from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from proxy.model.meaning import Doubt, Measured
from proxy.semantic.agreement import Agreement
from proxy.semantic.base import Index, Shelf
from proxy.semantic.budget.comparator import Judgement
from proxy.semantic.budget.controller import Budget
from proxy.semantic.budget.labels import Stratum
from proxy.semantic.found import NOTHING, Candidate, Finding, Fits, Nearby, Neighbour, Sought
from proxy.semantic.notes import answered_by
from proxy.semantic.verifier import Verifier
from proxy.semantic.words.canonical import canonical
from proxy.semantic.words.near import near
from proxy.semantic.words.phrasebook import Phrasebook
from proxy.semantic.words.reading import read
from proxy.semantic.words.text import Text

if TYPE_CHECKING:
    from proxy.semantic.embedding import Embedding  # numpy, for who has a model

log = logging.getLogger("sidecache.semantic")

_NEIGHBOURS: Final = 8  # asked for: some may be gone
_JUDGED: Final = 3  # of those that are there, nearest first
_CLOSE: Final = 0.04  # neighbours at most so much further off than the best are as good as it
_LONG: Final = 100  # tokens; to compare 500 with 500 takes 10 ms, which is too long for the loop
_OF_A_SLIP: Final = frozenset({Doubt.VETO_ENTITIES})  # a word nobody knows looks like a name
_READ: Final = (
    256  # questions that were answered and lately met again: 6 MB where they have 400 words
)
SCORES: Final = (
    0.5, 0.6, 0.7, 0.75, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98, 0.99, 1.0,
)  # fmt: skip
_CERTAIN: Final = 1.0  # the similarity of questions that are equal without any model


class Finder:
    """Finds the stored answer to a question that was asked in other words.

    Args:
        shelf: where entries are.
        phrasebook: which entries differ in one word; None: no slips of the keyboard are sought.
        verifier: says what speaks against a candidate.
        budget: says how similar a question must be, and which entries were wrong before.
        agreement: says whether two entries have the same answer.
        embedding: turns questions into vectors; None: meaning is not looked for.
        index: finds the nearest.
        least: the similarity below which nothing is ever served, nor learned from.
        index_s: seconds that the index may take.
        limit_s: seconds that all of it may take, however many tiers hang.
        dry: whether to leave everything as it is: see ``dry``.
    """

    def __init__(
        self,
        shelf: Shelf,
        *,
        phrasebook: Phrasebook | None,
        verifier: Verifier,
        budget: Budget,
        agreement: Agreement,
        embedding: Embedding | None,
        index: Index | None,
        least: float = 0.75,
        index_s: float = 0.05,
        limit_s: float = 1.0,
        dry: bool = False,
    ) -> None:
        self._shelf = shelf
        self._phrasebook = phrasebook
        self._verifier = verifier
        self._budget = budget
        self._agreement = agreement
        self._embedding = embedding
        self._index = index
        self._least = least
        self._index_s = index_s
        self._limit_s = limit_s
        self._dry = dry
        self._read = lru_cache(maxsize=_READ)(read)
        self.counts: dict[Why | Doubt, int] = {}  # what became of searches; grows only
        self.scores = Histogram(SCORES)  # of what was found best by meaning
        self.bugs = 0  # searches that failed in a way nobody foresaw; grows only

    def dry(self, shelf: Shelf) -> Finder:
        """The same search over ``shelf``, of which nothing but the embedder and the index notices.

        It forgets nothing that it finds to be gone, and counts for itself.
        """
        return Finder(
            shelf,
            phrasebook=self._phrasebook,
            verifier=self._verifier,
            budget=self._budget,
            agreement=self._agreement,
            embedding=self._embedding,
            index=self._index,
            least=self._least,
            index_s=self._index_s,
            limit_s=self._limit_s,
            dry=True,
        )

    async def find(self, sought: Sought, fits: Fits, least: float) -> Finding:
        """The hit for ``sought``, or why there is none. Raises nothing.

        Args:
            sought: the question.
            fits: who asks; judges the entry.
            least: the similarity that the caller asks for at least.
        """
        try:
            async with asyncio.timeout(self._limit_s):
                finding = (
                    await self._by_note(sought, fits)
                    or await self._by_phrase(sought, fits)
                    or await self._by_meaning(sought, fits, least)
                )
        except TimeoutError:
            finding = Finding(doubt=Doubt.LATE)
        except Exception as error:  # noqa: BLE001 - whatever it is, the backend has an answer
            self.bugs += 1
            # Without what it says: that may quote the question.
            log.error("a search by meaning failed", extra={"reason": type(error).__name__})  # noqa: TRY400
            finding = NOTHING
        if finding.best is not None and finding.best.score < _CERTAIN:
            self.scores.add(finding.best.score)
        said = finding.doubt if finding.hit is None else finding.hit.why
        if said is not None:
            self.counts[said] = self.counts.get(said, 0) + 1
        return finding

    # -- without a model ----------------------------------------------------------------------

    async def _by_note(self, sought: Sought, fits: Fits) -> Finding | None:
        """The entry that answers the question in its canonical form."""
        if sought.alias is None:
            return None
        note = (await self._shelf.get(sought.alias)).entry
        key = None if note is None else answered_by(note)
        if key is None or key == sought.key:
            return None
        candidate = await self._fetch(key, sought, _CERTAIN)
        if candidate is None or canonical(candidate.text) != sought.plain.raw:
            return None
        return self._certain(candidate, Why.CANONICAL, sought, fits)

    async def _by_phrase(self, sought: Sought, fits: Fits) -> Finding | None:
        """An entry whose question differs by a slip of the keyboard."""
        if self._phrasebook is None:
            return None
        look = self._phrasebook.glance if self._dry else self._phrasebook.look
        for key in look(sought.namespace, sought.plain):
            candidate = None if key == sought.key else await self._fetch(key, sought, _CERTAIN)
            if candidate is None:
                continue
            plain = read(canonical(candidate.text))
            if plain.raw == sought.plain.raw or not near(sought.plain, plain):
                continue  # those that are equal have a note, or are not wanted
            if _OF_A_SLIP.issuperset(self._verifier.all_of(sought.text, candidate.text)):
                finding = self._certain(candidate, Why.TYPO, sought, fits)
                if finding is not None:
                    return finding
        return None

    def _certain(
        self, candidate: Candidate, why: Why, sought: Sought, fits: Fits
    ) -> Finding | None:
        """The hit on a question that needs no model to be the same, unless it was wrong before."""
        stratum = Stratum(why, sought.text.script, sought.family)
        floor = self._budget.floor(candidate.entry.key.digest)
        if (floor is not None and floor > _CERTAIN) or self._budget.threshold(stratum) is None:
            return None
        hit = fits(candidate.entry, candidate.tier)
        if hit is None:
            return None
        return Finding(hit._replace(why=why), None, candidate, stratum, self._measured(stratum))

    # -- by meaning ---------------------------------------------------------------------------

    async def _by_meaning(self, sought: Sought, fits: Fits, least: float) -> Finding:
        near_by = await self._near_by(sought, _NEIGHBOURS, _JUDGED)
        if isinstance(near_by, Doubt):
            return Finding(doubt=near_by)
        if near_by is None:
            return NOTHING
        candidates, stratum = near_by
        doubts = partial(self._doubts, sought, candidates)
        told = await asyncio.to_thread(doubts) if _is_long(sought.text) else doubts()
        return self._judge(candidates, told, stratum, fits, least)

    async def _near_by(
        self, sought: Sought, most: int, enough: int
    ) -> tuple[Sequence[Candidate], Stratum] | Doubt | None:
        """The nearest entries that are there, or why none is; None: there is nothing to look with.

        Args:
            most: neighbours to ask for.
            enough: of those that are there.
        """
        if self._embedding is None or self._index is None:
            return None
        vector = await self._embedding.vector(sought.text.raw, sought.text.script)
        if isinstance(vector, Doubt):
            return vector
        try:
            async with asyncio.timeout(self._index_s):
                found = await self._index.search(sought.namespace, vector, most)
        except (TierError, TimeoutError):
            return Doubt.INDEX
        near_by = [n for n in found if n.score >= self._least and n.key != sought.key]
        if not near_by:
            return Doubt.NOBODY
        candidates: list[Candidate] = []
        while near_by and len(candidates) < enough:
            batch = near_by[: enough - len(candidates)]
            del near_by[: len(batch)]
            fetched = await asyncio.gather(*(self._fetch(n.key, sought, n.score) for n in batch))
            candidates += filter(None, fetched)
        if not candidates:
            return Doubt.STALE
        return candidates, Stratum(self._embedding.fingerprint, sought.text.script, sought.family)

    def _doubts(self, sought: Sought, candidates: Sequence[Candidate]) -> list[Doubt | None]:
        """What speaks against each of the candidates. Pure."""
        return [self._verifier.refuse(sought.text, each.text) for each in candidates]

    def _judge(
        self,
        candidates: Sequence[Candidate],
        doubts: Sequence[Doubt | None],
        stratum: Stratum,
        fits: Fits,
        least: float,
    ) -> Finding:
        """The nearest candidate that nothing speaks against, or what speaks against the nearest."""
        neighbours = tuple(candidates)
        unopposed = [each for each, doubt in zip(candidates, doubts, strict=True) if doubt is None]
        if not unopposed:
            return Finding(doubt=doubts[0], neighbours=neighbours)
        best = unopposed[0]
        hit = self._usable(best, unopposed[1:], fits)
        if isinstance(hit, Doubt):
            return Finding(doubt=hit, neighbours=neighbours)
        threshold = self._budget.threshold(stratum)
        found = Finding(None, None, best, stratum, self._measured(stratum), neighbours)
        if threshold is None:
            return found._replace(doubt=Doubt.BUDGET)
        if best.score < max(threshold, least):
            return found._replace(doubt=Doubt.THRESHOLD)
        return found._replace(hit=hit._replace(why=Why.SEMANTIC))

    def _usable(self, candidate: Candidate, others: Sequence[Candidate], fits: Fits) -> Hit | Doubt:
        """The hit that ``candidate`` would be, were it near enough; or why it would be none.

        Args:
            others: further off than it, and nothing speaks against them either.
        """
        floor = self._budget.floor(candidate.entry.key.digest)
        if floor is not None and candidate.score < floor:
            return Doubt.FLOOR
        if self._disagree(candidate, others):
            return Doubt.DISAGREEMENT
        return fits(candidate.entry, candidate.tier) or Doubt.STALE

    def _disagree(self, best: Candidate, others: Sequence[Candidate]) -> bool:
        """Whether one that is as near has another answer."""
        return any(
            best.score - other.score <= _CLOSE
            and self._agreement.of(best.entry, other.entry) is Judgement.DIFFERENT
            for other in others
        )

    async def nearby(self, sought: Sought, fits: Fits, most: int) -> Nearby | Doubt | None:
        """Who is near, and what speaks against each; or why nobody is. Raises nothing unforeseen.

        None where there is no embedder. More are looked at than ``find`` does, each as if it were
        the nearest.
        """
        try:
            async with asyncio.timeout(self._limit_s):
                near_by = await self._near_by(sought, most, most)
        except TimeoutError:
            return Doubt.LATE
        if near_by is None or isinstance(near_by, Doubt):
            return near_by
        candidates, stratum = near_by
        doubts = await asyncio.to_thread(self._doubts, sought, candidates)
        told = []
        for at, (each, doubt) in enumerate(zip(candidates, doubts, strict=True)):
            behind = zip(candidates[at + 1 :], doubts[at + 1 :], strict=True)
            usable = doubt or self._usable(each, [c for c, against in behind if not against], fits)
            told.append(Neighbour(each, usable if isinstance(usable, Doubt) else None))
        estimate = self._budget.estimate(stratum)
        return Nearby(tuple(told), estimate.threshold, self._least, is_open=estimate.open)

    # -- common -------------------------------------------------------------------------------

    async def _fetch(self, key: CacheKey, sought: Sought, score: float) -> Candidate | None:
        """The entry, if it is there and was asked in the same namespace; else it is forgotten."""
        shelved = await self._shelf.get(key)
        entry = shelved.entry
        wording = None if entry is None else entry.wording
        if entry is None or wording is None or wording.namespace != sought.namespace:
            if shelved.sure:
                await self._forget(sought.namespace, key)
            return None
        if entry.negative or key.scope != sought.key.scope:
            return None
        return Candidate(entry, shelved.tier, score, self._read(wording.text))

    async def _forget(self, namespace: bytes, key: CacheKey) -> None:
        if self._dry:
            return
        if self._phrasebook is not None:
            self._phrasebook.forget(key)
        if self._index is not None and self._embedding is not None and self._embedding.ready:
            try:
                async with asyncio.timeout(self._index_s):
                    await self._index.remove(namespace, [key])
            except (TierError, TimeoutError):
                pass  # it is found again, and looked for again

    def _measured(self, stratum: Stratum) -> Measured:
        estimate = self._budget.estimate(stratum)
        return Measured(estimate.error, estimate.high, estimate.labels)


def _is_long(text: Text) -> bool:
    return len(text.tokens) > _LONG
