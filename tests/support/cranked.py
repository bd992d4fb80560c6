"""A clock turned by hand and an upstream cranked by hand, for what happens between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from proxy.model.decision import HeadVerdict, Share
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.errors import TierError, UpstreamError
from proxy.model.message import Arrival, Head, Headers, Outbound, Request
from proxy.model.query import Form, Refusal

OK = Head(200, "OK", Headers([("Content-Type", "text/event-stream")]))


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += seconds


async def settle() -> None:
    """Let every task go as far as it can without anything from outside."""
    for _ in range(50):
        await asyncio.sleep(0)


class Call:
    """One call to the cranked upstream: an Arrival whose bytes are handed out one by one."""

    def __init__(self, outbound: Outbound | None = None) -> None:
        self.outbound = outbound
        self.head = OK
        self.length: int | None = None
        self.closed = False
        self._answered: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        self._pieces: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()

    async def answered(self) -> Call:
        return await self._answered

    def answer(self, head: Head = OK, length: int | None = None) -> None:
        self.head, self.length = head, length
        self._answered.set_result(self)

    def fail(self, error: UpstreamError) -> None:
        if self._answered.done():
            self._pieces.put_nowait(error)
        else:
            self._answered.set_exception(error)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._pieces.put_nowait(piece)

    def end(self) -> None:
        self._pieces.put_nowait(None)

    @property
    def unread(self) -> int:
        """Pieces that nobody has taken yet."""
        return self._pieces.qsize()

    async def chunks(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def close(self) -> None:
        self.closed = True


@dataclass
class Crank:
    """An upstream (and an errand's way to it) that answers when the test says so."""

    id: str = "cranked"
    calls: list[Call] = field(default_factory=list)

    async def send(self, outbound: Outbound) -> Arrival:
        call = Call(outbound)
        self.calls.append(call)
        return await call.answered()

    async def tunnel(self, outbound: Outbound) -> Arrival:
        return await self.send(outbound)

    def route(self, path: str) -> Crank | None:
        return self if path.startswith("/") else None


def _open(gate: asyncio.Event) -> asyncio.Event:
    gate.set()
    return gate


@dataclass
class Errand:
    """An errand whose every answer a test can set."""

    upstream: Crank
    clock: Clock
    key: CacheKey = field(default_factory=lambda: CacheKey("anon", b"k" * 32))
    asked: Form = field(default_factory=lambda: Form(stream=True, usage=False))
    generation: int = 0
    edition: int = 0
    verdict: HeadVerdict = field(default_factory=lambda: Share(storable=True))
    found: Entry | None = None
    elsewhere: Entry | None = None
    searching: asyncio.Event = field(default_factory=lambda: _open(asyncio.Event()))
    refusal: Refusal | None = None
    takes: bool = True
    kept: list[Entry] = field(default_factory=list)
    handed_on: list[Entry] = field(default_factory=list)
    hand_ons: int = 0
    bug: Exception | None = None
    late_bug: Exception | None = None
    took_s: float = 0.0  # what the flight said that the upstream took
    request: Request = field(default_factory=lambda: posted(b""))

    def asking_as(self, request: Request) -> Errand:
        return replace(self, request=request)

    async def look(self) -> Entry | None:
        return self.found

    async def search(self) -> Entry | None:
        await self.searching.wait()
        return self.elsewhere or self.found

    async def ask(self) -> Arrival:
        return await self.upstream.send(Outbound("POST", "/", "", Headers(), b""))

    def weigh(self, arrival: Arrival) -> tuple[HeadVerdict, Form | None]:
        if self.bug is not None:
            raise self.bug
        return self.verdict, self.asked

    def telling(self, head: Head) -> Head:
        return Head(head.status, head.reason, head.headers.without(frozenset({"x-request-id"})))

    def seal(self, head: Head, body: bytes, form: Form, upstream_s: float) -> Entry | Refusal:
        self.took_s = upstream_s
        return self.refusal or entry(self.key, body, stored_at=self.clock(), form=form)

    async def keep(self, entry: Entry) -> bool:
        if self.takes:
            self.kept.append(entry)
        return self.takes

    async def hand_on(self) -> None:
        self.hand_ons += 1
        if self.late_bug is not None:
            raise self.late_bug
        self.handed_on[:] = self.kept


class CrankedTier:
    """A tier that remembers, fails, and holds its breath as the test says."""

    def __init__(self, name: str, calls: list[str] | None = None) -> None:
        self.name = name
        self.kept: dict[bytes, Entry] = {}
        self.calls = calls if calls is not None else []
        self.failing: set[str] = set()
        self._held: dict[str, asyncio.Event] = {}

    @contextmanager
    def holding(self, what: str) -> Iterator[None]:
        """While inside, calls of ``what`` have had their effect but do not return."""
        gate = self._held[what] = asyncio.Event()
        yield
        gate.set()
        del self._held[what]

    async def get(self, key: CacheKey) -> Entry | None:
        await self._called("get")
        return self.kept.get(key.digest)

    async def put(self, entry: Entry) -> bool:
        if "put" not in self.failing:
            self.kept[entry.key.digest] = entry
        await self._called("put")
        return True

    async def delete(self, key: CacheKey) -> None:
        if "delete" not in self.failing:
            self.kept.pop(key.digest, None)
        await self._called("delete")

    async def clear(self) -> None:
        if "clear" not in self.failing:
            self.kept.clear()
        await self._called("clear")

    async def _called(self, what: str) -> None:
        self.calls.append(f"{self.name}.{what}")
        if (gate := self._held.get(what)) is not None:
            await gate.wait()
        if what in self.failing:
            raise TierError(f"{self.name} cannot {what}")


class Given:
    """The body of a request, all of it here."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def length(self) -> int:
        return len(self._content)

    async def whole(self, limit: int) -> bytes | None:
        return self._content if len(self._content) <= limit else None

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._content:
            yield self._content


def posted(
    body: bytes, *headers: tuple[str, str], path: str = "/v1/chat/completions", query: str = ""
) -> Request:
    """A request with this body, as dialects are given it to read."""
    return Request("POST", path, query, Headers(headers), Given(body))


def entry(
    key: CacheKey | None = None,
    body: bytes = b"body",
    *,
    stored_at: float = 1000.0,
    form: Form | None = None,
    lifetime: Lifetime | None = None,
    dialect: str = "openai_chat",
) -> Entry:
    return Entry(
        key=key or CacheKey("anon", b"k" * 32),
        dialect=dialect,
        model="m",
        head=OK,
        form=form or Form(stream=True, usage=False),
        body=body,
        stored_at=stored_at,
        lifetime=lifetime or Lifetime(60.0),
    )
