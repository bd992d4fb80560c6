"""The life of a request: Request -> Query -> CacheKey -> Decision -> Reply, in one straight line.

``answer`` is the whole of it; what follows are its paragraphs. What may be served or kept is
decided elsewhere and purely (``key``, ``policy``, the dialects); here the tiers, flights and
upstreams are waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from proxy.again import Again
from proxy.coming import paced
from proxy.degrading import Degrading, Failure, Message, Retrieval, Stale, Standby
from proxy.dialects.base import Dialect
from proxy.dividing import Dividing
from proxy.flight import Boarded, Flights, Found, Handed, Released, Seat
from proxy.hearing import Greeting, Hearing
from proxy.model.decision import Hit, Miss, Why
from proxy.model.errors import RelayBroken, UpstreamError
from proxy.model.message import Arrival, Head, Request, Upstreams
from proxy.model.outcome import Fwd, Laps, Outcome, Reply, Verdict
from proxy.model.outlet import Outlet
from proxy.model.pieces import Coming
from proxy.passing import Passing
from proxy.policy import judge
from proxy.question import Question, Rooms
from proxy.reader import Passed, Reader
from proxy.reply import Replies, retyped
from proxy.resources.life import Resources
from proxy.semantic.found import Sought
from proxy.wire.headers import passed_before

if TYPE_CHECKING:
    from proxy.semantic.meaning import Meaning


_HIT, _STALE, _SIE = Verdict.HIT, Verdict.STALE, Why.SIE  # members are slow to get at


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one request may cost, in bytes and seconds."""

    request_bytes: int = 4 * 2**20  # a longer body is passed on, uncached
    settle: float = 0.25  # a JSON answer is awaited whole for so long, to tell if it was stored
    replay_pause: float = 0.0  # between the events of a replayed stream


class Lifecycle:
    """Answers requests. Whatever fails, the client gets what the backend says."""

    def __init__(
        self,
        *,
        upstreams: Upstreams,
        dialects: Sequence[Dialect],
        reader: Reader,
        flights: Flights,
        rooms: Rooms,
        replies: Replies,
        passing: Passing,
        degrading: Degrading,
        others: Passing | Resources,
        bounds: Bounds,
        dividing: Dividing | None = None,
    ) -> None:
        self._upstreams = upstreams
        self._dialects = tuple(dialects)
        self._reader = reader
        self._flights = flights
        self._rooms = rooms
        self._replies = replies
        self._passing = passing
        self._degrading = degrading
        self._others = others  # answers what is in no dialect
        self._bounds = bounds
        self._hearing = Hearing(
            replies, failing=degrading.failing, clock=rooms.clock, settle_s=bounds.settle
        )
        self._dividing = dividing

    async def answer(self, request: Request) -> Reply:
        """The reply to ``request``; what goes wrong upstream is a reply too.

        Raises:
            RequestError: the client's body broke off, came too slowly, or made no sense.
        """
        began = self._rooms.clock()
        upstream = self._upstreams.route(request.path)
        if upstream is None or passed_before(request.headers, self._replies.name):
            return self._passing.astray(upstream, began)
        dialect = self._dialect_of(request)
        if dialect is None:
            return await self._others.answer(request, upstream, began)
        laps = Laps(began)
        body = await request.body.whole(self._bounds.request_bytes)
        laps.came = self._rooms.clock()
        if body is None:
            return await self._passing.on(request, upstream, request.body, Why.TOO_LARGE, began)
        asked = self._reader.read(request, body, dialect, upstream.id)
        if isinstance(asked, Passed):
            return await self._passing.on(request, upstream, asked.body, asked.why, began)

        asked = asked.drawn(self._rooms.dice)
        generation = self._rooms.ladder.generation  # before the look: a purge from here on counts
        question = Question(
            self._rooms, request, upstream, dialect, asked.query, asked.standing, asked.key,
            generation, began, variant=asked.variant, laps=laps, landed=self._rooms.ladder.landed,
        )  # fmt: skip
        laps.read = self._rooms.clock()
        if self._dividing is not None and (parts := self._dividing.parts(question)):
            return await self._dividing.answer(question, parts, self._instead)
        found = self._rooms.ladder.at_hand(asked.key) or await self._rooms.ladder.get(asked.key)
        now, controls = self._rooms.clock(), asked.query.controls
        laps.looked = now
        match judge(found.entry, found.tier, controls, now):
            case Hit() as hit:
                once_more = question.once_more(hit, now)
                renewing = once_more is not None and not once_more.sampled
                if (reply := self.replay(question, hit, renewing=renewing)) is not None:
                    if once_more is not None:
                        self.refresh(once_more)
                    return reply
                miss = Miss(Why.FORM)
            case Miss() as miss:
                pass
        if (meaning := self._rooms.meaning) is not None:
            question = await question.find(meaning, miss)
            laps.sought = self._rooms.clock()
            if (reply := self._replay_other(question, meaning)) is not None:
                return reply
        return await self._fly(question, miss)

    def ignores(self, name: str) -> bool:
        """Whether no stored answer depends on the header field ``name`` (lower case)."""
        return not self._reader.counts(name)

    def _dialect_of(self, request: Request) -> Dialect | None:
        for dialect in self._dialects:
            if dialect.matches(request.method, request.path):
                return dialect
        return None

    # -- from the cache -----------------------------------------------------------------------

    def replay(
        self, question: Question, hit: Hit, failed: int | None = None, *, renewing: bool = False
    ) -> Reply | None:
        """The stored answer in the form asked for, or None if it cannot take that form.

        Args:
            failed: the upstream's status that made a stale answer the better one.
            renewing: it is fetched anew meanwhile.
        """
        entry = hit.entry
        rendered = question.render(entry)
        if rendered is None:
            return None
        age = entry.age(self._rooms.clock())
        outcome = Outcome(
            _STALE if hit.stale else _HIT,
            hit.why,
            dialect=entry.dialect,
            model=entry.model,
            tier=hit.tier,
            key=entry.key,
            fwd=None if hit.why is not _SIE else Fwd.STALE,
            fwd_status=failed,
            age_s=age,
            ttl_s=entry.lifetime.ttl - age,
            variant=question.variant,
            detail=_remark(hit, renewing=renewing),
            laps=question.laps,
            usage=entry.usage,
            spared_s=entry.upstream_s,
            controls=question.query.controls,
            about_now=question.terms.about_now,
        )
        if entry.key != question.key:
            outcome = question.credited(outcome)
        head, body = retyped(entry.head, rendered.content_type), rendered.body
        if self._bounds.replay_pause and question.query.form.stream:
            events = paced(body, head.media_type, self._bounds.replay_pause)
            return self._replies.write(head, events, outcome, question.began, length=len(body))
        again = Again(question, hit, self) if self._repeats(question, hit) else None
        return self._replies.write(head, body, outcome, question.began, again=again)

    def _repeats(self, question: Question, hit: Hit) -> bool:
        """Whether the very same request may be answered alike, for as long as ``hit`` is there."""
        at_hand = hit.tier and hit.tier == self._rooms.ladder.nearest
        return bool(at_hand and hit.why is Why.FRESH and not question.variant) and (
            hit.entry.key == question.key
        )

    def refresh(self, question: Question) -> None:
        """Have the backend asked ``question``; nobody waits for it."""
        self._flights.refresh(question)

    def edition(self) -> int:
        """Another whenever a question may have to be read anew."""
        return self._reader.edition()

    def _replay_other(self, question: Question, meaning: Meaning) -> Reply | None:
        """The answer to the question in other words, if one was found and can take the form."""
        sought, finding = question.sought, question.finding
        if finding is None or finding.hit is None or not isinstance(sought, Sought):
            return None
        reply = self.replay(question, finding.hit)
        if reply is None:
            return None
        meaning.learner.served(sought, finding)
        weight = meaning.learner.shadows(sought, finding) if question.may_ask else None
        if weight is not None:
            self._flights.refresh(question._replace(weight=weight))
        return reply

    # -- in place of the upstream's failure -----------------------------------------------------

    async def _instead(self, question: Question, miss: Miss, failure: Failure) -> Reply | None:
        """What the first of the configured steps brings that has something to say."""
        for step in self._degrading.steps(question):
            match step:
                case Stale():
                    reply = self._stand_in(question, miss, failure.status)
                case Standby():
                    reply = await self._ask_another(step.question(question), miss)
                case Retrieval():
                    reply = await self._degrading.retrieval(step, question, failure)
                case Message():
                    reply = self._degrading.message(step, question, failure)
            if reply is not None:
                return reply
        return None

    async def _instead_of(self, head: Head, question: Question, miss: Miss) -> Reply | None:
        """What there is in place of a response with ``head``, if that is a failure."""
        if head.status not in self._degrading.failing:
            return None
        return await self._instead(question, miss, Failure(head.status))

    def _stand_in(self, question: Question, miss: Miss, failed: int | None) -> Reply | None:
        """A stale answer, where one may be served."""
        if (entry := question.fallback(miss)) is None:
            return None
        return self.replay(question, Hit(entry, Why.SIE, miss.tier), failed)

    async def _ask_another(self, question: Question, miss: Miss) -> Reply | None:
        """The answer of the backend that ``question`` is for now, unless that fails, too."""
        try:
            reply = await self._flown(question, miss)
        except UpstreamError:
            return None
        # What it refuses is no answer: it may know neither the caller nor the model.
        status = reply.head.status
        if status < HTTPStatus.BAD_REQUEST and status not in self._degrading.failing:
            return reply
        if isinstance(reply.body, Coming):
            await reply.body.aclose()
        return None

    async def _despite(self, error: UpstreamError, question: Question, miss: Miss) -> Reply:
        """The reply when the upstream has none: what there is instead, else why."""
        return await self._instead(question, miss, Failure(None, error)) or self._replies.fail(
            error, question.failed(Why.UPSTREAM_ERROR), question.began
        )

    # -- by a flight --------------------------------------------------------------------------

    async def _fly(self, question: Question, miss: Miss) -> Reply:
        """The answer of the flight for this key: the one that is up, or one sent now."""
        if question.query.controls.only_if_cached:
            outcome = question.failed(Why.ONLY_IF_CACHED)
            return self._replies.absent(outcome, question.began)
        question.sighted(stored=miss.why is not Why.UNSEEN)
        try:
            return await self._flown(question, miss, question.request.outlet)
        except UpstreamError as error:
            return await self._despite(error, question, miss)

    async def _flown(self, question: Question, miss: Miss, outlet: Outlet | None = None) -> Reply:
        """As ``_fly``; at ``outlet`` the reply may be begun meanwhile. Raises UpstreamError."""
        fresh = question.query.controls.no_cache
        seat = self._flights.board(question, question.suits, fresh=fresh)
        if isinstance(seat, Released):
            self._meanwhile(question, miss)
            return await self._ask_alone(question, miss, seat.why)
        reply: Reply | None = None
        try:
            reply, why = await self._aboard(question, miss, seat, outlet)
        except RelayBroken:  # nothing has been sent to this client yet
            why = Why.GIVE_UP
        finally:
            if reply is None or not isinstance(reply.body, Coming):
                seat.leave()  # else whoever reads the body leaves at its end
        return reply or await self._ask_alone(question, miss, why)

    def _meanwhile(self, question: Question, miss: Miss) -> None:
        """What can be done while the backend is asked, so that nobody waits for it."""
        if miss.why is Why.UNSEEN and not question.standby:
            self._rooms.unheard(question.request, question.query, question.key)
        question.standing.settle()

    async def _aboard(
        self, question: Question, miss: Miss, seat: Seat, outlet: Outlet | None
    ) -> tuple[Reply | None, Why]:
        """What the flight brings, or None and why one has to ask for oneself."""
        asked = self._rooms.clock()
        greeting = None
        if outlet is not None and not seat.first:
            greeting = Greeting(self._hearing, question, miss, seat, outlet)
        if seat.first:
            await asyncio.sleep(0)  # the flight's turn: from here on the backend is being asked
        self._meanwhile(question, miss)
        boarding = await seat.boarded(greeting)
        waited_s = self._rooms.clock() - asked
        match boarding:
            case Released(why):
                return None, why
            case Found(entry):  # it landed between our look and the flight's own
                verdict = judge(entry, "", question.query.controls, self._rooms.clock())
                reply = self.replay(question, verdict) if isinstance(verdict, Hit) else None
                return reply, Why.FORM
            case Handed(arrival, why):
                if (reply := await self._instead_of(arrival.head, question, miss)) is not None:
                    seat.leave()
                    return reply, why
                outcome = question.missed(miss.why, seat.why, joined=False)
                outcome = outcome._replace(stored=False, detail=why, upstream_s=waited_s)
                body = Coming(arrival.chunks(), seat.leave)
                return self._relay(question, arrival, body, outcome), why
            case Boarded(head):
                begun = None if greeting is None else greeting.begun
                if greeting is not None and begun is not None:
                    waited_s = greeting.waited_s
                outcome = question.missed(
                    miss.why, seat.why, joined=seat.joined, upstream_s=waited_s, leader=seat.leader
                )
                if begun is not None:
                    return self._hearing.rest(begun, seat, outcome), Why.GIVE_UP
                if (reply := await self._instead_of(head, question, miss)) is not None:
                    seat.leave()  # what is heard now does not come by this flight
                    return reply, Why.GIVE_UP
                heard = await self._hearing.heard(question, boarding, seat, outcome)
                return heard, Why.GIVE_UP

    # -- past the cache -----------------------------------------------------------------------

    async def _ask_alone(self, question: Question, miss: Miss, why: Why) -> Reply:
        """An answer for this caller only: not shared, not stored."""
        outcome = question.missed(miss.why, why, joined=False)
        outcome = outcome._replace(stored=False, collapsed=False, detail=why)
        arrival = await question.ask()
        try:
            if (reply := await self._instead_of(arrival.head, question, miss)) is not None:
                arrival.close()
                return reply
        except BaseException:  # the client hung up
            arrival.close()
            raise
        return self._relay(question, arrival, Coming(arrival.chunks(), arrival.close), outcome)

    def _relay(
        self, question: Question, arrival: Arrival, body: AsyncIterator[bytes], outcome: Outcome
    ) -> Reply:
        return self._replies.write(
            arrival.head, body, outcome, question.began, length=arrival.length
        )


def _remark(hit: Hit, *, renewing: bool) -> str:
    """What else there is to say of a hit."""
    if hit.entry.negative:
        return Why.NEGATIVE
    return Why.REFRESH_AHEAD if renewing and hit.why is Why.FRESH else ""
