"""Resources without a socket: an origin that answers as a test says, and a clock turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import count

from proxy.flight import Flights, Limits
from proxy.key import KeyRules, Scoping
from proxy.ledger import Ledger
from proxy.model.errors import NoReply, UpstreamError
from proxy.model.message import Arrival, Head, Headers, Outbound, Request
from proxy.model.outcome import Reply
from proxy.passing import Passing
from proxy.policy import Policy, Rule, Terms
from proxy.reply import Replies
from proxy.resources.fetch import Rooms, Rules
from proxy.resources.life import Resources
from proxy.resources.shelf import Shelf
from proxy.tiers.base import Tier
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.ladder import Ladder
from proxy.wire.crossing import OutboundFields
from support.cranked import Clock, CrankedTier, Given, settle

EPOCH = 1_800_000_000.0  # of the wall clock when the other one is at 0
Fields = list[tuple[str, str]]


@dataclass
class Answer:
    """What the origin says; ``gate``: not before it is set, ``breaks``: not to its end."""

    status: int = 200
    fields: Fields = field(default_factory=list)
    body: bytes = b"body"
    gate: asyncio.Event | None = None
    breaks: bool = False
    length: int | None = None  # declared; None: as it is
    closed: bool = False

    @property
    def head(self) -> Head:
        return Head(self.status, "", Headers(self.fields))

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.gate is not None:
            await self.gate.wait()
        if self.body:
            yield self.body
        if self.breaks:
            raise NoReply("it broke off")

    def close(self) -> None:
        self.closed = True


class _Arrived:
    """``Answer`` as an arrival, whose declared length need not be the true one."""

    def __init__(self, answer: Answer, *, bodiless: bool) -> None:
        self._answer = answer
        self.head = answer.head
        self.length: int | None = len(answer.body) if answer.length is None else answer.length
        self._bodiless = bodiless

    async def chunks(self) -> AsyncIterator[bytes]:
        if not self._bodiless:
            async for piece in self._answer.chunks():
                yield piece

    def close(self) -> None:
        self._answer.close()


class Origin:
    """One upstream for all paths. ``asked`` has every request, ``says`` what it answers."""

    id = "origin"

    def __init__(self) -> None:
        self.asked: list[Outbound] = []
        self.says: Callable[[Outbound], Answer | UpstreamError] = lambda _: Answer()
        self.waits: asyncio.Event | None = None  # before the head

    async def send(self, outbound: Outbound) -> Arrival:
        self.asked.append(outbound)
        said = self.says(outbound)  # what it is when it is asked
        if self.waits is not None:
            await self.waits.wait()
        if isinstance(said, UpstreamError):
            raise said
        return _Arrived(said, bodiless=outbound.method == "HEAD" or said.status == 304)

    async def tunnel(self, outbound: Outbound) -> Arrival:
        return await self.send(outbound)

    def route(self, path: str) -> Origin | None:
        return None if path.startswith("/nowhere") else self


@dataclass(frozen=True)
class Got:
    """What a client got."""

    status: int
    headers: Headers
    body: bytes
    reply: Reply

    def __getitem__(self, name: str) -> str:
        return self.headers.get(name.lower())

    @property
    def cache(self) -> str:
        return f"{self['x-cache']} {self['x-cache-reason']}"


class World:
    """Resources on a memory tier."""

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        terms: Terms | None = None,
        path_rules: tuple[Rule, ...] = (),
        scoping: Scoping | None = None,
        further: tuple[CrankedTier, ...] = (),
        limits: Limits | None = None,
        told_hosts: bool = False,
    ) -> None:
        self.clock = Clock(1000.0)
        self.origin = Origin()
        self.bugs: list[BaseException] = []
        self.memory = L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=self.clock)
        self.ledger = Ledger()
        self.trouble: list[str] = []
        tiers: tuple[Tier, ...] = (self.memory, *further)
        self.ladder = Ladder(tiers, self.ledger, lambda name, _: self.trouble.append(name))
        keys = KeyRules(b"a secret of sixteen bytes", scoping=scoping)
        self.flights = Flights(limits or Limits(), clock=self.clock, report=self.bugs.append)
        replies = Replies("sidecache", self.clock)
        chosen = rules or Rules()
        numbers = count()
        self.shelf = Shelf(
            self.ladder,
            keys,
            self.clock,
            lambda: next(numbers).to_bytes(16, "big"),
            chosen.surrogate,
        )
        self.resources = Resources(
            rooms=Rooms(
                self.shelf,
                chosen,
                OutboundFields(pseudonym="sidecache"),
                self.clock,
                lambda: EPOCH + self.clock.now,
                lambda wall: formatdate(wall, usegmt=True),
            ),
            keys=keys,
            upstreams=self.origin,
            policy=Policy(terms or Terms(), path_rules),
            flights=self.flights,
            replies=replies,
            passing=Passing(
                self.origin,
                replies,
                OutboundFields(pseudonym="sidecache"),
                self.clock,
            ),
            told_hosts=told_hosts,
        )
        self.tasks: set[asyncio.Task[Got]] = set()

    def date(self, offset: float = 0.0) -> str:
        """A moment ``offset`` seconds from now, as HTTP has it."""
        return formatdate(EPOCH + self.clock.now + offset, usegmt=True)

    def says(self, *fields: tuple[str, str], status: int = 200, body: bytes = b"body") -> None:
        """Have the origin answer everything so."""
        self.origin.says = lambda _: Answer(status, list(fields), body)

    async def get(
        self, *fields: tuple[str, str], path: str = "/x", query: str = "", method: str = "GET",
        content: bytes = b"",
    ) -> Got:  # fmt: skip
        """Ask, and read the answer to its end."""
        request = Request(method, path, query, Headers(fields), Given(content))
        reply = await self.resources.answer(request, self.origin, self.clock())
        body = reply.body
        if not isinstance(body, bytes):
            body = b"".join([piece async for piece in body])
        await settle()  # what has landed is stored
        return Got(reply.head.status, reply.head.headers, body, reply)

    async def asking(self, *fields: tuple[str, str], path: str = "/x") -> asyncio.Task[Got]:
        """As ``get``, in a task that has gone as far as it can."""
        task = asyncio.ensure_future(self.get(*fields, path=path))  # noqa: TID251 - a test's
        self.tasks.add(task)
        await settle()
        return task
