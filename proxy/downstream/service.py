"""What every connection of a server shares: whom to ask, whom to tell, and what was counted."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.downstream.body import NO_BODY
from proxy.downstream.limits import Limits
from proxy.downstream.request import Origin
from proxy.downstream.respond import Line
from proxy.model.decision import Why
from proxy.model.message import Duplex, Headers, Request
from proxy.model.outcome import Delivery, Outcome, Record, Reply, Verdict
from proxy.wire.head import write_head
from proxy.wire.problem import problem

if TYPE_CHECKING:
    from proxy.downstream.express import Express  # which knows this

Answer = Callable[[Request], Awaitable[Reply]]
Tunnel = Callable[[Request], Awaitable[Duplex | Reply]]
Recorder = Callable[[Record], None]

log = logging.getLogger("sidecache.downstream")


class Counts:
    """What happened on the clients' side, as plain integers."""

    __slots__ = (
        "accepted", "bugs", "hang_ups", "malformed", "open", "received", "refused", "requests",
        "stalled", "timeouts", "too_long", "tunnels", "turned_away",
    )  # fmt: skip

    def __init__(self) -> None:
        self.open = 0  # connections, now
        self.accepted = 0  # connections
        self.turned_away = 0  # connections beyond the bound
        self.received = 0  # requests that came, whatever became of them; connections turned away
        self.timeouts = 0  # connections closed over a head that did not come
        self.too_long = 0  # connections closed over a head that did not end
        self.requests = 0  # that were answered or tunnelled
        self.tunnels = 0  # requests that switched protocols
        self.malformed = 0  # what the parser would not have
        self.refused = 0  # requests that were parsed, but must not be answered
        self.hang_ups = 0  # clients that left before their reply was whole
        self.stalled = 0  # clients cut off because they did not read
        self.bugs = 0  # exceptions nobody foresaw


class DateLine:
    """The ``Date`` field as a line, made anew once a second (RFC 9110, section 6.6.1).

    Args:
        clock: seconds since the epoch.
    """

    __slots__ = ("_clock", "_second", "_text")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._second = -1
        self._text = ""

    def __call__(self) -> str:
        now = int(self._clock())
        if now != self._second:
            self._second = now
            self._text = f"Date: {formatdate(now, usegmt=True)}\r\n"
        return self._text


@dataclass(slots=True, eq=False)
class Attending:
    """Who answers requests, and within which bounds. Another may take its place at any time.

    A request stays to its end with the one that attends when its head has come.

    Args:
        answer: the life of a request. May raise RequestError and UpstreamError; anything else is a
            bug: the client gets 500, and it is logged and counted.
        tunnel: the same for requests to switch protocols; a Duplex is spliced with the client.
        limits: the bounds of clients.
        pseudonym: how the proxy calls itself in its own errors.
        ignores: whether no answer depends on a header field, by its name in lower case.
    """

    answer: Answer
    tunnel: Tunnel
    limits: Limits
    pseudonym: str = "sidecache"
    ignores: Callable[[str], bool] = lambda _: False
    under_way: int = 0  # requests that are with it


class LastWord(NamedTuple):
    """What is said to a client whose request nobody could make sense of; the connection ends."""

    status: int
    code: str
    detail: str


TOO_LONG: Final = LastWord(431, "http_request_error", "The head of the request is too long.")
TOO_SLOW: Final = LastWord(408, "http_request_error", "The head of the request came too slowly.")
OVERLOAD: Final = LastWord(503, "overload", "This proxy has too many connections.")
LEAVING: Final = LastWord(503, "draining", "This proxy is about to stop. Ask again.")
"""What a request is told whose time is up before its reply has begun."""


@dataclass(slots=True)
class Service:
    """What connections share; the ``Server`` that makes it says what its parts are."""

    attending: Attending
    record: Recorder
    date: DateLine
    counts: Counts = field(default_factory=Counts)
    draining: bool = False  # every reply is the last on its connection
    closing: bool = False  # and connections without a request are closed
    patience_s: float = 0.0  # after so long
    limits: Limits = field(init=False)  # those of who attends; often looked at
    express: Express | None = None

    def __post_init__(self) -> None:
        self.attend(self.attending)

    def attend(self, attending: Attending) -> None:
        """Have ``attending`` answer from now on."""
        self.attending, self.limits = attending, attending.limits
        if self.express is not None:
            self.express.clear()

    @property
    def idle_s(self) -> float:
        """How long a connection may be without a request, in seconds."""
        idle_s = self.limits.idle_s
        return min(self.patience_s, idle_s) if self.closing else idle_s

    def close(self, patience_s: float) -> None:
        """Have connections closed that are without a request for ``patience_s`` seconds."""
        self.draining = self.closing = True
        self.patience_s = patience_s

    def last_word(self, status: int, code: str, detail: str) -> bytes:
        """A response to no request in particular, after which the connection ends."""
        head, body = problem(status, code, detail, pseudonym=self.attending.pseudonym)
        framing = f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            framing += "Retry-After: 1\r\n"
        return write_head(head, framing, self.date()) + body

    def part(self, line: Line, origin: Origin, word: LastWord, *, told: bool) -> None:
        """Say the last ``word`` to a client, and record it if ``told``.

        Raises:
            ConnectionError: the client has gone; that is recorded too.
        """
        said, sent = self.last_word(*word), 0
        try:
            line.write(said)
            sent = len(said)
        finally:
            if told:
                request = Request("-", "-", "", Headers(()), NO_BODY, origin.peer, origin.scheme)
                outcome = Outcome(Verdict.ERROR, Why.BAD_REQUEST, detail=word.code)
                error = "" if sent else "ClientGone"
                delivery = Delivery(word.status, sent, bool(sent), 0.0, error)
                self.settle(Record(request, outcome, delivery))

    def settle(self, record: Record) -> None:
        """Hand ``record`` on; whatever goes wrong there is no concern of the client's."""
        try:
            self.record(record)
        except Exception as error:  # noqa: BLE001 - recording must never fail a request
            self.bug("recording", error)

    def bug(self, where: str, error: BaseException) -> None:
        """Count and log what should not have happened, without the text of ``error``.

        Exceptions tend to quote the value they choked on, which here may be a prompt or a secret.
        """
        self.counts.bugs += 1
        trail = "".join(traceback.format_tb(error.__traceback__))
        log.error("%s failed: %s\n%s", where, type(error).__name__, trail)
