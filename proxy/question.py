"""A question under way: what is known of one request, and the errand a flight is sent on for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from proxy.dialects.base import Dialect, Relay, Rendered
from proxy.model.decision import HeadVerdict, Hit, Why
from proxy.model.entry import CacheKey, Entry
from proxy.model.message import Arrival, Head, Headers, Outbound, Request, Upstream
from proxy.model.outcome import Fwd, Outcome, Verdict
from proxy.model.query import Form, Query, Refusal
from proxy.policy import Policy, Terms, impersonal, initial_age, judge, lifetime
from proxy.tiers.ladder import Ladder

_FWD: Final = {
    Why.UNSEEN: Fwd.URI_MISS,
    Why.EXPIRED: Fwd.STALE,
    Why.NO_CACHE: Fwd.REQUEST,
    Why.MAX_AGE: Fwd.REQUEST,
    Why.MIN_FRESH: Fwd.REQUEST,
}


@dataclass(frozen=True, slots=True)
class Rooms:
    """What every question needs; one for all.

    Args:
        outbound: the headers to send upstream for a request.
        clock: seconds, monotonic.
        dice: evenly distributed in [0, 1).
    """

    policy: Policy
    ladder: Ladder
    outbound: Callable[[Request], Headers]
    clock: Callable[[], float]
    dice: Callable[[], float]


class Question(NamedTuple):
    """One request that may be answered from the cache. A ``proxy.flight.Errand``."""

    rooms: Rooms
    request: Request
    upstream: Upstream
    dialect: Dialect
    query: Query
    terms: Terms
    key: CacheKey
    generation: int
    began: float  # seconds on the proxy's clock

    @property
    def asked(self) -> Form:
        return self.query.form

    def suits(self, offered: Form) -> bool:
        """Whether an answer in the form ``offered`` can be turned into the one asked for."""
        return self.dialect.relay(offered, self.query.form) is not Relay.NEVER

    def relay(self, offered: Form, asked: Form) -> Relay:
        """How to hear what comes as ``offered`` and was asked for as ``asked``.

        Who asks in the same words gets the same bytes, whether the backend did as it was asked or
        not.
        """
        wanted = self.query.form
        return Relay.VERBATIM if asked == wanted else self.dialect.relay(offered, wanted)

    def render(self, entry: Entry) -> Rendered | None:
        """The stored answer in the form asked for, or None if that would lose something."""
        wanted = self.query.form
        return Rendered(entry.body) if entry.asked == wanted else self.dialect.render(entry, wanted)

    def outbound(self) -> Outbound:
        """The request as it is sent upstream."""
        request = self.request
        headers = self.rooms.outbound(request)
        return Outbound(
            request.method, request.path, request.query_string, headers, self.query.forward
        )

    def shareable(self, head: Head) -> Head:
        """``head`` less what is meant for the one who asked first."""
        return Head(head.status, head.reason, impersonal(head.headers))

    def missed(self, why: Why, seat: Why, *, joined: bool) -> Outcome:
        """The outcome of a miss for ``why``; ``seat`` is how it came by its flight."""
        follower = seat is Why.JOINED
        notable = seat if seat is Why.HIT_FOR_MISS or (follower and joined) else why
        return Outcome(
            Verdict.COALESCED if follower else Verdict.MISS,
            notable,
            dialect=self.query.dialect,
            model=self.query.model,
            key=self.key,
            fwd=_FWD.get(why, Fwd.MISS),
            collapsed=True if follower else None,
        )

    def failed(self, why: Why) -> Outcome:
        """The outcome of an error for ``why``."""
        return Outcome(
            Verdict.ERROR, why, dialect=self.query.dialect, model=self.query.model, key=self.key
        )

    # -- the errand ---------------------------------------------------------------------------

    async def look(self) -> Entry | None:
        found = await self.rooms.ladder.glance(self.key)  # what has landed since is there
        verdict = judge(found.entry, found.tier, self.query.controls, self.rooms.clock())
        if isinstance(verdict, Hit) and verdict.why is Why.FRESH and self.render(verdict.entry):
            return verdict.entry
        return None

    async def ask(self) -> Arrival:
        return await self.upstream.send(self.outbound())

    def weigh(self, arrival: Arrival) -> tuple[HeadVerdict, Form | None]:
        form = self.dialect.arriving(arrival.head, self.query.form)
        return self.rooms.policy.weigh(arrival.head, arrival.length, form, self.terms), form

    def seal(self, head: Head, body: bytes, form: Form, upstream_s: float) -> Entry | Refusal:
        if len(body) > self.terms.max_entry:
            return Refusal(Why.TOO_LARGE)
        sealed = self.dialect.seal(head, body, form)
        if isinstance(sealed, Refusal):
            return sealed
        life = lifetime(head, self.query.controls, self.terms, self.rooms.dice())
        age = initial_age(head.headers)
        if life.ttl <= age:
            return Refusal(Why.EXPIRED)
        return Entry(
            key=self.key,
            dialect=self.query.dialect,
            model=self.query.model,
            head=self.shareable(head),
            form=sealed.form,
            body=sealed.body,
            stored_at=self.rooms.clock(),
            lifetime=life,
            initial_age=age,
            usage=sealed.usage,
            asked=self.query.form,
            upstream_s=upstream_s,
        )

    async def keep(self, entry: Entry) -> bool:
        return await self.rooms.ladder.put(entry, self.generation)
