"""The express lane: requests that are equal to the byte, answered from memory ahead of HTTP.

Real callers repeat themselves to the byte: the same client library writes the same head and the
same JSON. Bytes that were parsed once, alone in one read on an idle connection, mean the same when
they come so again; no parser of our own decides anything. What they were answered is asked for anew
each time (``Reply.again``), and knows whether it still holds.

Where heads differ in what no answer depends on, such as the ids of traces, aiohttp's parser says
what they are, and all that counts of them must be equal, in order; the body as a document, whose
members may come in any order (``sight``).

Rules:

1. A request is remembered whose answer came from memory and was delivered whole, on a connection
   that stays open. Once heard is not enough: heads that change with every call must not fill this.
2. It is answered on an idle connection only, which has taken all that was written before. Anything
   else goes the ordinary way: other bytes, a part of a request, two in one read, a slow reader.
3. It is forgotten as soon as its answer holds no longer, and with all others when settings change,
   when something is purged, and when the proxy is about to stop.
4. What it takes is lent by the memory tier, byte by byte. The first to go is who came first and was
   not asked for since (CLOCK: Corbató, "A paging experiment with the Multics system", 1968).
5. Every request counts. Those alike, and of one client, are told together, a second after the first
   at the latest.
6. A reply is no longer than what may always be handed to a socket that has taken all before it:
   here nobody waits for a slow reader.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Protocol

from aiohttp import HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from proxy.downstream.request import Origin, read_request
from proxy.downstream.respond import Opening
from proxy.downstream.service import Attending, Service
from proxy.downstream.sight import Counting, Key, Sight
from proxy.model.errors import ProtocolViolation
from proxy.model.message import Request
from proxy.model.outcome import Delivery, Outcome, Record, Repeats, Reply

Telling = Callable[[Record, Sequence[float], float], None]
"""Told of a request that is over, of the seconds that each took that was equal to it and came after
it, and of when the first was over, in seconds since the epoch."""

_TIMING: Final = b"sidecache;dur="  # as of a reply for which no backend was asked
# Bytes of a request, and of a reply with its head; more is slow for its size alone. What is written
# at once on an idle connection must stay within what transports take without asking for a pause.
_LONGEST: Final = 65_536
_HEAD: Final = 8192  # bytes of these, left to a reply's head
_TIME: Final = 32  # and to the time it took
_PLACES: Final = 4096  # requests heard once that are remembered, by a hash
# A table for each way to know one: in one for all, two marks of one request might be at one place,
# and push each other out for ever.
_TABLES: Final = 3
_BY_BYTES, _BY_FIELDS, _BY_DOCUMENT = range(_TABLES)
_TOLD_WITHIN_S: Final = 1.0
_TOLD_AT_ONCE: Final = 1024  # requests
_PAUSE_S: Final = 0.01
_OBJECTS: Final = 1500  # bytes that a place takes, the head of the reply with it, about
_MOVES: Final = 64  # places looked at to find one that is free


class Line(Protocol):
    """The connection that a request came on."""

    @property
    def origin(self) -> Origin: ...

    @property
    def has_taken_all(self) -> bool:
        """Whether it is open, and nothing waits to be taken by the client."""
        ...

    def write(self, data: bytes) -> None: ...


class _Place:
    """A request that is remembered, and what it is answered."""

    __slots__ = (
        "after", "again", "asked", "attending", "before", "date", "outcome", "reply", "request",
        "sent", "size", "status", "took",
    )  # fmt: skip

    def __init__(self, request: Request, again: Repeats, attending: Attending, size: int) -> None:
        self.request = request
        self.again = again
        self.attending = attending
        self.size = size  # bytes it is accounted for
        self.asked = False  # since it was last looked at to be let go
        self.reply: Reply | None = None  # that what follows was made of
        self.date = ""
        self.outcome: Outcome | None = None
        self.before = self.after = b""  # the bytes of the reply, before and after the time it took
        self.status = self.sent = 0
        # Of those that are to be told, by the client's address: when the first was over, in seconds
        # since the epoch, and the seconds that each took.
        self.took: dict[str, tuple[float, list[float]]] = {}

    def asks(self) -> Request:
        """The request."""
        return self.request

    def write(self, reply: Reply, date: str) -> bool:
        """Write ``reply`` out, but for the time it takes; False if it is not for this lane."""
        self.reply, self.date, self.outcome = reply, date, reply.outcome
        if not isinstance(reply.body, bytes):
            return False
        try:
            opening = Opening(reply, date, head_only=False, modern=True, persist=True)
        except ProtocolViolation:
            return False
        around, size = opening.around_timing(_TIMING), len(opening.head) + len(reply.body) + _TIME
        if around is None or not opening.persists or size > _LONGEST:
            return False
        self.before, after = around
        self.after = after + reply.body
        self.status, self.sent = reply.head.status, len(reply.body)
        return True


class Express:
    """Requests that are remembered, and their answers. Counters are plain integers.

    Args:
        service: what connections share.
        tell: told of requests that are over.
        wall: seconds since the epoch.
        lend: takes so many bytes more (or, below zero, less) of the memory tier's.
        max_bytes: what all of it may take; 0: nothing is remembered.
    """

    def __init__(
        self,
        service: Service,
        *,
        tell: Telling,
        wall: Callable[[], float],
        lend: Callable[[int], object] = lambda _: None,
        max_bytes: int,
    ) -> None:
        self._service = service
        self._tell = tell
        self._wall = wall
        self._lend = lend
        self._places: dict[Key, _Place] = {}
        self._reads = False  # bodies: some of these may be known by the documents that they are
        self._counting = Counting(self._ignores)
        self._heard = array("q", bytes(8 * _PLACES * _TABLES))
        self._untold: deque[tuple[float, _Place]] = deque()  # each with when it is due
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.max_bytes = max_bytes
        self.bytes = 0  # accounted for; never more than ``max_bytes``
        self.hits = 0

    def __len__(self) -> int:
        return len(self._places)

    def answer(self, data: bytes, line: Line) -> bool:
        """Answer the request that ``data`` is, if it is known; False: it is to be parsed.

        Args:
            data: all that was read at once.
            line: idle.
        """
        # To look for it is to hash it, which takes a microsecond.
        place = self._places.get(data) if self._places else None
        return place is not None and self._answer(data, place, line)

    def sight(self, message: RawRequestMessage, data: bytes) -> Sight | None:
        """The request that was parsed, to be asked for here; None: it is none for this lane.

        Args:
            message: what ``data``, the bytes of one whole request, was parsed to.
        """
        modern = message.version is HttpVersion11
        fits = modern and self.max_bytes and len(data) <= _LONGEST
        return Sight(message, data, self._counting) if fits else None

    def answer_parsed(self, sight: Sight, line: Line, stream: StreamReader = EMPTY_PAYLOAD) -> bool:
        """Answer the request that was parsed, if a known one is equal in all that counts.

        Args:
            line: idle, but for this request.
            stream: its body.
        """
        if not self._places:
            return False
        key: Key = sight.alike
        place = self._places.get(key)
        if place is None and self._reads and (respelled := sight.respelled) is not None:
            place = self._places.get(key := respelled)
        if place is None:
            return False

        def asked() -> Request:
            # Whose credential and whose attempt it is may be what answers do not depend on.
            limits = self._service.limits
            request, _ = read_request(sight.message, stream, line.origin, limits, lambda: None)
            return request._replace(body=place.request.body)  # the other leads to the connection

        if not self._answer(key, place, line, asked):
            return False
        data = sight.data
        if self._was_heard(data, _BY_BYTES):
            self._remember(data, data, asked(), place.again, place.sent)
        return True

    def _answer(
        self, key: Key, place: _Place, line: Line, asked: Callable[[], Request] | None = None
    ) -> bool:
        """Answer as ``place`` says; ``asked``: the request, if it is not the one that is there."""
        began, service = monotonic(), self._service
        peer = line.origin.peer
        if place.attending is not service.attending or service.draining:
            self.clear()
            return False
        if not line.has_taken_all or place.request.scheme != line.origin.scheme:
            return False
        try:
            reply, date = place.again.reply(peer, asked or place.asks), service.date()
            holds = reply is place.reply and date is place.date
            if not holds:
                self._settle(place)  # what is to be told was answered otherwise
                holds = reply is not None and place.write(reply, date)
        except Exception as error:  # noqa: BLE001 - the ordinary way is there, whatever it is
            service.bug("answering at once", error)
            holds = False
        if not holds:
            self._forget(key, place)
            return False
        took_s = monotonic() - began
        line.write(b"%b%.3f%b" % (place.before, took_s * 1e3, place.after))
        place.asked = True
        self.hits += 1
        counts = service.counts
        counts.received += 1
        counts.requests += 1
        if (told := place.took.get(peer)) is None:
            if not place.took:
                self._untold.append((began + _TOLD_WITHIN_S, place))
                if self._timer is None:
                    self._timer = _call_later(_TOLD_WITHIN_S, self._on_time)
            told = place.took[peer] = (self._wall(), [])
        told[1].append(took_s)
        if len(told[1]) >= _TOLD_AT_ONCE:
            self._settle(place)
        return True

    def learn(self, sight: Sight, request: Request, reply: Reply) -> None:
        """Remember a request that was answered on the ordinary way, if it was heard before.

        Args:
            sight: its bytes were read at once on an idle connection.
            request: the same, read.
            reply: what it was answered.
        """
        again, length, data = reply.again, reply.length or 0, sight.data
        if again is None or length > _LONGEST - _HEAD:
            return
        if self._was_heard(data, _BY_BYTES):
            key: Key = data
        elif self._was_heard(sight.alike, _BY_FIELDS):
            key = sight.alike
        elif (respelled := sight.respelled) and self._was_heard(respelled, _BY_DOCUMENT):
            key, self._reads = respelled, True
        else:
            return
        self._remember(key, data, request, again, length)

    def _remember(
        self, key: Key, data: bytes, request: Request, again: Repeats, length: int
    ) -> None:
        size = 2 * len(data) + again.size + length + _OBJECTS
        if key not in self._places and self._has_room(size):
            self._places[key] = _Place(request, again, self._service.attending, size)
            self._account(size)

    def _ignores(self, name: str) -> bool:
        return self._service.attending.ignores(name)

    def _was_heard(self, key: Key, table: int) -> bool:
        """Whether this has been asked of ``key`` not long ago."""
        mark = hash(key)
        place = mark % _PLACES + table * _PLACES
        known = self._heard[place] == mark
        self._heard[place] = mark
        return known

    def limit(self, max_bytes: int) -> None:
        """Take no more than that from now on; nothing once it is closed."""
        self.max_bytes = 0 if self._closed else max_bytes
        while not self._has_room(0):  # who was asked for since is let go at the second look
            pass

    def clear(self) -> None:
        """Forget all requests; what is to be told of them is told."""
        self.flush()
        self._counting = Counting(self._ignores)
        if self._places:
            self._places.clear()
            self._reads = False
            self._account(-self.bytes)

    def flush(self) -> None:
        """Tell of all that is over."""
        while self._untold:
            self._settle(self._untold.popleft()[1])

    def close(self) -> None:
        """Forget all requests, and tell of what is over. Idempotent."""
        self._closed = True
        self.max_bytes = 0
        self.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        untold, now = self._untold, monotonic()
        while untold and untold[0][0] <= now:  # each in its own time: together they would take long
            self._settle(untold.popleft()[1])
        due_s = untold[0][0] - now if untold else 0.0
        self._timer = _call_later(max(_PAUSE_S, due_s), self._on_time) if untold else None

    def _settle(self, place: _Place) -> None:
        """Tell of the requests that ``place`` has answered."""
        outcome, took = place.outcome, place.took
        if not took or outcome is None:
            return
        place.took = {}
        for peer, (since, (first, *more)) in took.items():
            request = place.request
            if request.peer != peer:
                request = request._replace(peer=peer)
            delivery = Delivery(place.status, place.sent, complete=True, duration_s=first)
            try:
                self._tell(Record(request, outcome, delivery), more, since)
            except Exception as error:  # noqa: BLE001 - telling must never fail a request
                self._service.bug("recording", error)

    def _has_room(self, size: int) -> bool:
        """Make room for ``size`` bytes, if that is soon done."""
        if size > self.max_bytes:
            return False
        for _ in range(_MOVES):
            if self.bytes + size <= self.max_bytes:
                return True
            if not self._places:
                return False
            key, place = next(iter(self._places.items()))
            if place.asked:
                place.asked = False
                del self._places[key]
                self._places[key] = place
            else:
                self._forget(key, place)
        return False

    def _forget(self, key: Key, place: _Place) -> None:
        self._settle(place)
        del self._places[key]
        self._account(-place.size)

    def _account(self, size: int) -> None:
        self.bytes += size
        self._lend(size)


def _call_later(after_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(after_s, call)
