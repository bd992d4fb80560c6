"""The learner: what is put where the finder looks, and how wrong it turns out to be.

Nobody waits for it. What has landed is handed over and worked off in the background, in order; if
more comes than can be done, the oldest is dropped: it is found exactly, but not in other words. It
is worked off a moment later, several at a time: whoever was answered may ask again at once, and
that question does not wait for what is learned of the last one.

How often answers by meaning are wrong is measured, not assumed. When an answer comes from the
backend, and a stored one was near, or was even served, both are compared: that is a label. Few
labels cost a call of their own: hits that are asked again in secret, at random.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.model.decision import Why
from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import TierError
from proxy.model.meaning import Doubt, Script
from proxy.semantic.agreement import Agreement
from proxy.semantic.base import Index, Row, Shelf
from proxy.semantic.budget.comparator import Judgement, compare
from proxy.semantic.budget.controller import Budget, Change
from proxy.semantic.budget.labels import Label, Source, Stratum
from proxy.semantic.budget.shadow import Shadowing
from proxy.semantic.found import Candidate, Finding, Sought
from proxy.semantic.notes import note
from proxy.semantic.words.phrasebook import Phrasebook
from proxy.semantic.words.reading import script_of

if TYPE_CHECKING:
    from proxy.semantic.embedding import Embedding  # numpy, for who has a model

log = logging.getLogger("sidecache.semantic")

_MOST_WAITING: Final = 1000
_MOST_WAITING_BYTES: Final = 32 * 2**20
_TOKEN_BYTES: Final = 100  # of a token of a question, its place and its share of the texts
_MOST_SERVED: Final = 10_000
_EMBED_S: Final = 30.0  # nobody waits for it
_INDEX_S: Final = 5.0
_CERTAIN: Final = frozenset({Why.CANONICAL.value, Why.TYPO.value})  # strata that need no model
_NEARLY: Final = 0.99  # a floor above 1 is for those alone
_EXCERPT: Final = 2000  # characters of an answer that decide what it is about
_AT_ONCE: Final = 16  # placed together; the loop has a millisecond of work with them


class Served(NamedTuple):
    """A hit that somebody may come back to, to say that it was wrong."""

    entry: CacheKey
    namespace: bytes
    score: float
    stratum: Stratum


class _Landed(NamedTuple):
    sought: Sought
    entry: Entry
    finding: Finding | None
    weight: float | None  # of a hit that was asked again in secret; None: nothing was served

    @property
    def size(self) -> int:
        held = () if self.finding is None else self.finding.neighbours
        tokens = len(self.sought.text.tokens) + len(self.sought.plain.tokens)
        return self.entry.size + sum(each.entry.size for each in held) + _TOKEN_BYTES * tokens


class _Sampled(NamedTuple):
    stored: Entry
    renewed: Entry

    @property
    def size(self) -> int:
        return self.stored.size + self.renewed.size


class _Evicted(NamedTuple):
    """An entry that nobody is to find by meaning before it is asked for again."""

    entry: CacheKey
    namespace: bytes
    size: int = 0


class _Unplaced(NamedTuple):
    """A question that is to be placed among its neighbours, until ``expires`` (since 1970)."""

    namespace: bytes
    key: CacheKey
    text: str
    script: Script
    expires: float


_News = _Landed | _Sampled | _Evicted


class Learner:
    """Learns from what has landed; ``start`` it, and ``close`` it in the end.

    Args:
        shelf: where notes are put.
        phrasebook: learns how questions were put; None: not.
        budget: learns from labels.
        shadowing: says which hits are asked again; None: none are.
        agreement: learns which entries have the same answer.
        embedding: turns texts into vectors; None: there is no index.
        index: learns vectors.
        clock: seconds, monotonic.
        wall: seconds since 1970.
        dice: evenly distributed in [0, 1).
        report: told of each change of a threshold.
        patient_s: seconds that embedding in the background may take.
        pause_s: seconds that what has landed waits for more, to be learned together.
        sleep: waits for seconds; for tests.
    """

    def __init__(
        self,
        shelf: Shelf,
        *,
        phrasebook: Phrasebook | None,
        budget: Budget,
        shadowing: Shadowing | None,
        agreement: Agreement,
        embedding: Embedding | None,
        index: Index | None,
        clock: Callable[[], float],
        wall: Callable[[], float],
        dice: Callable[[], float],
        report: Callable[[Stratum, Change], None],
        patient_s: float = _EMBED_S,
        pause_s: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._shelf = shelf
        self._phrasebook = phrasebook
        self._budget = budget
        self._shadowing = shadowing
        self._agreement = agreement
        self._embedding = embedding
        self._index = index
        self._clock = clock
        self._wall = wall
        self._dice = dice
        self._report = report
        self._patient_s = patient_s
        self._pause_s = pause_s
        self._sleep = sleep
        self._waiting: deque[_News] = deque()
        self._waiting_bytes = 0
        self._unplaced: deque[_Unplaced] = deque(maxlen=_MOST_WAITING)
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._worker: asyncio.Task[None] | None = None
        self._served: OrderedDict[bytes, Served] = OrderedDict()
        self._pass_over = 0  # exact hits, before the next that is asked again
        self.labelled: Callable[[Stratum, Label], None] = lambda _stratum, _label: None
        self.dropped = 0  # what came faster than it could be learned
        self.unknown = 0  # pairs of answers that could not be compared

    async def start(self) -> None:
        """Begin to learn."""
        self._worker = asyncio.create_task(self._work())  # noqa: TID251 - close() ends it

    async def close(self) -> None:
        """Stop; what waits to be learned is dropped."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def settled(self) -> None:
        """Return once all that was handed over has been learned."""
        await self._idle.wait()

    # -- what happens -------------------------------------------------------------------------

    def landed(
        self, sought: Sought, entry: Entry, finding: Finding | None, weight: float | None
    ) -> None:
        """An answer has come from the backend and is stored.

        Args:
            sought: its question.
            entry: the answer.
            finding: what a search had found before; None if there was none.
            weight: for how many hits this one stands, if one was served and this is the proof.
        """
        self._hand_over(_Landed(sought, entry, finding, weight))

    def sampled(self, stored: Entry, renewed: Entry) -> None:
        """An answer that was stored was asked for again: backends differ from themselves too."""
        self._hand_over(_Sampled(stored, renewed))

    def served(self, sought: Sought, finding: Finding) -> None:
        """A hit was served. It is called by the first 8 bytes of the key it was served for."""
        best = finding.best
        if best is None or finding.stratum is None:
            return
        name = sought.key.digest[:8]
        served = Served(best.entry.key, sought.namespace, best.score, finding.stratum)
        self._served[name] = served
        self._served.move_to_end(name)
        if len(self._served) > _MOST_SERVED:
            self._served.popitem(last=False)

    def shadows(self, sought: Sought, finding: Finding) -> float | None:
        """Whether a hit is to be asked again in secret: for how many hits it stands, or None."""
        if sought.acts or finding.stratum is None or self._shadowing is None:
            return None
        return self._shadowing.draw(finding.stratum, self._dice(), self._clock())

    def samples(self) -> bool:
        """Whether an exact hit is to be asked again, to see how much the backend varies."""
        self._pass_over -= 1
        if self._pass_over >= 0 or self._shadowing is None:
            return False
        drawn = self._shadowing.draw_exact(0.0, self._clock())  # it is this one's turn
        self._pass_over = self._shadowing.gap(self._dice())
        return drawn

    async def judged(self, name: str, *, wrong: bool) -> bool:
        """Somebody says whether the hit called ``name`` (hexadecimal) was wrong.

        Returns whether that hit is remembered; a wrong one is not any more. Waits for nothing.

        A wrong one is a label, and its entry answers no question as similar as that any more.
        """
        try:
            called = bytes.fromhex(name)
        except ValueError:
            return False
        served = self._served.pop(called, None)  # one word on each is enough
        if served is None:
            return False
        label = Label(served.score, wrong=wrong, weight=1.0, source=Source.FEEDBACK, served=True)
        self._learn_label(served.stratum, label)
        if wrong:
            if self._phrasebook is not None:
                self._phrasebook.forget(served.entry)
            self._note_wrong(served.entry, served.score, served.stratum)
            self._hand_over(_Evicted(served.entry, served.namespace))
        return True

    async def complained(self, key: CacheKey) -> None:
        """The last answer to the question with this key was wrong, its client says."""
        await self.judged(key.digest[:8].hex(), wrong=True)

    def woken(self) -> None:
        """There is a model, as soon as this returns: what came before it can be placed."""
        self._idle.clear()
        self._news.set()

    # -- in the background --------------------------------------------------------------------

    def _hand_over(self, news: _News) -> None:
        self._waiting.append(news)
        self._waiting_bytes += news.size
        while len(self._waiting) > _MOST_WAITING or self._waiting_bytes > _MOST_WAITING_BYTES:
            self._waiting_bytes -= self._waiting.popleft().size
            self.dropped += 1
        self._idle.clear()
        self._news.set()

    async def _work(self) -> None:
        while True:
            await self._news.wait()
            if self._pause_s:
                await self._sleep(self._pause_s)
            while self._waiting:
                await self._heed_some()
            if self._embedding is not None and self._embedding.ready:
                while self._unplaced:
                    await self._guarded(self._place([self._unplaced.popleft()]))
            if self._waiting:
                continue  # it came while others were placed
            self._news.clear()
            self._idle.set()

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:  # at a task's root; the next has nothing to do with it
            log.exception("an answer could not be learned")

    async def _heed_some(self) -> None:
        """Heed the first of what waits: those that can be found from now on, then the labels."""
        some: list[_News] = []
        while self._waiting and len(some) < _AT_ONCE:
            some.append(self._waiting.popleft())
            self._waiting_bytes -= some[-1].size
        new: list[_Unplaced] = []
        for news in some:
            if isinstance(news, _Landed):
                new.append(self._unplaced_of(news))
                await self._guarded(self._remember(news))
            elif isinstance(news, _Evicted):  # it may have landed just before
                await self._guarded(self._place(new))
                new = []
                await self._guarded(self._evict(news))
        await self._guarded(self._place(new))
        for news in some:
            if isinstance(news, _Landed):
                await self._guarded(self._label(news))
            elif isinstance(news, _Sampled):
                await self._guarded(self._compare_with_itself(news))

    def _unplaced_of(self, news: _Landed) -> _Unplaced:
        sought, entry = news.sought, news.entry
        left_s = entry.lifetime.keep - entry.age(self._clock())
        raw, script = sought.text.raw, sought.text.script
        return _Unplaced(sought.namespace, sought.key, raw, script, self._wall() + left_s)

    async def _remember(self, news: _Landed) -> None:
        """Let the question be found where no model is needed."""
        sought, entry = news.sought, news.entry
        if sought.alias is not None:
            await self._shelf.put(note(sought.alias, entry))
        if self._phrasebook is not None:
            self._phrasebook.learn(sought.namespace, sought.plain, entry.key)

    async def _label(self, news: _Landed) -> None:
        """Compare the answer with those that were near, or were served in its place."""
        _, entry, finding, weight = news
        if finding is None:
            return
        judgements = [await self._compare(each, entry) for each in finding.neighbours]
        best = finding.best
        if best is None or finding.stratum is None:
            return
        known = [j for each, j in zip(finding.neighbours, judgements, strict=True) if each is best]
        judgement = known[0] if known else await self._compare(best, entry)
        if judgement is Judgement.UNKNOWN:
            self.unknown += 1
            return
        wrong, served = judgement is Judgement.DIFFERENT, weight is not None
        source = Source.SHADOW if served else Source.MISS
        label = Label(best.score, wrong=wrong, weight=weight or 1.0, source=source, served=served)
        self._learn_label(finding.stratum, label)
        if wrong:
            self._note_wrong(best.entry.key, best.score, finding.stratum)

    def _note_wrong(self, key: CacheKey, score: float, stratum: Stratum) -> None:
        """Let the entry answer nothing so near any more; what needs no model is another matter."""
        certain = stratum.fingerprint in _CERTAIN
        self._budget.wrong(key.digest, score if certain else min(score, _NEARLY))

    def _learn_label(self, stratum: Stratum, label: Label) -> None:
        self.labelled(stratum, label)
        change = self._budget.learn(stratum, label, self._wall())
        if change is not None:
            self._report(stratum, change)

    async def _place(self, new: Sequence[_Unplaced]) -> None:
        """Put the questions where their neighbours are looked for."""
        if self._embedding is None or self._index is None:
            return
        if not self._embedding.ready:
            self._unplaced.extend(new)
            return
        rows: list[Row] = []
        for each in new:  # not all at once: a question that is asked now would wait behind them
            deadline_s = self._patient_s
            vector = await self._embedding.vector(each.text, each.script, deadline_s=deadline_s)
            if not isinstance(vector, Doubt):
                rows.append(Row(each.namespace, each.key, vector, each.expires))
        if rows:
            with suppress(TierError, TimeoutError):
                async with asyncio.timeout(_INDEX_S):
                    await self._index.add(rows)

    async def _compare(self, candidate: Candidate, entry: Entry) -> Judgement:
        """Whether a stored answer and a new one say the same."""
        judgement = await self._judge(candidate.entry, entry)
        self._agreement.learn(candidate.entry, entry, judgement)
        return judgement

    async def _judge(self, a: Entry, b: Entry) -> Judgement:
        if a.body == b.body:
            return Judgement.SAME
        # To read 20,000 characters and compare them takes 60 ms and more.
        texts = await asyncio.to_thread(self._agreement.texts, a, b)
        if texts is None:
            return Judgement.UNKNOWN
        judgement = await asyncio.to_thread(compare, *texts, None)
        if judgement is not Judgement.UNKNOWN or self._embedding is None:
            return judgement
        excerpts = [text[:_EXCERPT] for text in texts]
        script = script_of(excerpts[1])
        vectors = await self._embedding.vectors(excerpts, script, deadline_s=self._patient_s)
        if isinstance(vectors, Doubt):
            return Judgement.UNKNOWN
        return await asyncio.to_thread(compare, *texts, float(vectors[0] @ vectors[1]))

    async def _compare_with_itself(self, news: _Sampled) -> None:
        judgement = await self._judge(news.stored, news.renewed)
        if judgement is not Judgement.UNKNOWN:
            self._budget.noise(different=judgement is Judgement.DIFFERENT)

    async def _evict(self, news: _Evicted) -> None:
        if self._index is not None:
            with suppress(TierError, TimeoutError):
                async with asyncio.timeout(_INDEX_S):
                    await self._index.remove(news.namespace, [news.entry])
