"""Decisions and their reasons: a request is never just "not cached"."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from proxy.model.entry import Entry


class Why(StrEnum):
    """The one reason for a decision; a bounded set, fit for labels and headers."""

    # hits
    FRESH = "fresh"
    SWR = "swr"  # stale, a refresh is on its way
    SIE = "sie"  # stale, the upstream fails
    MAX_STALE = "max-stale"  # stale, and the caller said that will do
    REFRESH_AHEAD = "refresh-ahead"  # fresh, and renewed before it ends
    VALIDATED = "validated"  # stale, and the backend said that it is still right
    # hits on the answer to the question in other words
    CANONICAL = "canonical"  # but for case, politeness, contractions and the like, the same
    TYPO = "typo"  # the same but for a slip of the keyboard
    SEMANTIC = "semantic"  # near in meaning, and nothing speaks against it
    # what the upstream's failure is answered with
    STANDBY = "standby"  # another backend's answer
    DOCUMENTS = "documents"  # what a search found, without an answer made of it
    MESSAGE = "message"  # the operator's text
    # misses
    UNSEEN = "uri-miss"
    EXPIRED = "expired"
    NO_CACHE = "no-cache"
    MAX_AGE = "max-age"
    MIN_FRESH = "min-fresh"
    VARY_MISS = "vary-miss"  # stored, but as an answer to other request headers
    FORM = "form"  # stored in a shape that cannot become the one asked for
    HIT_FOR_MISS = "hit-for-miss"
    # misses: what became of the flight
    JOINED = "joined"
    GIVE_UP = "give-up"
    WAIT_TIMEOUT = "wait-timeout"
    CROWDED = "crowded"  # a bound on flights or followers was reached
    # bypasses
    ROUTE = "route"
    METHOD = "method"
    UPGRADE = "upgrade"
    DISABLED = "disabled"
    TOO_LARGE = "too-large"
    UNKEYABLE = "unkeyable"
    NOT_UNDERSTOOD = "not-understood"  # the body is not of this dialect
    NO_STORE = "no-store"
    STATEFUL = "stateful"
    HOSTED_TOOLS = "hosted-tools"  # the backend itself may search, run code, or call a server
    VERSION = "version"  # that of the knowledge base, which counts, was never read
    TEMPERATURE = "temperature"
    TIME_SENSITIVE = "time-sensitive"  # the question is about now
    INDIVISIBLE = "indivisible"  # of several inputs that could not be answered one by one
    # why an answer was not kept or not shared
    STATUS = "status"
    MEDIA_TYPE = "media-type"
    ENCODED = "encoded"
    PRIVATE = "private"
    SET_COOKIE = "set-cookie"
    VARY = "vary"
    INCOMPLETE = "incomplete"
    TRUNCATED = "truncated"  # finish_reason length or content_filter
    EMPTY = "empty"
    ERROR_IN_BODY = "error-in-body"
    TOOL_CALLS = "tool-calls"
    SUPERSEDED = "superseded"  # a newer flight or a purge covers this one
    UNCACHEABLE = "uncacheable"
    TAGS = "tags"  # more labels to purge it by than an entry can have
    NEGATIVE = "negative"  # kept, but for a moment only: an error, or an empty result
    FIRST_SIGHTING = "first-sighting"  # only what is asked again is stored
    # errors of our own
    ONLY_IF_CACHED = "only-if-cached"
    UPSTREAM_ERROR = "upstream-error"
    OVERLOAD = "overload"  # as many calls are under way as may be
    SHARE = "caller-share"  # the caller has as many under way as it may while others ask
    BAD_REQUEST = "bad-request"
    LOOP = "loop"
    DRAINING = "draining"  # about to stop, and time was up
    INTERNAL = "internal"  # a bug of ours
    CLIENT_GONE = "client-gone"  # before anything was decided
    WORKER_LOST = "worker-lost"  # it was under way in a process that died


_STALE = frozenset({Why.SWR, Why.SIE, Why.MAX_STALE})


class Hit(NamedTuple):
    """Answer with ``entry``; ``why`` says what makes it good enough."""

    entry: Entry
    why: Why
    tier: str

    @property
    def stale(self) -> bool:
        """Whether the entry is past its lifetime."""
        return self.why in _STALE


class Miss(NamedTuple):
    """Ask the upstream; ``fallback`` may be served should it fail (stale-if-error)."""

    why: Why
    fallback: Entry | None = None
    tier: str = ""


@dataclass(frozen=True, slots=True)
class Bypass:
    """Not the cache's business; pass it on untouched."""

    why: Why
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """A response head that all who wait may have; ``storable`` if it may be kept too."""

    storable: bool
    why: Why = Why.FRESH  # why not storable


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A response head only for the one who asked first; the others ask for themselves."""

    why: Why


HeadVerdict = Share | GiveUp
