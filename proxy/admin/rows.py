"""Entries, as the operator is told of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import Field

from proxy.admin.endpoint import Shown
from proxy.explaining.sentences import tellable
from proxy.model.entry import Entry
from proxy.tiers.browsing import Seen


class State(StrEnum):
    """What an entry is good for."""

    FRESH = "fresh"
    STALE = "stale"
    NEGATIVE = "negative"  # an error or an empty answer, kept for a moment


class Row(Shown):
    """An entry in one tier."""

    key: str = Field(description="64 hexadecimal digits.")
    tier: str
    scope: str = Field(description="Whose it is: a keyed hash, `anon` or `shared`.")
    dialect: str
    model: str
    path: str
    status: int
    state: State
    stored_at: str
    age_s: float
    ttl_s: float = Field(description="Seconds of freshness left; negative when stale.")
    size_bytes: int
    tags: list[str]
    uses: int | None = Field(description="Hits that speak for its staying in memory, at most 3.")
    negative: bool
    input_tokens: int | None
    output_tokens: int | None
    upstream_s: float = Field(description="Seconds the backend took.")
    worker: int | None = Field(
        default=None, description="In whose memory, where several workers serve."
    )
    question: str | None = Field(
        description="What was asked; only with `admin.show_content`, and where it is stored."
    )


class Rows:
    """Makes rows.

    Args:
        clock: seconds on the clock of ``Entry.stored_at``.
        wall: seconds since 1970.
        show_content: whether questions and answers may be told.
    """

    def __init__(
        self, clock: Callable[[], float], wall: Callable[[], float], *, show_content: bool
    ) -> None:
        self._clock = clock
        self._wall = wall
        self.show_content = show_content

    def row(self, tier: str, seen: Seen) -> Row:
        """What is told of an entry that was seen in a tier."""
        entry, usage, now = seen.entry, seen.entry.usage, self._clock()
        return Row(
            key=entry.key.digest.hex(),
            tier=tier,
            scope=tellable(entry.key.scope),
            dialect=tellable(entry.dialect),
            model=tellable(entry.model),
            path=tellable(entry.path),
            status=entry.head.status,
            state=self.state(entry),
            stored_at=moment(self._wall() - (now - entry.stored_at)),
            age_s=round(entry.age(now), 3),
            ttl_s=round(entry.ttl_left(now), 3),
            size_bytes=entry.stored_size,
            tags=[tellable(tag) for tag in entry.tags],
            uses=seen.uses,
            negative=entry.negative,
            input_tokens=None if usage is None else usage.prompt_tokens,
            output_tokens=None if usage is None else usage.completion_tokens,
            upstream_s=round(entry.upstream_s, 6),
            question=self.question(entry),
        )

    def state(self, entry: Entry) -> State:
        """What ``entry`` is good for now."""
        if entry.negative:
            return State.NEGATIVE
        return State.FRESH if entry.ttl_left(self._clock()) > 0 else State.STALE

    def question(self, entry: Entry) -> str | None:
        """What was asked, where that may be told and is known."""
        if not self.show_content or entry.wording is None:
            return None
        return tellable(entry.wording.text)


def moment(wall: float) -> str:
    """A time in seconds since 1970 as RFC 3339 has it, in UTC."""
    at = datetime.fromtimestamp(max(0.0, wall), UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
