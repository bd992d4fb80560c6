"""A fetch: asking the backend for a resource, or whether what is stored of it is still right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

from proxy.model.decision import GiveUp, HeadVerdict, Share, Why
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Arrival, Head, Headers, Outbound, Request, Upstream
from proxy.model.query import Controls, Form, Refusal
from proxy.policy import Terms
from proxy.resources.reuse import reuse
from proxy.resources.shelf import DIALECT, Note, Resource, Shelf
from proxy.rfc9111.freshening import describes, freshened
from proxy.rfc9111.freshness import Heuristic, age_at_arrival, lifetime_of
from proxy.rfc9111.selecting import EVERYBODY, Selection, selected, selecting
from proxy.rfc9111.storing import (
    Circumstances,
    Cookies,
    kept_fields,
    refusal,
)
from proxy.rfc9111.told import Told, told_by
from proxy.rfc9111.validators import CONDITIONS, conditions
from proxy.wire.tags import collected, tags_of

# RFC 5861, section 4.
FAILING: Final = frozenset({500, 502, 503, 504})
_REPLACED: Final = CONDITIONS | {"range"}
_FORM: Final = Form()
_SAME_S: Final = 1.0  # by which the time that one entry was stored at differs from tier to tier


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings leave to choose. Times in seconds."""

    heuristic: Heuristic = field(default_factory=Heuristic)
    cookies: Cookies = Cookies.EXPLICIT
    inert_cookies: frozenset[str] = frozenset()  # those that never matter
    retain: float = 3600.0  # what is stale is kept so long, to be asked about
    surrogate: str = ""  # as for ``told_by``


@dataclass(frozen=True, slots=True)
class Rooms:
    """What every fetch needs; one for all.

    Args:
        outbound: the headers to send upstream for a request.
        clock: seconds, monotonic.
        wall: seconds since 1970.
        date: seconds since 1970 as a ``Date`` field.
        edition: of the settings that all this was made of.
        caller: who sent a request.
    """

    shelf: Shelf
    rules: Rules
    outbound: Callable[[Request], Headers]
    clock: Callable[[], float]
    wall: Callable[[], float]
    date: Callable[[float], str]
    edition: int = 0
    caller: Callable[[Request], str] = lambda _: ""


@dataclass(slots=True, eq=False)
class Fetch:
    """One request on its way to the backend. A ``proxy.flight.Errand``."""

    rooms: Rooms
    resource: Resource
    upstream: Upstream
    controls: Controls
    terms: Terms
    key: CacheKey  # of the flight
    generation: int
    note: Note | None = None
    stored: Entry | None = None  # what is stored and will do no longer
    fallback: Entry | None = None  # what may be served should the backend fail
    awaited: bool = True  # whether a client waits for what comes
    asked: Form = _FORM
    asked_at: float = 0.0  # seconds on the proxy's clock; set by ``ask``
    changes: int = 0  # that the shelf knew of then
    came_at: float = 0.0  # set by ``weigh``
    came_wall: float = 0.0

    @property
    def edition(self) -> int:
        return self.rooms.edition

    # -- asking -------------------------------------------------------------------------------

    @property
    def request(self) -> Request:
        return self.resource.request

    def asking_as(self, request: Request) -> Fetch:
        return replace(self, resource=self.resource._replace(request=request))

    @property
    def asks_about(self) -> Entry | None:
        """The stored entry that the backend is asked about; None: it is asked for all."""
        stored = self.stored
        if stored is None or stored.head.status != HTTPStatus.OK:
            return None
        return stored if conditions(stored.head.headers) else None

    def outbound(self, *, alone: bool = False) -> Outbound:
        """The request as it is sent; ``alone``: with the caller's own conditions, not ours."""
        request = self.resource.request
        headers = self.rooms.outbound(request)
        if self.stored is not None and not alone:
            headers = headers.without(_REPLACED)
            if (about := self.asks_about) is not None:
                headers = headers.plus(*conditions(about.head.headers))
        if name := self.rooms.rules.surrogate:
            capable = headers.get("surrogate-capability")
            own = f'{name}="Surrogate/1.0"'
            headers = headers.without(frozenset({"surrogate-capability"})).plus(
                ("Surrogate-Capability", f"{capable}, {own}" if capable else own)
            )
        return Outbound(
            request.method, request.path, request.query_string, headers, b"",
            self.rooms.caller(request), self.awaited,
        )  # fmt: skip

    async def ask(self) -> Arrival:
        self.asked_at, self.changes = self.rooms.clock(), self.rooms.shelf.changes
        return await self.upstream.send(self.outbound())

    async def look(self) -> Entry | None:
        if self.controls.no_cache:
            return None
        entry = (await self.rooms.shelf.glance(self.resource)).entry
        return entry if entry is not None and self._fits(entry) else None

    async def search(self) -> Entry | None:
        return await self.look()  # other replicas do not hear of these flights

    def _fits(self, entry: Entry) -> bool:
        """Whether ``entry`` has come since, and spares the asking."""
        if self.stored is not None and entry.stored_at - self.stored.stored_at <= _SAME_S:
            return False
        now, surrogate = self.rooms.clock(), self.rooms.rules.surrogate
        return reuse(entry, "", self.controls, now, surrogate).why is Why.FRESH

    # -- what comes ---------------------------------------------------------------------------

    def weigh(self, arrival: Arrival) -> tuple[HeadVerdict, Form | None]:
        self.noted()
        head = arrival.head
        if head.status == HTTPStatus.NOT_MODIFIED and self.asks_about is not None:
            return Share(storable=True), _FORM
        if head.status in FAILING and self.fallback is not None:
            return Share(storable=False, why=Why.STATUS), None
        why = self.bar(head, arrival.length)
        return (Share(storable=True), _FORM) if why is None else (GiveUp(why), None)

    def noted(self) -> None:
        """Remember that the head is here now."""
        self.came_at, self.came_wall = self.rooms.clock(), self.rooms.wall()

    def bar(self, head: Head, length: int | None) -> Why | None:
        """Why the response that begins with ``head`` is not to be stored; None if it may be."""
        if selecting(head.headers) is None:
            return Why.VARY
        told = self._told(head)
        why = refusal(head, told, self._about, self._ttl(head, told), self._age(head))
        if why is None and length is not None and length > self.terms.max_entry:
            return Why.TOO_LARGE
        return why

    def may_share(self, other: Resource, head: Head, now: float) -> bool:
        """Whether ``other``, who waited for this flight, may have what begins with ``head``.

        Only what could have been served to him from the store (RFC 9111, section 4): fresh, chosen
        by what he too says, and not by somebody else's credential.
        """
        told = self._told(head)
        ttl = self._ttl(head, told)
        if ttl is None or ttl <= self._age(head) + now - self.came_at:
            return False
        return self.is_alike(other, head)

    def is_alike(self, other: Resource, head: Head) -> bool:
        """Whether ``other`` selects the response that begins with ``head`` as this request does."""
        names = selecting(head.headers)
        if names is None or not (other.scope == self.resource.scope or self._told(head).for_all):
            return False
        mine, theirs = self.resource.request.headers, other.request.headers
        return selected(mine, names) == selected(theirs, names)

    def telling(self, head: Head) -> Head:
        return head

    def impersonal(self, head: Head) -> Head:
        """``head`` as others than the one it was sent to may have it."""
        fields = self._kept(head, self._told(head))
        ages = (("Age", age) for age in head.headers.all("age"))
        return Head(head.status, head.reason, fields.plus(*ages))

    # -- what is kept -------------------------------------------------------------------------

    def seal(self, head: Head, body: bytes, form: Form, upstream_s: float) -> Entry | Refusal:
        about = self.asks_about
        if head.status == HTTPStatus.NOT_MODIFIED and about is not None:
            return self.renewed(about, head, upstream_s)
        if len(body) > self.terms.max_entry:
            return Refusal(Why.TOO_LARGE)
        told = self._told(head)
        tags = self._tags(head, self.stored)
        if tags is None:
            return Refusal(Why.TAGS)
        return Entry(
            key=self.key,
            dialect=DIALECT,
            model="",
            head=Head(head.status, head.reason, self._kept(head, told)),
            form=form,
            body=body,
            stored_at=self.came_at,
            lifetime=self._lifetime(head, told),
            initial_age=self._age(head),
            upstream_s=upstream_s,
            generation=self.generation,
            path=self.resource.request.path,
            tags=tags,
        )

    def renewed(self, entry: Entry, head: Head, upstream_s: float) -> Entry:
        """``entry`` as a 304, or the answer to HEAD, that begins with ``head`` leaves it."""
        news = self._kept(head, self._told(head))
        fields = freshened(entry.head.headers, news)
        merged = Head(entry.head.status, entry.head.reason, fields)
        told = self._told(merged)
        # The age is that of the news, whose Age is not among the fields that are stored.
        return replace(
            entry,
            head=merged,
            stored_at=self.came_at,
            lifetime=self._lifetime(merged, told),
            initial_age=self._age(head),
            upstream_s=upstream_s,
            generation=self.generation,
            tags=self._tags(merged, entry) or entry.tags,
        )

    def after_head(self, entry: Entry, head: Head, length: int | None) -> Entry:
        """``entry`` after HEAD was answered with ``head``: up to date, or stale (section 4.3.5)."""
        if describes(head.headers, entry.head.headers, length, len(entry.body)):
            return self.renewed(entry, head, entry.upstream_s)
        age = entry.age(self.came_at)
        life = entry.lifetime
        return replace(entry, lifetime=Lifetime(min(life.ttl, age), 0.0, 0.0, life.retain))

    async def keep(self, entry: Entry) -> bool:
        head = entry.head
        told = self._told(head)
        names = selecting(head.headers)
        why = refusal(head, told, self._about, entry.lifetime.ttl, entry.initial_age)
        if names is None or why is not None:
            # A 304 may say so of what was stored before.
            await self.rooms.shelf.forget(self.resource.key)
            return False
        selection = Selection(names, self._is_apart(told))
        return await self.rooms.shelf.keep(entry, self.resource, selection, self.changes)

    async def hand_on(self) -> None:
        """It is everywhere already: a variant, and what it is told by, go together."""

    # -- reading heads ------------------------------------------------------------------------

    def _told(self, head: Head) -> Told:
        return told_by(head.headers, self.rooms.rules.surrogate)

    @property
    def _about(self) -> Circumstances:
        resource = self.resource
        rules = self.rooms.rules
        return Circumstances(
            resource.authorised, resource.apart, rules.cookies, rules.inert_cookies
        )

    def _is_apart(self, told: Told) -> bool:
        """Whether what was told is for those with this credential only."""
        if told.for_all or not self.resource.apart:
            return False
        # Who has none shares with his like; once some have, there is a note that says so.
        known = EVERYBODY if self.note is None else self.note.selection
        return self.resource.authorised or known.by_scope

    def _age(self, head: Head) -> float:
        return age_at_arrival(head, self.came_at - self.asked_at, self.came_wall)

    def _ttl(self, head: Head, told: Told) -> float | None:
        if told.no_cache:
            return 0.0
        request = self.resource.request.headers
        guesses = not (self.resource.authorised or "cookie" in request)
        heuristic = self.rooms.rules.heuristic if guesses else Heuristic()
        ttl = lifetime_of(head, told, heuristic, self.came_wall)
        if ttl is None or self.controls.ttl is None:
            return ttl
        return min(ttl, self.controls.ttl)

    def _lifetime(self, head: Head, told: Told) -> Lifetime:
        ttl = self._ttl(head, told) or 0.0
        retain = self.rooms.rules.retain
        if told.no_cache or told.must_revalidate or told.proxy_revalidate:
            return Lifetime(ttl, 0.0, 0.0, retain)
        silent = told.s_maxage is not None  # it rules out stale answers unless told otherwise
        revalidate, on_error = told.stale_while_revalidate, told.stale_if_error
        if revalidate is None:
            revalidate = 0.0 if silent else self.terms.stale_while_revalidate
        if on_error is None:
            on_error = 0.0 if silent else self.terms.stale_if_error
        return Lifetime(ttl, revalidate, on_error, retain)

    def _kept(self, head: Head, told: Told) -> Headers:
        return kept_fields(head.headers, told, self._about, self.rooms.date(self.came_wall))

    def _tags(self, head: Head, older: Entry | None) -> tuple[str, ...] | None:
        theirs = tags_of(head.headers)
        if theirs is None:
            return None
        tags = theirs + self.controls.tags
        return collected(tags + (() if older is None else older.tags)) or collected(tags)
