"""The life of a request for a resource: what ``proxy.lifecycle`` is for questions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from http import HTTPStatus
from typing import Final

from proxy.flight import Boarded, Flights, Found, Handed, Released, Seat
from proxy.key import KeyRules
from proxy.model.decision import Hit, Miss, Why
from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import UpstreamError
from proxy.model.message import Arrival, Headers, Request, Upstream, Upstreams
from proxy.model.outcome import Fwd, Outcome, Reply, Verdict
from proxy.model.pieces import Coming
from proxy.model.query import Controls
from proxy.passing import Passing
from proxy.policy import Policy, Terms
from proxy.reply import Replies
from proxy.resources.fetch import FAILING, Fetch, Rooms
from proxy.resources.foreseen import Foreseen
from proxy.resources.reuse import reuse
from proxy.resources.shelf import DIALECT, Look, Place, Resource
from proxy.resources.showing import shown, unmodified
from proxy.rfc9111.invalidation import invalidated
from proxy.rfc9111.validators import is_unmodified, must_be_asked
from proxy.wire.cache_control import controls_from_headers
from proxy.wire.headers import OVERRIDES

_CACHED: Final = frozenset({"GET", "HEAD"})
_FWD: Final = {
    Why.UNSEEN: Fwd.URI_MISS,
    Why.VARY_MISS: Fwd.VARY_MISS,
    Why.EXPIRED: Fwd.STALE,
    Why.NO_CACHE: Fwd.REQUEST,
    Why.MAX_AGE: Fwd.REQUEST,
    Why.MIN_FRESH: Fwd.REQUEST,
}


class Resources:
    """Answers what is in no dialect: GET and HEAD by RFC 9111, the rest past the cache.

    Args:
        told_hosts: whether a backend is told the client's Host, and may answer by it.
        controls: what the fields of a request ask of the cache.
    """

    def __init__(
        self,
        *,
        rooms: Rooms,
        keys: KeyRules,
        upstreams: Upstreams,
        policy: Policy,
        flights: Flights,
        replies: Replies,
        passing: Passing,
        told_hosts: bool,
        controls: Callable[[Headers], Controls] = controls_from_headers,
    ) -> None:
        self._rooms = rooms
        self._keys = keys
        self._upstreams = upstreams
        self._policy = policy
        self._flights = flights
        self._replies = replies
        self._passing = passing
        self.told_hosts = told_hosts
        self._controls = controls

    async def answer(self, request: Request, upstream: Upstream, began: float) -> Reply:
        """The reply to ``request``. Raises RequestError."""
        asked = self._asked(request)
        if asked is Why.ROUTE:
            return await self._pass(request, upstream, began)
        if isinstance(asked, Why):
            return await self._passing.on(request, upstream, b"", asked, began)

        controls, terms = asked
        rooms = self._rooms
        generation = rooms.shelf.generation  # before the look: a purge from here on counts
        resource = self._resource(request, upstream.id, controls.namespace)
        place = await rooms.shelf.find(resource)
        judged = self._judge(place, controls)
        if isinstance(judged, Hit) and judged.why is not Why.SWR:
            return self._show(request, judged, began)
        fetch = Fetch(
            rooms, resource, upstream, controls, terms, self._flight_key(resource, place),
            generation, place.note, place.entry,
        )  # fmt: skip
        if isinstance(judged, Hit):
            if not controls.only_if_cached:
                fetch.resource = resource._replace(request=request._replace(method="GET"))
                fetch.awaited = False
                self._flights.refresh(fetch)
            return self._show(request, judged, began)
        fetch.fallback = judged.fallback
        if controls.only_if_cached:
            return self._not_cached(began)
        if request.method == "HEAD":
            return await self._ask_head(fetch, judged, began)
        return await self._fly(fetch, judged, began)

    async def foresee(self, request: Request, upstream: Upstream, look: Look) -> Foreseen:
        """What ``answer`` would come to now, as far as the backend has no say in it.

        Args:
            look: how to look into the tiers, so that nothing changes by it.
        """
        asked = self._asked(request)
        if isinstance(asked, Why):
            return Foreseen(Verdict.BYPASS, asked)
        controls, terms = asked
        shelf = self._rooms.shelf
        resource = self._resource(request, upstream.id, controls.namespace)
        place = await shelf.find(resource, look)
        judged = self._judge(place, controls)
        seen = Foreseen(Verdict.MISS, judged.why, resource, place, controls, terms)
        if isinstance(judged, Hit):
            return seen._replace(
                verdict=Verdict.STALE if judged.stale else Verdict.HIT, key=judged.entry.key
            )
        if controls.only_if_cached:
            return seen._replace(verdict=Verdict.ERROR, why=Why.ONLY_IF_CACHED)
        fetch = Fetch(
            self._rooms, resource, upstream, controls, terms, self._flight_key(resource, place),
            shelf.generation, place.note, place.entry,
        )  # fmt: skip
        seen = seen._replace(key=fetch.key, asks_about=fetch.asks_about is not None)
        if request.method == "HEAD":
            return seen
        seat = self._flights.foretell(fetch, lambda _: True, fresh=controls.no_cache)
        outcome = self._missed(fetch, judged, seat.why)
        return seen._replace(verdict=outcome.verdict, why=outcome.why)

    def _asked(self, request: Request) -> tuple[Controls, Terms] | Why:
        """What is asked of the cache and under which terms, or why it is passed on."""
        headers = request.headers
        if request.method not in _CACHED or request.body.length != 0:
            return Why.ROUTE
        if must_be_asked(headers) or not OVERRIDES.isdisjoint(headers.index()):
            return Why.UNCACHEABLE
        controls = self._controls(headers)
        terms = self._policy.terms(request.path, "", DIALECT)
        if controls.no_store:
            return Why.NO_STORE
        return (controls, terms) if terms.enabled else Why.DISABLED

    def _resource(self, request: Request, upstream: str, namespace: str) -> Resource:
        host = request.headers.get("host").lower() if self.told_hosts else ""
        key = self._keys.resource_of(request, upstream, namespace, host)
        scope = self._keys.scope_of(request)
        apart = scope != "shared"
        authorised = scope != "anon" if apart else self._keys.is_authorised(request)
        return Resource(request, key, scope, authorised, apart)

    def _flight_key(self, resource: Resource, place: Place) -> CacheKey:
        """By what requests are told apart that may wait for one another."""
        shelf = self._rooms.shelf
        if place.note is None and place.entry is None:  # nobody knows what will matter
            return shelf.likeness_of(resource)
        return shelf.key_of(resource, place.note)

    def _judge(self, place: Place, controls: Controls) -> Hit | Miss:
        if place.entry is None:
            return Miss(Why.VARY_MISS if place.seen else Why.UNSEEN)
        return self._reuse(place.entry, place.tier, controls)

    def _reuse(self, entry: Entry, tier: str, controls: Controls) -> Hit | Miss:
        return reuse(entry, tier, controls, self._rooms.clock(), self._rooms.rules.surrogate)

    # -- from the cache -----------------------------------------------------------------------

    def _show(
        self, request: Request, hit: Hit, began: float, *, fwd: Fwd | None = None,
        status: int | None = None, stored: bool | None = None, upstream_s: float | None = None,
    ) -> Reply:  # fmt: skip
        """The stored response; ``fwd`` and ``status`` if the backend was asked about it."""
        entry = hit.entry
        age = entry.age(self._rooms.clock())
        outcome = Outcome(
            Verdict.STALE if hit.stale else Verdict.HIT,
            hit.why,
            dialect=DIALECT,
            tier=hit.tier,
            key=entry.key,
            fwd=fwd,
            fwd_status=status,
            age_s=age,
            ttl_s=entry.lifetime.ttl - age,
            stored=stored,
            upstream_s=upstream_s,
        )
        head, body = shown(entry, request)
        return self._replies.write(head, body, outcome, began)

    def _stand_in(self, fetch: Fetch, began: float, status: int | None) -> Reply | None:
        """A stale response in place of the backend's failure, where one may be served."""
        entry = fetch.fallback and self._rooms.shelf.unpurged(fetch.fallback)
        if entry is None:
            return None
        judged = self._reuse(entry, "", fetch.controls)
        if not isinstance(judged, Miss) or judged.fallback is None:
            return None
        return self._show(
            fetch.resource.request, Hit(entry, Why.SIE, ""), began, fwd=Fwd.STALE, status=status
        )

    def _despite(self, error: UpstreamError, fetch: Fetch, began: float) -> Reply:
        failed = Outcome(Verdict.ERROR, Why.UPSTREAM_ERROR, dialect=DIALECT, key=fetch.key)
        return self._stand_in(fetch, began, None) or self._replies.fail(error, failed, began)

    # -- by a flight --------------------------------------------------------------------------

    async def _fly(self, fetch: Fetch, miss: Miss, began: float) -> Reply:
        seat = self._flights.board(fetch, lambda _: True, fresh=fetch.controls.no_cache)
        if isinstance(seat, Released):
            return await self._ask_alone(fetch, miss, seat.why, began)
        reply: Reply | Why = Why.GIVE_UP
        try:
            reply = await self._aboard(fetch, miss, seat, began)
        except UpstreamError as error:
            return self._despite(error, fetch, began)
        finally:
            if not isinstance(reply, Reply) or not isinstance(reply.body, Coming):
                seat.leave()  # else whoever reads the body leaves at its end
        if isinstance(reply, Reply):
            return reply
        return await self._ask_alone(fetch, miss, reply, began)

    async def _aboard(self, fetch: Fetch, miss: Miss, seat: Seat, began: float) -> Reply | Why:
        """What the flight brings, or why one has to ask for oneself."""
        asked = self._rooms.clock()
        boarding = await seat.boarded()
        outcome = self._missed(fetch, miss, seat.why)._replace(
            upstream_s=self._rooms.clock() - asked, leader=seat.leader
        )
        match boarding:
            case Released(why):
                return why
            case Found(entry):  # it landed between our look and the flight's own
                hit = self._reuse(entry, "", fetch.controls)
                if not isinstance(hit, Hit) or not _flown(seat).is_alike(
                    fetch.resource, entry.head
                ):
                    return Why.GIVE_UP
                return self._show(fetch.resource.request, hit, began)
            case Handed(arrival, why):
                if fetch.stored is not None and arrival.head.status not in FAILING:
                    await self._rooms.shelf.drop(fetch.stored)  # it is no longer true
                outcome = outcome._replace(stored=False, detail=why)
                return self._relay(arrival, Coming(arrival.chunks(), seat.leave), outcome, began)
            case Boarded():
                heard = await self._hear(fetch, boarding, seat, outcome, began)
                return heard or Why.GIVE_UP

    async def _hear(
        self, fetch: Fetch, boarded: Boarded, seat: Seat, outcome: Outcome, began: float
    ) -> Reply | None:
        flown = _flown(seat)
        head, request = boarded.head, fetch.resource.request
        if head.status in FAILING and (reply := self._stand_in(fetch, began, head.status)):
            return reply
        if head.status == HTTPStatus.NOT_MODIFIED:
            return await self._validated(fetch, seat, outcome, began)
        if seat.why is Why.JOINED:
            if not flown.may_share(fetch.resource, head, self._rooms.clock()):
                return None
            head = flown.impersonal(head)
        if head.status == HTTPStatus.OK and is_unmodified(request.headers, head.headers):
            return self._replies.write(unmodified(head), b"", outcome, began)
        body = Coming(seat.pieces(), seat.leave)
        return self._replies.write(
            head, body, outcome, began, length=boarded.length, final=seat.outcome
        )

    async def _validated(
        self, fetch: Fetch, seat: Seat, outcome: Outcome, began: float
    ) -> Reply | None:
        """The stored response, which the backend said is still right."""
        landed = await seat.landing()
        entry = None if landed is None else landed.entry
        if landed is None or entry is None:
            return None
        # Others who waited have it only if it may be served without asking for each.
        if seat.why is Why.JOINED and (
            entry.ttl_left(self._rooms.clock()) <= 0
            or not _flown(seat).is_alike(fetch.resource, entry.head)
        ):
            return None
        return self._show(
            fetch.resource.request, Hit(entry, Why.VALIDATED, ""), began, fwd=outcome.fwd,
            status=HTTPStatus.NOT_MODIFIED, stored=landed.stored, upstream_s=outcome.upstream_s,
        )  # fmt: skip

    def _missed(self, fetch: Fetch, miss: Miss, seat: Why) -> Outcome:
        follower = seat is Why.JOINED
        notable = seat if follower or seat is Why.HIT_FOR_MISS else miss.why
        return Outcome(
            Verdict.COALESCED if follower else Verdict.MISS,
            notable,
            dialect=DIALECT,
            key=fetch.key,
            fwd=_FWD.get(miss.why, Fwd.MISS),
            collapsed=True if follower else None,
        )

    # -- for one ------------------------------------------------------------------------------

    async def _ask_alone(self, fetch: Fetch, miss: Miss, why: Why, began: float) -> Reply:
        """A response for this caller only: not shared, not stored."""
        outcome = self._missed(fetch, miss, why)
        outcome = outcome._replace(stored=False, collapsed=False, detail=why)
        try:
            arrival = await fetch.upstream.send(fetch.outbound(alone=True))
        except UpstreamError as error:
            return self._despite(error, fetch, began)
        status = arrival.head.status
        if status in FAILING and (reply := self._stand_in(fetch, began, status)):
            arrival.close()
            return reply
        return self._relay(arrival, Coming(arrival.chunks(), arrival.close), outcome, began)

    async def _ask_head(self, fetch: Fetch, miss: Miss, began: float) -> Reply:
        """The answer to HEAD, by which what is stored is brought up to date."""
        try:
            arrival = await fetch.ask()
        except UpstreamError as error:
            return self._despite(error, fetch, began)
        try:
            return await self._after_head(fetch, miss, arrival, began)
        except BaseException:  # the client hung up
            arrival.close()
            raise

    async def _after_head(self, fetch: Fetch, miss: Miss, arrival: Arrival, began: float) -> Reply:
        fetch.noted()
        head, stored = arrival.head, fetch.stored
        if head.status in FAILING and (reply := self._stand_in(fetch, began, head.status)):
            arrival.close()
            return reply
        outcome = self._missed(fetch, miss, Why.UNSEEN)
        if stored is not None and head.status == HTTPStatus.NOT_MODIFIED and fetch.asks_about:
            arrival.close()
            entry = fetch.renewed(stored, head, stored.upstream_s)
            kept = await fetch.keep(entry)
            return self._show(
                fetch.resource.request, Hit(entry, Why.VALIDATED, ""), began, fwd=outcome.fwd,
                status=head.status, stored=kept,
            )  # fmt: skip
        if stored is not None and head.status == stored.head.status:
            await fetch.keep(fetch.after_head(stored, head, arrival.length))
        body = Coming(arrival.chunks(), arrival.close)
        return self._relay(arrival, body, outcome._replace(stored=False), began)

    def _relay(
        self, arrival: Arrival, body: AsyncIterator[bytes], outcome: Outcome, began: float
    ) -> Reply:
        return self._replies.write(arrival.head, body, outcome, began, length=arrival.length)

    # -- past the cache -----------------------------------------------------------------------

    async def _pass(self, request: Request, upstream: Upstream, began: float) -> Reply:
        """The backend's own answer; what it makes untrue is forgotten before anybody hears it."""
        reply = await self._passing.answer(request, upstream, began)
        try:
            await self._forget(request, invalidated(request, reply.head))
        except BaseException:  # the client hung up
            if isinstance(reply.body, Coming):
                await reply.body.aclose()
            raise
        return reply

    async def _forget(self, request: Request, targets: Iterable[tuple[str, str]]) -> None:
        """Forget what is at these paths and queries, with the namespace of ``request`` or none."""
        namespaces = {"", self._controls(request.headers).namespace}
        for path, query in targets:
            there = self._upstreams.route(path)
            if there is None:
                continue
            target = request._replace(path=path, query_string=query)
            for namespace in namespaces:
                await self._rooms.shelf.forget(self._resource(target, there.id, namespace).key)

    # -- replies of our own -------------------------------------------------------------------

    def _not_cached(self, began: float) -> Reply:
        outcome = Outcome(Verdict.ERROR, Why.ONLY_IF_CACHED, dialect=DIALECT)
        detail = "No stored answer, and the request asked for nothing else (only-if-cached)."
        return self._replies.refuse(504, "only_if_cached", detail, outcome, began)


def _flown(seat: Seat) -> Fetch:
    flown = seat.errand
    assert isinstance(flown, Fetch)  # noqa: S101 - these flights have no other errands
    return flown
