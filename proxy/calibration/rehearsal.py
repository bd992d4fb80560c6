"""The rehearsal: the life of a question with all parts that serve, but no socket and no backend.

The parts are made by the same code as in the proxy, from settings. A question is a chat of one
message, read by the dialect; it is looked up, sought in other words, and if nothing was found it is
answered by whoever rehearses, stored and learned. Only four things differ. A text is embedded once.
Nothing is late: how fast the parts are is measured by itself, and a machine that is busy must not
decide what is right. Time passes by the question, so that the budget for shadow calls is what it
would be with so many questions a second. And the dice have a seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Final, NamedTuple

import orjson

from proxy.app import spoken
from proxy.app.semantic import Semantic, embedder_of
from proxy.calibration.known import KnownEmbedder
from proxy.calibration.opinions import KnownVerifier, Opinions
from proxy.calibration.repeated import RepeatedIndex
from proxy.config.settings import Settings
from proxy.dialects.base import Dialect
from proxy.key import KeyRules
from proxy.ledger import Ledger
from proxy.model.decision import Hit
from proxy.model.entry import Entry
from proxy.model.errors import ConfigError, UpstreamError
from proxy.model.meaning import Doubt
from proxy.model.message import Arrival, Duplex, Head, Headers, Outbound, Request
from proxy.model.query import Form, Refusal
from proxy.policy import Policy, Terms, judge
from proxy.question import Question, Rooms
from proxy.reader import Passed, Reader
from proxy.semantic.agreement import Agreement
from proxy.semantic.base import EmbedderError
from proxy.semantic.budget.controller import Budget
from proxy.semantic.embedding import Standing
from proxy.semantic.finder import Finder
from proxy.semantic.found import Finding, Sought
from proxy.semantic.meaning import Meaning
from proxy.semantic.verifier import Verifier
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.ladder import Ladder

_SECRET: Final = b"the same each time, so that runs can be compared"
_BYTES: Final = 2**31  # more than any file of questions needs: nothing is evicted
_ENTRY_BYTES: Final = 2**20
_TTL_S: Final = 1e9  # nothing expires
_PATIENT_S: Final = 60.0
_PATH: Final = "/v1/chat/completions"
_JSON: Final = Headers([("content-type", "application/json")])
_PER_SECOND: Final = 1.0
_LOOK_S: Final = 0.01


class Met(NamedTuple):
    """What became of a question."""

    question: Question
    exact: Entry | None  # the stored answer to the very same question
    finding: Finding  # what was found in other words; empty if nobody had to look

    @property
    def served(self) -> Entry | None:
        """The stored answer that it would be answered with."""
        if self.exact is not None:
            return self.exact
        return None if self.finding.hit is None else self.finding.hit.entry


class Rehearsal:
    """All parts, on the running loop: ``start`` it, and ``close`` it in the end.

    Args:
        settings: what ``sidecache serve`` would have; how patient it is does not count.
        seed: of the dice.
        per_second: so many questions come.

    Raises:
        ConfigError: a package is missing, or the settings make no sense.
    """

    def __init__(
        self, settings: Settings, *, seed: int = 0, per_second: float = _PER_SECOND
    ) -> None:
        self.settings = _patient(settings)
        self._now = 0.0  # seconds
        self._each_s = 1 / per_second
        dice = Random(seed).random  # noqa: S311 - nobody is to be kept from guessing
        self._spoken = spoken.dialects(settings)
        keys = KeyRules(_SECRET)
        memory = L1Memory(max_bytes=_BYTES, max_entry_bytes=_ENTRY_BYTES, clock=self._clock)
        self.ladder = Ladder([memory], Ledger(), _no_failure)
        embedder = embedder_of(self.settings.semantic.embedder)
        self._opinions: Opinions = {}
        self.known = None if embedder is None else KnownEmbedder(embedder)
        self.semantic = Semantic(
            self.settings,
            self.ladder,
            directory=None,
            redis=None,
            answer=partial(spoken.answer, self._spoken),
            embedder=self.known,
            clock=self._clock,
            dice=dice,
        )
        self.meaning = self.semantic.meaning(self.settings, keys)  # what seeks, finds and learns
        index = self.semantic.index
        self._repeated = None if index is None else RepeatedIndex(index)
        policy = Policy(Terms(ttl=_TTL_S, jitter=0.0))
        self._rooms = Rooms(
            policy, self.ladder, _unchanged, self._clock, dice, meaning=self.meaning
        )
        self._reader = Reader(keys, policy)

    async def start(self) -> None:
        """Load the model and test it.

        Raises:
            EmbedderError: it cannot be used at all.
        """
        if self.known is not None:
            await self.known.start()
        await self.semantic.start()
        embedding = self.semantic.embedding
        if embedding is None:
            return
        while embedding.standing is Standing.LOADING:  # noqa: ASYNC110 - it tells nobody else
            await asyncio.sleep(_LOOK_S)
        if embedding.standing is Standing.AWAY:
            raise EmbedderError(f"{embedding.name}: it started once, and then no more")

    async def close(self) -> None:
        """Let go of all."""
        await self.semantic.close()

    def question(self, text: str, namespace: str = "") -> Question:
        """The chat that asks ``text``; what is in another ``namespace`` is never found.

        Raises:
            ConfigError: the proxy would pass it on, untouched.
        """
        self._now += self._each_s
        asked = {"model": "m", "messages": [{"role": "user", "content": text}]}
        return self.asking(orjson.dumps(asked), namespace)

    def asking(self, body: bytes, namespace: str = "") -> Question:
        """As ``question``, of a whole body."""
        headers = _JSON.plus(("x-cache-namespace", namespace)) if namespace else _JSON
        request = Request("POST", _PATH, "", headers, _Whole(body))
        (dialect,) = self._spoken_at(request)
        said = self._reader.read(request, body, dialect, _NOWHERE.id)
        if isinstance(said, Passed):
            raise ConfigError(f"a question would not be cached: {said.why}")
        generation = self.ladder.generation
        return Question(
            self._rooms, request, _NOWHERE, dialect, *said[:3], generation, self._clock()
        )

    async def meet(self, question: Question) -> Met:
        """Look for an answer to ``question``, as the life of a request does."""
        found = await self.ladder.get(question.key)
        verdict = judge(found.entry, found.tier, question.query.controls, self._clock())
        if isinstance(verdict, Hit):
            return Met(question, verdict.entry, Finding())
        looked = await question.find(self.meaning, verdict)
        return Met(looked, None, looked.finding or Finding())

    def otherwise(
        self,
        *,
        off: frozenset[Doubt] = frozenset(),
        agreement: Agreement | None = None,
        budget: Budget | None = None,
        least: float | None = None,
    ) -> Meaning:
        """The same parts with a finder that differs in what is given, to look what it would find.

        Args:
            off: vetoes that do not count, besides those of the settings.
            agreement: what tells whether two entries have the same answer.
            budget: what tells how similar a question must be.
            least: the similarity below which nothing is looked at.
        """
        made, semantic = self.semantic, self.settings.semantic
        finder = Finder(
            self.ladder,
            phrasebook=made.phrasebook,
            verifier=self.verifier(off),
            budget=budget or made.budget,
            agreement=agreement or Agreement(partial(spoken.answer, self._spoken)),
            embedding=made.embedding,
            index=self._repeated,
            least=semantic.least_threshold if least is None else least,
            index_s=semantic.index.timeout_s,
            limit_s=2 * _PATIENT_S,
        )
        return replace(self.meaning, finder=finder)

    def verifier(self, off: frozenset[Doubt] = frozenset()) -> Verifier:
        """What speaks against a candidate, by the settings, but for the vetoes in ``off``."""
        vetoes = self.settings.semantic.vetoes
        return KnownVerifier(vetoes.doubts | off, vetoes.words, self._opinions)

    async def land(self, question: Question, answer: str) -> Entry:
        """``answer`` has come from the backend: it is stored and learned before this returns.

        Raises:
            ConfigError: the proxy would not keep it.
        """
        entry = question.seal(_HEAD, _completion(answer), Form(), 0.0)
        if isinstance(entry, Refusal) or not await question.keep(entry):
            raise ConfigError("an answer would not be kept")
        await self.meaning.learner.settled()
        if self._repeated is not None:
            self._repeated.changed()
        return entry

    def shadowed(self, met: Met) -> Question | None:
        """A hit was served; the question to be asked once more in secret, if chance wants it."""
        learner = self.meaning.learner
        question, finding = met.question, met.finding
        if met.exact is not None:
            samples = question.samples
            return question._replace(renews=met.exact, sampled=True) if samples else None
        if finding.hit is None or not isinstance(question.sought, Sought):
            return None
        learner.served(question.sought, finding)
        weight = learner.shadows(question.sought, finding)
        return None if weight is None else question._replace(weight=weight)

    def _clock(self) -> float:
        return self._now

    def _spoken_at(self, request: Request) -> Iterable[Dialect]:
        return (each for each in self._spoken if each.matches(request.method, request.path))


class _Whole:
    """A body that is here."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    async def whole(self, limit: int) -> bytes | None:
        return self._body if len(self._body) <= limit else None

    async def pieces(self) -> AsyncIterator[bytes]:
        yield self._body


class _Nowhere:
    """A backend that is never asked: who rehearses knows the answers."""

    id = "rehearsal"

    async def send(self, outbound: Outbound) -> Arrival:
        raise UpstreamError(f"nobody answers {outbound.path}")

    async def tunnel(self, outbound: Outbound) -> Duplex | Arrival:
        raise UpstreamError(f"nobody answers {outbound.path}")


_NOWHERE: Final = _Nowhere()
_HEAD: Final = Head(200, "OK", _JSON)


def _completion(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return orjson.dumps(
        {"id": "r", "object": "chat.completion", "created": 0, "model": "m", "choices": choices}
    )


def _patient(settings: Settings) -> Settings:
    """``settings`` with nothing late, and nothing kept."""
    semantic = settings.semantic
    embedder = semantic.embedder.model_copy(update={"timeout_s": _PATIENT_S})
    index = semantic.index.model_copy(update={"timeout_s": _PATIENT_S, "kind": "local"})
    changes = {"enabled": True, "embedder": embedder, "index": index}
    return settings.model_copy(update={"semantic": semantic.model_copy(update=changes)})


def _unchanged(request: Request) -> Headers:
    return request.headers


def _no_failure(tier: str, error: Exception) -> None:
    raise AssertionError(f"{tier} cannot fail") from error
