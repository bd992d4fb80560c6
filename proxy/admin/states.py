"""``GET /tiers`` and ``GET /upstreams``: how the tiers and the backends fare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import Field

from proxy.admin.endpoint import Call, Endpoint, Nothing, Shown, Told, plain
from proxy.admin.stats import Extremes


class Operation(Shown):
    """How often a tier was asked something, and what came of it."""

    operation: str
    result: str
    count: int


class OperationLatency(Extremes):
    """How long that took."""

    operation: str


class Tier(Shown):
    """A place where entries are kept."""

    tier: str
    state: Literal["up", "down", "distrusted", "off"]
    trusted: bool = Field(description="Whether all purges that may cover what it holds are known.")
    entries: int | None
    bytes: int | None
    max_bytes: int | None
    operations: list[Operation]
    latency: list[OperationLatency]
    removed: dict[str, int]
    detail: dict[str, int | float | str | None]


class Guard(Shown):
    """What spares looks into the disk tier."""

    fill_ratio: float | None = Field(description="null: it answers nothing now.")
    lookups: int
    saved: int
    false_positives: int


class Journal(Shown):
    """The purges so far."""

    generation: int
    untold: int = Field(description="Purges that others do not know of yet.")


class Tiers(Shown):
    """The tiers, nearest first."""

    tiers: list[Tier]
    order: list[str]
    guard: Guard | None
    journal: Journal


class Breaker(Shown):
    """Whether a backend is left alone."""

    enabled: bool
    state: Literal["closed", "open"]
    refused: int = Field(description="Requests that were not sent, as it was left alone.")


class Upstream(Shown):
    """A backend."""

    upstream: str
    url: str
    prefix: str | None
    standby: bool
    breaker: Breaker
    in_use: int
    max_connections: int
    stale_retries: int
    responses: dict[str, int] = Field(description="By class of status.")
    errors: dict[str, int] = Field(description="By the error types of RFC 9209.")
    latency: Extremes = Field(description="To the head of the response.")


class Upstreams(Shown):
    """All backends."""

    upstreams: list[Upstream]


class States:
    """Answers both.

    Args:
        tiers: as ``Tiers`` has it.
        upstreams: as ``Upstreams`` has it.
    """

    def __init__(
        self,
        tiers: Callable[[], Mapping[str, object]],
        upstreams: Callable[[], Mapping[str, object]],
    ) -> None:
        self._tiers = tiers
        self._upstreams = upstreams

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Both."""
        return (
            plain("/tiers", self._tell_tiers, "How the tiers fare", {200: Tiers}),
            plain("/upstreams", self._tell_upstreams, "How the backends fare", {200: Upstreams}),
        )

    async def _tell_tiers(self, _asked: Call[Nothing, Nothing]) -> Told:
        return Told(Tiers.model_validate(self._tiers()))

    async def _tell_upstreams(self, _asked: Call[Nothing, Nothing]) -> Told:
        return Told(Upstreams.model_validate(self._upstreams()))
