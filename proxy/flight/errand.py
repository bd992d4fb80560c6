"""The words of flights: their bounds, what they are sent to do, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from proxy.model.decision import HeadVerdict, Why
from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import BrokenReply
from proxy.model.message import Arrival, Head, Request
from proxy.model.outcome import Kept, Outcome, Verdict
from proxy.model.query import Form, Refusal


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of time (seconds), size (bytes) and number."""

    wait_timeout: float = 90.0
    stall_timeout: float = 120.0
    flights: int = 10_000
    followers: int = 10_000  # in one flight
    flight_bytes: int = 16 * 2**20  # a longer log becomes a window
    total_bytes: int = 256 * 2**20  # of all logs
    window_bytes: int = 1 * 2**20  # kept for those behind once the log is a window
    orphan_grace: float = 1.0
    orphan_budget: float = 30.0
    orphans: int = 32
    hit_for_miss_ttl: float = 120.0
    hit_for_miss_keys: int = 10_000
    elections: int = 1  # further attempts when no connection could be made
    refreshes: int = 16  # in the background at once

    def __post_init__(self) -> None:
        if self.wait_timeout > self.stall_timeout:
            raise ValueError(
                "wait_timeout must not exceed stall_timeout: followers of a flight that "
                "is given up for stalled would each ask alone"
            )


class Errand(Protocol):
    """What a flight is sent to do; written by whoever sends it."""

    @property
    def key(self) -> CacheKey: ...

    @property
    def request(self) -> Request:
        """The request that it is sent for."""
        ...

    def asking_as(self, request: Request) -> Errand:
        """The same errand, sent for ``request``."""
        ...

    @property
    def asked(self) -> Form:
        """The form asked of the upstream."""
        ...

    @property
    def generation(self) -> int:
        """Counted up by every purge; flights of different generations do not mix."""
        ...

    @property
    def edition(self) -> int:
        """Counted up by every change of the settings; nor do flights of different editions."""
        ...

    async def look(self) -> Entry | None:
        """A last look for a usable entry, landed since it was missed. Raises nothing."""
        ...

    async def search(self) -> Entry | None:
        """As ``look``, wherever entries are kept: one may have landed elsewhere."""
        ...

    async def ask(self) -> Arrival:
        """Ask the upstream. Raises UpstreamError."""
        ...

    def weigh(self, arrival: Arrival) -> tuple[HeadVerdict, Form | None]:
        """Who may have what is arriving, and in which form it comes."""
        ...

    def telling(self, head: Head) -> Head:
        """What another replica may have of ``head``, and needs of it to keep the answer."""
        ...

    def seal(self, head: Head, body: bytes, form: Form, upstream_s: float) -> Entry | Refusal:
        """The entry to store, or why there is none."""
        ...

    async def keep(self, entry: Entry) -> bool:
        """Store it where that takes no waiting, if anywhere; whether it was taken. Raises nothing.

        Whoever asks from now on finds it, in this process.
        """
        ...

    async def hand_on(self) -> None:
        """Store what ``keep`` has taken wherever else it belongs. Raises nothing.

        To be called after ``keep``, whatever happens: once who waits has been told.
        """
        ...


@dataclass(frozen=True, slots=True)
class Boarded:
    """A shared answer is coming."""

    head: Head
    form: Form | None
    length: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """The last look found an entry: nothing was asked."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Handed:
    """The answer is nobody else's business; it is the first seat's to read and to close."""

    arrival: Arrival
    why: Why


@dataclass(frozen=True, slots=True)
class Released:
    """Ask for yourself, and do not store."""

    why: Why


Boarding = Boarded | Found | Handed | Released


@dataclass(frozen=True, slots=True)
class Landed:
    """The body is whole. ``entry`` was made of it unless ``why`` says why not."""

    body: bytes
    entry: Entry | None
    stored: bool
    why: Why

    @property
    def renewed(self) -> bool:
        """Whether an answer was stored; an error, even one that is kept for a moment, is none."""
        return self.stored and not self._negative

    @property
    def detail(self) -> str:
        """What is to be told of its storing, beyond whether it was stored."""
        if not self.stored:
            return self.why
        return Why.NEGATIVE if self._negative else ""

    def told(self, outcome: Outcome, ttl_s: float | None = None) -> Outcome:
        """``outcome`` of who heard it, with what became of the answer.

        Args:
            ttl_s: for how long it is fresh, where that is to be told.
        """
        entry, detail = self.entry, self.detail
        if entry is None:
            return outcome._replace(stored=self.stored, detail=detail, ttl_s=ttl_s)
        # One replacement for all: each makes a record of some forty fields anew.
        return outcome._replace(
            stored=self.stored,
            detail=detail,
            ttl_s=ttl_s,
            usage=entry.usage,
            spared_s=entry.upstream_s if outcome.verdict is Verdict.COALESCED else 0.0,
            kept=Kept(
                entry.stored_size, entry.lifetime, entry.head, entry.upstream_s, entry.negative
            ),
        )

    @property
    def _negative(self) -> bool:
        return self.entry is not None and self.entry.negative


class Lagged(BrokenReply):
    """A reader was too slow for a flight that others are on."""


class Counts:
    """What flights did, as plain integers."""

    __slots__ = (
        "aged", "broken", "cancelled_orphans", "crowded", "elected", "given_up",
        "hit_for_miss", "joined_after_head", "joined_before_head", "kept_orphans", "laggards",
        "landed", "refreshes", "refreshes_dropped", "refreshes_failed", "started", "stored",
        "wait_timeouts",
    )  # fmt: skip

    def __init__(self) -> None:
        self.started = self.landed = self.stored = self.broken = 0
        self.joined_before_head = self.joined_after_head = 0
        self.given_up = self.hit_for_miss = self.elected = self.crowded = 0
        self.wait_timeouts = self.aged = self.laggards = 0
        self.cancelled_orphans = self.kept_orphans = 0
        self.refreshes = self.refreshes_dropped = self.refreshes_failed = 0
