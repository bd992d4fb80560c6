"""Requests with several inputs: each input is a question of its own, and one reply is made of all.

What is stored is taken from there; the rest boards flights, which the batcher asks for in one call.
Where anything is odd (an answer of another shape, of another model, not for sharing, an error that
may be about one input) the client's own request is passed on as it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

from proxy.batching import LONG_BYTES, Company, Unsplit, is_everybodys
from proxy.degrading import Failure
from proxy.dialects.base import Dialect, Divisible
from proxy.flight import Boarded, Flights, Found, Handed, Released, Seat
from proxy.model.decision import Hit, Miss, Why
from proxy.model.errors import RelayBroken, UpstreamError
from proxy.model.message import Head
from proxy.model.outcome import Fwd, Outcome, Reply, Verdict
from proxy.model.query import Refusal, Usage
from proxy.passing import Passing
from proxy.policy import FAILING, judge, renews
from proxy.question import Question
from proxy.reader import Asked, Reader
from proxy.reply import Replies

_LOOKS: Final = 16  # at a time, into tiers that let one wait

Instead = Callable[[Question, Miss, Failure], Awaitable[Reply | None]]
"""What callers get in place of the backend's failure; None: nothing."""


class _Answer(NamedTuple):
    """What one input came to."""

    head: Head
    body: bytes
    hit: Hit | None = None  # it was stored; None: it was asked for
    stored: bool = False
    detail: str = ""
    joined: bool = False
    usage: Usage | None = None


class _Missed(NamedTuple):
    part: Question
    miss: Miss


class _Failed(Exception):
    """The backend's error, which is the answer to the whole request."""

    def __init__(self, answer: _Answer | UpstreamError, missed: _Missed, seat: Seat) -> None:
        super().__init__()
        self.answer = answer
        self.missed = missed
        self.seat = seat


class _Indivisible(Exception):
    """Something is odd."""


class Dividing:
    """Answers requests with several inputs. Whatever fails, the client gets what the backend says.

    Args:
        dialects: all; those of them that are divisible are known by that.
        failing: the statuses of the backend that are failures.
    """

    def __init__(
        self,
        dialects: Sequence[Dialect],
        reader: Reader,
        flights: Flights,
        replies: Replies,
        passing: Passing,
        *,
        failing: frozenset[int] = FAILING,
    ) -> None:
        self._divisible = {each.name: each for each in dialects if isinstance(each, Divisible)}
        self._reader = reader
        self._flights = flights
        self._replies = replies
        self._passing = passing
        self._failing = failing

    def parts(self, question: Question) -> tuple[Asked, ...]:
        """What ``question`` asks, input by input; none if it has but one."""
        dialect = self._divisible.get(question.query.dialect)
        if dialect is None:
            return ()
        asked = Asked(question.query, question.standing, question.key)
        return self._reader.parts(question.request, asked, dialect, question.upstream.id)

    def shuns(self, whole: Question) -> bool:
        """Whether to ask for single inputs of ``whole``, which has several, is of no use now."""
        batcher, dialect = whole.rooms.batcher, self._divisible[whole.query.dialect]
        return batcher is None or batcher.shuns(whole, dialect)

    async def answer(self, whole: Question, parts: Sequence[Asked], instead: Instead) -> Reply:
        """The reply to ``whole``, whose ``parts`` these are.

        Args:
            instead: what there is in place of the backend's failure.
        """
        whole = whole._replace(variant=0)  # of a part one answer is kept: it has but one
        asked = {
            part.key.digest: whole._replace(query=part.query, standing=part.standing, key=part.key)
            for part in parts
        }
        order = [part.key.digest for part in parts]
        try:
            answers, missed = await self._look(asked)
            if missed and not whole.may_ask:
                return self._absent(whole)
            return await self._complete(whole, order, answers, missed)
        except _Indivisible:
            if not whole.may_ask:
                return self._absent(whole)
            request, upstream, forward = whole.request, whole.upstream, whole.query.forward
            why = Why.INDIVISIBLE
            return await self._passing.on(request, upstream, forward, why, whole.began)
        except _Failed as failed:
            return await self._fail(whole, failed, instead)

    async def _complete(
        self,
        whole: Question,
        order: Sequence[bytes],
        answers: dict[bytes, _Answer],
        missed: Sequence[_Missed],
    ) -> Reply:
        """The reply, once what was ``missed`` has been asked for."""
        dialect, clock = self._divisible[whole.query.dialect], whole.rooms.clock
        asked_at = clock()
        if missed:
            self._may_divide(whole)
            answers |= await self._fetch(missed)
        told = [answers[digest] for digest in order]
        bodies = [answer.body for answer in told]
        if sum(map(len, bodies)) > LONG_BYTES:
            body = await asyncio.to_thread(dialect.join, bodies)
        else:
            body = dialect.join(bodies)
        if body is None:
            raise _Indivisible
        if any(answer.hit is None for answer in told):
            why = missed[0].miss.why
            outcome = self._missed(whole, why, told)._replace(upstream_s=clock() - asked_at)
        else:
            outcome = self._found(whole, told)
        return self._replies.write(told[-1].head, body, outcome, whole.began)

    # -- what is stored ---------------------------------------------------------------------------

    async def _look(
        self, asked: Mapping[bytes, Question]
    ) -> tuple[dict[bytes, _Answer], list[_Missed]]:
        """What is stored of ``asked``, and what is not."""
        hits: dict[bytes, Hit] = {}
        misses: dict[bytes, _Missed] = {}
        ahead: list[Question] = []

        async def look(parts: Iterator[tuple[bytes, Question]]) -> None:
            for digest, part in parts:
                found = await part.rooms.ladder.get(part.key)
                now, controls = part.rooms.clock(), part.query.controls
                match judge(found.entry, found.tier, controls, now):
                    case Hit() as hit:
                        hits[digest] = hit
                        if renews(hit, controls, part.terms, now, part.rooms.dice):
                            ahead.append(part._replace(renews=hit.entry))
                    case Miss() as miss:
                        misses[digest] = _Missed(part, miss)

        parts = iter(asked.items())
        await asyncio.gather(*(look(parts) for _ in range(min(_LOOKS, len(asked)))))
        company = Company(len(ahead))
        for part in ahead:
            company.size -= not self._flights.refresh(part._replace(company=company))
        answers = {digest: _stored(hit) for digest, hit in hits.items()}
        return answers, [misses[digest] for digest in asked if digest in misses]

    def _found(self, whole: Question, told: Sequence[_Answer]) -> Outcome:
        """The outcome where all was stored, be it that the backend failed."""
        hits = [answer.hit for answer in told if answer.hit is not None]
        stale = next((hit for hit in hits if hit.stale), None)
        tiers = {hit.tier for hit in hits}
        return Outcome(
            Verdict.HIT if stale is None else Verdict.STALE,
            Why.FRESH if stale is None else stale.why,
            dialect=whole.query.dialect,
            model=whole.query.model,
            tier=tiers.pop() if len(tiers) == 1 else "",
            key=whole.key,
            fwd=Fwd.STALE if stale is not None and stale.why is Why.SIE else None,
            age_s=_age(whole, told),
            ttl_s=_ttl(whole, told),
            laps=whole.laps,
            usage=_usage(told),
            spared_s=max(hit.entry.upstream_s for hit in hits),  # it would have been one call
            parts=len(told),
        )

    # -- what is not ------------------------------------------------------------------------------

    def _may_divide(self, whole: Question) -> None:
        """Raises _Indivisible where asking for single inputs has just proved to be of no use."""
        if self.shuns(whole):
            raise _Indivisible

    async def _fetch(self, missed: Sequence[_Missed]) -> dict[bytes, _Answer]:
        """The answers to what was missed, by flights that are up or are sent now."""
        company, seats = Company(), list[Seat]()
        if missed[0].miss.why is Why.UNSEEN:  # one stands for all: their headers are the same
            first = missed[0].part
            first.rooms.unheard(first.request, first.query, first.key)
        try:
            for part, miss in missed:
                part.sighted(stored=miss.why is not Why.UNSEEN)
                fresh = part.query.controls.no_cache
                errand = part._replace(company=company)
                seat = self._flights.board(errand, part.suits, fresh=fresh)
                if isinstance(seat, Released):
                    raise _Indivisible
                seats.append(seat)
            # No flight has asked yet: nothing was waited for since the first was sent.
            company.size = sum(seat.first for seat in seats)
            answers = {}
            for each, seat in zip(missed, seats, strict=True):
                answers[each.part.key.digest] = await self._hear(each, seat)
            return answers
        finally:
            for seat in seats:
                seat.leave()

    async def _hear(self, missed: _Missed, seat: Seat) -> _Answer:
        """The answer to one part. Raises _Indivisible, _Failed."""
        part, miss = missed
        try:
            answer = await self._aboard(part, seat)
        except RelayBroken:
            raise _Indivisible from None
        except UpstreamError as error:
            if (stale := _stand_in(part, miss)) is not None:
                return stale
            raise _Failed(error, missed, seat) from None
        if answer.head.status == HTTPStatus.OK:
            return answer
        if not is_everybodys(answer.head):
            raise _Indivisible  # of which input it tells, only the whole request can say
        if answer.head.status in self._failing and (stale := _stand_in(part, miss)) is not None:
            return stale
        raise _Failed(answer, missed, seat)

    async def _aboard(self, part: Question, seat: Seat) -> _Answer:
        match await seat.boarded():
            case Released():
                raise _Indivisible
            case Found(entry):
                verdict = judge(entry, "", part.query.controls, part.rooms.clock())
                if not isinstance(verdict, Hit):
                    raise _Indivisible
                return _stored(verdict)
            case Handed(arrival):
                if isinstance(arrival, Unsplit) or not is_everybodys(arrival.head):
                    raise _Indivisible
                return _Answer(arrival.head, b"".join([piece async for piece in arrival.chunks()]))
            case Boarded(head, form):
                landed = await seat.landing()
                if landed is None:
                    raise _Indivisible
                if head.status == HTTPStatus.OK and landed.entry is None:
                    # Perhaps it was not stored for what it is, perhaps for quite other reasons.
                    sealed = part.dialect.seal(head, landed.body, form or part.asked)
                    if isinstance(sealed, Refusal):
                        raise _Indivisible
                joined = seat.why is Why.JOINED
                head = part.shareable(head) if joined else head
                return _Answer(
                    head, landed.body, stored=landed.stored, detail=landed.detail, joined=joined,
                    usage=None if landed.entry is None else landed.entry.usage,
                )  # fmt: skip

    def _missed(self, whole: Question, why: Why, told: Sequence[_Answer]) -> Outcome:
        """The outcome where something had to be asked for, the first of it for ``why``."""
        asked = [answer for answer in told if answer.hit is None]
        known = len(told) - len(asked)
        joined = all(answer.joined for answer in asked)
        outcome = whole.missed(why, Why.JOINED if joined else Why.UNSEEN, joined=False)
        outcome = outcome._replace(
            stored=all(answer.stored for answer in asked),
            detail=next((answer.detail for answer in asked if answer.detail), ""),
            usage=_usage(told),
            known=_usage(_spared(told)),
            parts=len(told),
        )
        if not known:
            return outcome
        return outcome._replace(
            fwd=Fwd.PARTIAL, age_s=_age(whole, told), detail=f"parts:{known}/{len(told)}"
        )

    def _absent(self, whole: Question) -> Reply:
        return self._replies.absent(whole.failed(Why.ONLY_IF_CACHED), whole.began)

    async def _fail(self, whole: Question, failed: _Failed, instead: Instead) -> Reply:
        why, seat = failed.missed.miss.why, failed.seat
        miss = Miss(why)  # without what is stored of one part: that is no answer to the whole
        if isinstance(failed.answer, UpstreamError):
            failure = Failure(None, failed.answer)
            outcome = whole.failed(Why.UPSTREAM_ERROR)
            return await instead(whole, miss, failure) or self._replies.fail(
                failed.answer, outcome, whole.began
            )
        status = failed.answer.head.status
        if status in self._failing and (reply := await instead(whole, miss, Failure(status))):
            return reply
        outcome = whole.missed(why, seat.why, joined=seat.joined)
        outcome = outcome._replace(stored=False, detail=Why.STATUS)
        head, body = failed.answer.head, failed.answer.body
        return self._replies.write(head, body, outcome, whole.began)


def _stored(hit: Hit) -> _Answer:
    """A stored answer. Raises _Indivisible if it is an error."""
    if hit.entry.head.status != HTTPStatus.OK:
        raise _Indivisible
    return _Answer(hit.entry.head, hit.entry.body, hit, usage=hit.entry.usage)


def _stand_in(part: Question, miss: Miss) -> _Answer | None:
    """A stale answer in place of the upstream's failure, where one may be served."""
    entry = part.fallback(miss)
    return None if entry is None else _stored(Hit(entry, Why.SIE, miss.tier))


def _spared(told: Sequence[_Answer]) -> list[_Answer]:
    """Those that nobody was asked for: they were stored, or are there twice."""
    asked: set[int] = set()
    spared = []
    for answer in told:
        if answer.hit is not None or id(answer) in asked:
            spared.append(answer)
        asked.add(id(answer))
    return spared


def _usage(told: Sequence[_Answer]) -> Usage | None:
    """The tokens of all of them; None of none, or if those of one are not known."""
    usages = [answer.usage for answer in told if answer.usage is not None]
    if not told or len(usages) < len(told):
        return None
    return Usage(
        sum(usage.prompt_tokens for usage in usages),
        sum(usage.completion_tokens for usage in usages),
    )


def _age(whole: Question, told: Sequence[_Answer]) -> float:
    """How old the oldest part is, in seconds."""
    now = whole.rooms.clock()
    return max(answer.hit.entry.age(now) for answer in told if answer.hit is not None)


def _ttl(whole: Question, told: Sequence[_Answer]) -> float:
    """Seconds until the first part is stale."""
    now = whole.rooms.clock()
    return min(answer.hit.entry.ttl_left(now) for answer in told if answer.hit is not None)
