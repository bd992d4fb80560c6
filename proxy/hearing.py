"""Hearing: what a flight brings, as a reply in the form that somebody aboard has asked for."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable
from http import HTTPStatus
from typing import NamedTuple

from proxy.coming import Sieved
from proxy.dialects.base import Relay
from proxy.flight import Boarded, Landed, Seat
from proxy.model.decision import Miss, Why
from proxy.model.message import Head
from proxy.model.outcome import Outcome, Reply
from proxy.model.outlet import Draft, Outlet
from proxy.model.pieces import Coming
from proxy.question import Question
from proxy.reply import Replies, retyped
from proxy.wire.cache_status import timing


class _Manner(NamedTuple):
    """How one passenger hears what comes."""

    head: Head
    how: Relay  # the body


class Hearing:
    """Makes replies of what comes.

    Args:
        failing: statuses in place of which something else may be said.
        clock: seconds, monotonic; that of questions and of flights.
        settle_s: a JSON answer is awaited whole for so long, to tell whether it was stored.
    """

    def __init__(
        self,
        replies: Replies,
        *,
        failing: Container[int],
        clock: Callable[[], float],
        settle_s: float,
    ) -> None:
        self._replies = replies
        self._failing = failing
        self.clock = clock
        self.settle_s = settle_s

    async def heard(
        self, question: Question, boarded: Boarded, seat: Seat, outcome: Outcome
    ) -> Reply | None:
        """What is coming, in the form asked for; None if it will not take that form.

        Raises:
            UpstreamError: it broke off before anything could be told.
        """
        manner, form = _manner(question, boarded, seat), boarded.form
        how = manner.how
        if how is Relay.NEVER:
            return None
        if how is Relay.AT_END or form is None or not form.stream:
            landed = await seat.landing(None if how is Relay.AT_END else self.settle_s)
            if landed is not None:
                return self._whole(question, manner, landed, outcome)
            if how is Relay.AT_END:
                return None
        return self._live(question, manner, boarded, seat, outcome)

    def _live(
        self, question: Question, manner: _Manner, boarded: Boarded, seat: Seat, outcome: Outcome
    ) -> Reply:
        """A reply that is passed on as it comes."""
        pieces, length = seat.pieces(), boarded.length
        if manner.how is Relay.FILTERED:
            sieve = question.dialect.sieve(question.query.form)
            pieces, length = Sieved(pieces, sieve), None
        body = Coming(pieces, seat.leave)
        return self._replies.write(
            manner.head, body, outcome, question.began, length=length, final=seat.outcome
        )

    def _whole(
        self, question: Question, manner: _Manner, landed: Landed, outcome: Outcome
    ) -> Reply | None:
        """A reply that is here to its end, so that it can be told whether it was stored."""
        head, how = manner
        body, entry = landed.body, landed.entry
        if how is Relay.AT_END:
            rendered = None if entry is None else question.render(entry)
            if rendered is None:
                return None
            head, body = retyped(head, rendered.content_type), rendered.body
        return self._replies.write(head, body, _told(landed, outcome), question.began)

    # -- of those who are told before they are woken --------------------------------------------

    def is_for_all(self, question: Question, seat: Seat, boarded: Boarded) -> bool:
        """Whether nothing is to be waited for, or done, for each who has asked so by himself."""
        if boarded.head.status in self._failing:
            return False
        return _manner(question, boarded, seat).how is Relay.VERBATIM

    def beginning(
        self,
        question: Question,
        miss: Miss,
        seat: Seat,
        boarded: Boarded,
        landed: Landed | None,
    ) -> Reply | None:
        """The reply to a follower, where it is for all who have asked alike."""
        manner = _manner(question, boarded, seat)
        outcome = question.missed(miss.why, seat.why, joined=False)
        if landed is not None:
            return self._whole(question, manner, landed, outcome)
        return self._live(question, manner, boarded, seat, outcome)

    def rest(self, begun: Draft, seat: Seat, outcome: Outcome) -> Reply:
        """The reply to one who was told its beginning."""
        reply, landed = begun.reply, seat.landed
        if isinstance(reply.body, bytes):
            told = outcome if landed is None else _told(landed, outcome)
            return reply._replace(outcome=told)
        return reply._replace(
            body=Coming(seat.pieces(), seat.leave), outcome=outcome, final=seat.outcome
        )


class Greeting:
    """What a follower is told of an answer as soon as it begins; a ``proxy.flight.gate.Greeting``.

    Args:
        outlet: of the request that ``question`` was asked with.
    """

    __slots__ = (
        "_hearing",
        "_miss",
        "_outlet",
        "_question",
        "_seat",
        "_since",
        "begun",
        "waited_s",
    )

    def __init__(
        self, hearing: Hearing, question: Question, miss: Miss, seat: Seat, outlet: Outlet
    ) -> None:
        self._hearing = hearing
        self._question = question
        self._miss = miss
        self._seat = seat
        self._outlet = outlet
        self._since = hearing.clock()
        self.begun: Draft | None = None  # what was told
        self.waited_s = 0.0  # for its head

    @property
    def kind(self) -> Hashable:
        # What a key does not tell of a miss, and some field or the form of the reply depends on.
        question, finding = self._question, self._question.finding
        doubt = None if finding is None else finding.doubt
        return self._miss.why, doubt, question.variant, question.query.form

    @property
    def settle_s(self) -> float:
        return self._hearing.settle_s

    def suits(self, boarded: Boarded) -> bool:
        return self._hearing.is_for_all(self._question, self._seat, boarded)

    def draft(self, boarded: Boarded, landed: Landed | None, body: bytes) -> Draft | None:
        reply = self._hearing.beginning(self._question, self._miss, self._seat, boarded, landed)
        return None if reply is None else self._outlet.draft(reply, body)

    def begin(self, draft: Draft) -> bool:
        waited_s = max(0.0, self._seat.head_at - self._since)
        _, said = timing(waited_s, self._hearing.clock() - self._question.began)
        if not self._outlet.begin(draft, said, self._outcome):
            return False
        self.begun, self.waited_s = draft, waited_s
        return True

    def _outcome(self) -> Outcome:
        seat, landed = self._seat, self._seat.landed
        outcome = self._question.missed(
            self._miss.why, seat.why, joined=seat.joined, upstream_s=self.waited_s,
            leader=seat.leader,
        )  # fmt: skip
        whole = self.begun is not None and isinstance(self.begun.reply.body, bytes)
        return _told(landed, outcome) if whole and landed is not None else outcome


def _manner(question: Question, boarded: Boarded, seat: Seat) -> _Manner:
    head, form = boarded.head, boarded.form
    if seat.why is not Why.JOINED:
        return _Manner(head, Relay.VERBATIM)  # to the first, who asked in his own words
    how = Relay.VERBATIM  # of errors to all
    if form is not None and head.status == HTTPStatus.OK:
        how = question.relay(form, seat.asked)
    return _Manner(question.shareable(head), how)


def _told(landed: Landed, outcome: Outcome) -> Outcome:
    """``outcome`` with what became of the answer, and for how long it is fresh."""
    entry = landed.entry
    ttl = entry.lifetime.ttl if entry is not None and landed.stored else None
    return landed.told(outcome, ttl)
