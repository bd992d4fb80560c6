"""The one record of a request; header, log line, metric and span all render it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from proxy.model.decision import Why
from proxy.model.entry import CacheKey, Lifetime
from proxy.model.meaning import Doubt, Measured
from proxy.model.message import Head, Request
from proxy.model.query import Controls, Usage


class Verdict(StrEnum):
    """What the cache did, in one word (the ``X-Cache`` header)."""

    HIT = "HIT"
    STALE = "STALE"
    MISS = "MISS"
    COALESCED = "COALESCED"
    BYPASS = "BYPASS"
    DEGRADED = "DEGRADED"  # the upstream fails, and something else is said
    ERROR = "ERROR"


OUTCOMES: Final = (
    "hit", "stale", "coalesced", "miss", "bypass", "degraded", "error", "shed",
)  # fmt: skip
"""What requests come to, as it is counted: the verdicts, and what was turned away at the door."""

SERVED: Final = OUTCOMES[:3]
"""Those of them that spare the backend."""


class Fwd(StrEnum):
    """Why a request went on to the upstream (RFC 9211, section 2.2)."""

    BYPASS = "bypass"
    METHOD = "method"
    URI_MISS = "uri-miss"
    VARY_MISS = "vary-miss"
    MISS = "miss"
    REQUEST = "request"
    STALE = "stale"
    PARTIAL = "partial"


FWD_OF: Final = {
    Why.UNSEEN: Fwd.URI_MISS,
    Why.EXPIRED: Fwd.STALE,
    Why.NO_CACHE: Fwd.REQUEST,
    Why.MAX_AGE: Fwd.REQUEST,
    Why.MIN_FRESH: Fwd.REQUEST,
}
"""What a miss for a reason is called."""


class Stages(NamedTuple):
    """Where the time went before the head of a reply, in seconds; 0 for what did not happen."""

    read: float = 0.0  # the request's body came
    key: float = 0.0  # it was understood, and its key made
    lookup: float = 0.0  # the tiers were asked
    meaning: float = 0.0  # the answer to the question in other words was looked for
    flight: float = 0.0  # the backend's head was waited for, whoever asked


STAGES: Final = (*Stages._fields, "deliver")
"""Where the time of a request goes, to its end."""


class Laps:
    """When a request passed which station, in seconds on the proxy's clock; 0: not at all.

    Written by the life of the request alone, as it goes; whole once the head goes out. Marks, not
    durations: a hit has no time to subtract.
    """

    __slots__ = ("began", "came", "looked", "read", "sought")

    def __init__(self, began: float) -> None:
        self.began = began
        self.came = 0.0  # its body
        self.read = 0.0  # it was understood
        self.looked = 0.0  # the tiers had been asked
        self.sought = 0.0  # meaning had been asked


class Kept(NamedTuple):
    """What was made of the backend's answer to be stored, less the answer."""

    size: int  # bytes it is accounted for
    lifetime: Lifetime
    head: Head
    upstream_s: float  # seconds the backend took for all of it
    negative: bool = False  # an error or an empty result


class Nearest(NamedTuple):
    """The entry that came nearest to answering a question in other words."""

    key: CacheKey
    score: float  # the similarity of the questions
    unopposed: bool  # nothing but the threshold could speak against it


class Outcome(NamedTuple):
    """What was decided about one request, known when its head goes out."""

    verdict: Verdict
    why: Why
    dialect: str = ""
    model: str = ""
    tier: str = ""
    key: CacheKey | None = None
    fwd: Fwd | None = None
    fwd_status: int | None = None
    age_s: float | None = None
    ttl_s: float | None = None  # seconds of freshness left; negative when stale
    stored: bool | None = None  # None: not known yet
    collapsed: bool | None = None  # True: joined another's flight; False: tried, had to fetch
    detail: str = ""  # one word more: a Why, or the kind of an error; never what a client said
    upstream_s: float | None = None  # seconds until the upstream's head was here
    doubt: Doubt | None = None  # why no answer to the question in other words was served
    similarity: float | None = None  # of the question that was answered, where it is another
    measured: Measured | None = None  # how often such hits are wrong
    variant: int = 0  # which of several answers chance drew, counted from 1; 0: there is one
    compressed: int = 0  # tokens that a shorter prompt saved, about
    match: str = ""  # names this serving, so that it can be called wrong
    laps: Laps | None = None  # None: it was not for the cache
    usage: Usage | None = None  # tokens of the answer; known once it is whole
    known: Usage | None = None  # of these, those of parts that were stored, where others were not
    spared_s: float = 0.0  # seconds the backend would have taken, had it been asked
    leader: str = ""  # the trace context of who asked the backend, where another was heard
    controls: Controls | None = None  # what the caller asked of the cache; None: it was not asked
    about_now: bool = False  # the question is, so its answer is kept for less
    terms_ttl_s: float = 0.0  # for how long its answer is kept by the settings alone; a miss only
    parts: int = 0  # inputs that were looked for each by itself; 0: it was not divided
    nearest: Nearest | None = None  # None: nothing was near, or nobody looked
    kept: Kept | None = None  # None: nothing was made to be stored

    @property
    def stages(self) -> Stages:
        """Where the time went."""
        laps, flight_s = self.laps, self.upstream_s or 0.0
        if laps is None:
            return Stages(flight=flight_s)
        read, looked, sought = laps.read or laps.came, laps.looked, laps.sought
        return Stages(
            laps.came - laps.began,
            read - laps.came,
            looked - read if looked else 0.0,
            sought - looked if sought else 0.0,
            flight_s,
        )


class Repeats(Protocol):
    """What gives a reply again."""

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory, about."""
        ...

    def reply(self, peer: str, asked: Callable[[], Request] | None = None) -> Reply | None:
        """The reply to the same request from ``peer``, as of now; None: it is to be asked anew.

        As long as nothing in it changes it is the same object.

        Args:
            asked: the request, where it differs from the first in what no answer depends on: should
                the backend be asked, it is in the words, and for the account, of who asks now.
        """
        ...


class Reply(NamedTuple):
    """What goes downstream. Headers are final but for framing and connection management."""

    head: Head
    body: bytes | AsyncIterator[bytes]
    length: int | None  # bytes to declare; None: not known, chunked
    outcome: Outcome
    close: bool = False  # end the connection afterwards
    final: Callable[[Outcome], Outcome] | None = None  # the outcome, once the body has been sent
    again: Repeats | None = None  # answers the very same request another time


class Delivery(NamedTuple):
    """How the reply reached the client."""

    status: int
    sent: int  # body bytes handed to the socket
    complete: bool
    duration_s: float
    error: str = ""  # the class of what ended it early


class Record(NamedTuple):
    """Everything known about a request once it is over."""

    request: Request
    outcome: Outcome
    delivery: Delivery
