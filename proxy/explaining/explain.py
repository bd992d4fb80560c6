"""The dry run: what would become of a request if it came now, told by those who would decide it.

It goes the way of ``Lifecycle.answer``, step by step, and asks each part what it would do: the
reader, the policy, the key, the tiers, the finder, the board of flights. Nothing is served, stored,
counted, promoted, learned or sent, but that an embedder may be asked for a vector, and Redis for an
entry. What the backend will say is not known; what chance decides is told as such.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import orjson

from proxy.degrading import Degrading, Message, Retrieval, Stale, Standby
from proxy.dialects.base import Dialect
from proxy.dividing import Dividing
from proxy.explaining.draft import Draft
from proxy.explaining.explanation import Explanation, Keyed, Limits, Meant, Part
from proxy.explaining.notes import (
    COMPLAINT,
    DIVIDED,
    SHADOWED,
    UNSTORED,
    chances,
    host,
    of_resources,
    renewal,
    shortened,
)
from proxy.explaining.sentences import who_decides
from proxy.flight import Flights
from proxy.key import KeyRules
from proxy.model.decision import Hit, Miss, Why
from proxy.model.entry import CacheKey
from proxy.model.meaning import Doubt
from proxy.model.message import Head, Headers, Request, Upstream, Upstreams
from proxy.model.outcome import Verdict
from proxy.model.query import Query, Refusal
from proxy.policy import Terms, judge, lifetime
from proxy.question import Question, Rooms
from proxy.reader import Asked, Passed, Reader
from proxy.resources.life import Resources
from proxy.resources.shelf import DIALECT
from proxy.semantic.found import Finding, Nearby, Sought
from proxy.tiers.browsing import Browsing, found_in
from proxy.wire.headers import passed_before

if TYPE_CHECKING:
    from proxy.semantic.meaning import Meaning  # much, for who does without

_LONG: Final = 32 * 2**10  # bytes; to read a longer body may hold the loop
_OK: Final = Head(HTTPStatus.OK, "OK", Headers())


@dataclass(frozen=True, slots=True)
class Parts:
    """What a dry run asks; all of one configuration.

    Args:
        browsing: the tiers, as the ladder of ``rooms`` has them.
        others: what answers requests in no dialect; None: they are passed on.
        request_bytes: a longer body is passed on.
        name: of this proxy, in ``Via``.
    """

    upstreams: Upstreams
    dialects: Sequence[Dialect]
    reader: Reader
    keys: KeyRules
    rooms: Rooms
    flights: Flights
    degrading: Degrading
    browsing: Browsing
    dividing: Dividing | None
    others: Resources | None
    request_bytes: int
    name: str


class Explaining:
    """Explains requests. It changes nothing, and may be asked at any time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        meaning, browsing = parts.rooms.meaning, parts.browsing
        if meaning is not None:
            meaning = replace(meaning, finder=meaning.finder.dry(browsing))
        self._meaning = meaning

    async def explain(self, draft: Draft, neighbours: int = 0) -> Explanation:
        """What would become of ``draft``. Raises nothing of its own.

        Args:
            neighbours: how many of those near in meaning to tell of; 0: none.
        """
        parts, request = self._parts, draft.request
        generation = parts.rooms.ladder.generation
        upstream = parts.upstreams.route(request.path)
        if upstream is None:
            return Explanation(generation, Verdict.ERROR, Why.BAD_REQUEST)
        told = Explanation(generation, Verdict.BYPASS, Why.ROUTE, upstream=upstream.id)
        if passed_before(request.headers, parts.name):
            return replace(told, verdict=Verdict.ERROR, why=Why.LOOP)
        if draft.tunnel:
            return replace(told, why=Why.UPGRADE)
        dialect = next((d for d in parts.dialects if d.matches(request.method, request.path)), None)
        if dialect is None:
            return told if parts.others is None else await self._other(told, request, upstream)
        told = replace(told, dialect=dialect.name)
        if len(draft.body) > parts.request_bytes:
            return replace(told, why=Why.TOO_LARGE)
        understood, asked = await self._read(draft, dialect, upstream)
        if isinstance(understood, Refusal):
            return replace(told, why=understood.why, detail=understood.detail)
        told = self._with_terms(told, request, draft.body, understood, upstream.id)
        if isinstance(asked, Passed):
            return replace(told, why=asked.why)
        question = self._posed(request, upstream, dialect, asked)
        return await self._question(told, question, asked, neighbours)

    async def nearby(self, draft: Draft, most: int) -> tuple[Nearby | Doubt | None, float]:
        """Who is near to what ``draft`` asks, and the least similarity that its caller asks for.

        In place of who is near, why nobody is; None where nothing is looked for by meaning.
        """
        question = await self._as_question(draft)
        if question is None or self._meaning is None:
            return None, 0.0
        nearby = await self._nearby(question, self._meaning, most)
        return nearby, question.query.controls.least_similarity

    async def _read(
        self, draft: Draft, dialect: Dialect, upstream: Upstream
    ) -> tuple[Query | Refusal, Asked | Passed]:
        """What ``draft`` says, before any rule has had its say and after."""
        reader, request, body = self._parts.reader, draft.request, draft.body

        def read() -> tuple[Query | Refusal, Asked | Passed]:
            understood = reader.understand(request, body, dialect)
            return understood, reader.work_out(request, body, dialect, upstream.id, understood)

        return await asyncio.to_thread(read) if len(body) > _LONG else read()

    # -- what it is under -------------------------------------------------------------------------

    def _with_terms(
        self, told: Explanation, request: Request, body: bytes, query: Query, upstream: str
    ) -> Explanation:
        """``told`` with what is known of any request that a dialect understands."""
        policy = self._parts.rooms.policy
        where = (request.path, query.model, query.dialect)
        return replace(
            told,
            dialect=query.dialect,
            query=query,
            controls=query.controls,
            terms=policy.terms(*where),
            rules=policy.matching(*where),
            keyed=self._keyed(request, body, query, upstream),
        )

    def _keyed(self, request: Request, body: bytes, query: Query, upstream: str) -> Keyed:
        keys = self._parts.keys
        parts, scope_fields = keys.parts_of(request, query, upstream), keys.scope_fields(request)
        names = tuple(dict.fromkeys(name for name, _ in parts.fields))
        came = dict.fromkeys(name.lower() for name, _ in request.headers)
        members, all_members = dict.fromkeys(_members(parts.body)), _members(body)
        return Keyed(
            parts,
            scope_fields,
            names,
            tuple(name for name in came if name not in names and name not in scope_fields),
            tuple(members),
            tuple(name for name in all_members if name not in members),
        )

    def _limits(self, told: Explanation, terms: Terms) -> Limits:
        controls = told.controls
        life = lifetime(_OK, controls, terms, 0.0)
        because = who_decides(controls, terms, told.rules, about_now=told.about_now)
        return Limits(life.ttl, because)

    # -- a question -------------------------------------------------------------------------------

    def _posed(
        self, request: Request, upstream: Upstream, dialect: Dialect, asked: Asked
    ) -> Question:
        """The question that ``asked`` is; of several variants, about the first."""
        rooms, drawn = self._parts.rooms, asked.drawn(lambda: 0.0)
        return Question(
            rooms, request, upstream, dialect, *drawn[:3], rooms.ladder.generation, rooms.clock(),
            variant=drawn.variant,
        )  # fmt: skip

    async def _question(
        self, told: Explanation, question: Question, asked: Asked, neighbours: int
    ) -> Explanation:
        usual = told.terms or asked.terms
        told = replace(
            told,
            terms=asked.terms,
            about_now=usual != replace(asked.terms, by_meaning=usual.by_meaning),
            asked_key=asked.key,
            variants=max(1, len(asked.variants)),
            steps=self._steps(question),
            shortened=shortened(question),
        )
        told = replace(told, limits=self._limits(told, asked.terms))
        dividing = self._parts.dividing
        if dividing is not None and (inputs := dividing.parts(question)):
            return await self._divided(told, question, inputs)
        return await self._single(told, question, neighbours)

    async def _single(self, told: Explanation, question: Question, neighbours: int) -> Explanation:
        rooms, controls = self._parts.rooms, question.query.controls
        looks = await self._parts.browsing.look(question.key.digest, question.key)
        notes = [*chances(told.variants), *self._host(question.request)]
        told = replace(told, key=question.key, looks=looks, notes=notes)
        found = found_in(looks)
        now = rooms.clock()
        match judge(found.entry, found.tier, controls, now):
            case Hit() as hit if question.render(hit.entry) is not None:
                return replace(
                    told,
                    verdict=Verdict.STALE if hit.stale else Verdict.HIT,
                    why=hit.why,
                    detail=Why.NEGATIVE if hit.entry.negative else "",
                    tier=hit.tier,
                    notes=[*told.notes, *renewal(hit, question, now)],
                )
            case Hit():
                miss = Miss(Why.FORM)
            case Miss() as miss:
                pass
        meant = None
        if self._meaning is not None:
            meant, finding = await self._meant(question, self._meaning, miss, neighbours)
            told = replace(told, meant=meant)
            if controls.complaint:
                told = replace(told, notes=[*told.notes, COMPLAINT])
            if finding is not None and finding.hit is not None:
                hit = finding.hit
                return replace(
                    told, verdict=Verdict.HIT, why=hit.why, tier=hit.tier, key=hit.entry.key,
                    notes=[*told.notes, SHADOWED],
                )  # fmt: skip
        doubt = "" if meant is None or meant.doubt is None else meant.doubt.value
        return self._missed(replace(told, detail=doubt), question, miss)

    def _missed(self, told: Explanation, question: Question, miss: Miss) -> Explanation:
        if question.query.controls.only_if_cached:
            return replace(told, verdict=Verdict.ERROR, why=Why.ONLY_IF_CACHED, detail="")
        fresh = question.query.controls.no_cache
        seat = self._parts.flights.foretell(question, question.suits, fresh=fresh)
        outcome = question.missed(miss.why, seat.why, joined=seat.joined)
        stale = question.fallback(miss) is not None
        steps = [step for step in told.steps if step != "stale" or stale]
        notes = list(told.notes)
        admission = self._parts.rooms.admission
        if admission is not None and not admission.would_admit(question.key.digest):
            notes.append(UNSTORED)
        return replace(
            told,
            verdict=outcome.verdict,
            why=outcome.why,
            detail=seat.why if seat.why is Why.CROWDED else told.detail,
            flying=seat.why is Why.JOINED,
            steps=steps,
            notes=notes,
        )

    def _steps(self, question: Question) -> Sequence[str]:
        names = {Stale: "stale", Standby: "standby", Retrieval: "retrieval", Message: "message"}
        return [names[type(step)] for step in self._parts.degrading.steps(question)]

    # -- by meaning -------------------------------------------------------------------------------

    async def _meant(
        self, question: Question, meaning: Meaning, miss: Miss, neighbours: int
    ) -> tuple[Meant, Finding | None]:
        sure = question.query.controls
        question = question._replace(  # a complaint is for the real one to make
            query=question.query._replace(controls=replace(sure, complaint=False))
        )
        question = await question.find(meaning, miss)
        finding = question.finding
        if finding is None:
            return Meant(asked=False), None
        if not isinstance(question.sought, Sought) or not sure.by_meaning:
            return Meant(asked=False, doubt=finding.doubt), finding
        nearby = await self._nearby(question, meaning, neighbours) if neighbours else None
        served = None if finding.hit is None else finding.hit.entry.key
        known = nearby if isinstance(nearby, Nearby) else None
        return Meant(asked=True, doubt=finding.doubt, nearby=known, served=served), finding

    async def _nearby(
        self, question: Question, meaning: Meaning, most: int
    ) -> Nearby | Doubt | None:
        sought = question.worded(meaning)
        if not isinstance(sought, Sought):
            return sought
        return await meaning.finder.nearby(sought, question.hit_on, most)

    async def _as_question(self, draft: Draft) -> Question | None:
        """The question that ``draft`` asks; None if it asks none that could be cached."""
        parts, request = self._parts, draft.request
        upstream = parts.upstreams.route(request.path)
        dialect = next((d for d in parts.dialects if d.matches(request.method, request.path)), None)
        if upstream is None or dialect is None or len(draft.body) > parts.request_bytes:
            return None
        _, asked = await self._read(draft, dialect, upstream)
        if isinstance(asked, Passed):
            return None
        return self._posed(request, upstream, dialect, asked)

    # -- several inputs ---------------------------------------------------------------------------

    async def _divided(
        self, told: Explanation, whole: Question, inputs: Sequence[Asked]
    ) -> Explanation:
        """As ``Dividing`` would answer, as far as the backend has no say in it."""
        rooms, controls = self._parts.rooms, whole.query.controls
        unique = {each.key: each for each in inputs}
        known: dict[CacheKey, Part] = {}
        odd = False
        for key, each in unique.items():
            looks = await self._parts.browsing.look(key.digest, key)
            found = found_in(looks)
            judged = judge(found.entry, found.tier, controls, rooms.clock())
            if isinstance(judged, Hit):
                verdict = Verdict.STALE if judged.stale else Verdict.HIT
                odd = odd or judged.entry.head.status != HTTPStatus.OK
                known[key] = Part(key, verdict, judged.why, judged.tier)
                continue
            part = whole._replace(query=each.query, standing=each.standing, key=key, variant=0)
            seat = self._parts.flights.foretell(part, part.suits, fresh=controls.no_cache)
            odd = odd or seat.why is Why.CROWDED
            joined = seat.why is Why.JOINED
            known[key] = Part(key, Verdict.COALESCED if joined else Verdict.MISS, judged.why)
        told = replace(
            told, key=whole.key, parts=[known[each.key] for each in inputs], variants=1,
            notes=[DIVIDED],
        )  # fmt: skip
        missed = [part for part in known.values() if part.verdict in _ASKED]
        if missed and controls.only_if_cached:
            return replace(told, verdict=Verdict.ERROR, why=Why.ONLY_IF_CACHED)
        if odd or (missed and self._shuns(whole)):
            why = Why.ONLY_IF_CACHED if controls.only_if_cached else Why.INDIVISIBLE
            verdict = Verdict.ERROR if controls.only_if_cached else Verdict.BYPASS
            return replace(told, verdict=verdict, why=why)
        if missed:
            verdict = Verdict.MISS
            if all(part.verdict is Verdict.COALESCED for part in missed):
                verdict = Verdict.COALESCED
            return replace(told, verdict=verdict, why=missed[0].why)
        stale = next((part for part in told.parts if part.verdict is Verdict.STALE), None)
        tiers = {part.tier for part in known.values()}
        return replace(
            told,
            verdict=Verdict.HIT if stale is None else Verdict.STALE,
            why=Why.FRESH if stale is None else stale.why,
            tier=tiers.pop() if len(tiers) == 1 else "",
        )

    def _shuns(self, whole: Question) -> bool:
        return self._parts.dividing is not None and self._parts.dividing.shuns(whole)

    def _host(self, request: Request) -> list[str]:
        others, keys = self._parts.others, self._parts.keys
        counts = not keys.is_inert("host") or (others is not None and others.told_hosts)
        return host(request) if counts else []

    # -- resources --------------------------------------------------------------------------------

    async def _other(self, told: Explanation, request: Request, upstream: Upstream) -> Explanation:
        """What is in no dialect, by HTTP's own rules."""
        if self._parts.others is None:
            return told
        seen = await self._parts.others.foresee(request, upstream, self._parts.browsing.get)
        told = replace(told, verdict=seen.verdict, why=seen.why)
        if seen.resource is None or seen.place is None:
            return told
        where = (request.path, "", DIALECT)
        rules = self._parts.rooms.policy.matching(*where)
        keyed = seen.key or seen.resource.key
        looks = await self._parts.browsing.look(keyed.digest, keyed)
        return replace(
            told, dialect=DIALECT, key=seen.key, asked_key=seen.resource.key, rules=rules,
            tier=seen.place.tier if seen.verdict in _SERVED else "", controls=seen.controls,
            terms=seen.terms, looks=looks, notes=[*of_resources(seen), *self._host(request)],
            flying=seen.verdict is Verdict.COALESCED,
        )  # fmt: skip


_ASKED: Final = frozenset({Verdict.MISS, Verdict.COALESCED})
_SERVED: Final = frozenset({Verdict.HIT, Verdict.STALE})


def _members(body: bytes) -> tuple[str, ...]:
    """The members of the object that ``body`` is; none if it is none."""
    try:
        document = orjson.loads(body)
    except ValueError:
        return ()
    return tuple(document) if isinstance(document, dict) else ()
