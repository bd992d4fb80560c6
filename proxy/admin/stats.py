"""``GET /stats`` and ``GET /stats/history``: what became of requests, now and lately."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import Field

from proxy.admin.endpoint import Call, Endpoint, Nothing, Said, Shown, Told, endpoint, plain


class Latency(Shown):
    """How long something took, as far as a histogram tells."""

    count: int
    mean_s: float | None
    p50_s: float | None
    p90_s: float | None
    p99_s: float | None


class Extremes(Latency):
    """The same, with the longest."""

    max_s: float | None


class OutcomeLatency(Extremes):
    """That of requests with one outcome, from the head of the request to the end of the reply."""

    what: str


class StageLatency(Latency):
    """That of one stage of such requests."""

    outcome: str
    stage: str = Field(description="read, key, lookup, meaning, flight or deliver.")


class Requests(Shown):
    """Requests that are over, by outcome."""

    total: int
    hit: int
    stale: int
    coalesced: int
    miss: int
    bypass: int
    degraded: int
    error: int
    shed: int = Field(description="Connections that were turned away.")


class Group(Shown):
    """Requests that are alike."""

    outcome: str
    reason: str
    dialect: str | None
    tier: str | None
    requests: int
    bytes: int
    seconds: float


class Spent(Shown):
    """Calls of backends, and what is known of their cost."""

    calls: int
    input_tokens: int
    output_tokens: int
    money: float


class SavedOfModel(Spent):
    """Calls that were spared."""

    seconds: float = Field(description="That the backends would have taken.")


class Saved(SavedOfModel):
    """The same, of all models."""

    currency: str
    unpriced: list[str] = Field(description="Models with tokens to count, and no price.")


class Model(Shown):
    """Requests for one model."""

    model: str
    requests: int
    hits: int
    saved: SavedOfModel
    spent: Spent


class Calls(Shown):
    """Calls of all backends."""

    in_flight: int
    queued: int = Field(description="That wait for others to end.")
    limit: int = Field(description="That may be under way.")
    shed: dict[str, int] = Field(description="Not made, by why.")


class Express(Shown):
    """Requests answered by their bytes alone, which were answered before."""

    hits: int = Field(description="They are among the hits of `requests`.")
    entries: int = Field(description="Answers at hand for them.")
    bytes: int = Field(description="That these take up.")
    max_bytes: int = Field(description="That they may.")


class Process(Shown):
    """What the process takes up."""

    rss_bytes: int | None
    cpu_s: float
    open_fds: int | None


class Splits(Shown):
    """A request header that splits the cache."""

    header: str
    values: int = Field(description="Different ones, up to 1000.")
    bodies: int = Field(description="Questions that were asked with more than one.")


class Stats(Shown):
    """All of it, since the process was started."""

    version: str
    python: str
    pseudonym: str
    replica: str
    pid: int
    generation: int = Field(description="Of the settings.")
    started_at: str
    now: str
    uptime_s: float
    received: int = Field(description="Requests that came; those under way are not over yet.")
    requests: Requests
    hit_ratio: float | None = Field(description="Of what could be answered from the cache.")
    hit_ratio_recent: float | None = Field(description="The same, of the last five minutes.")
    by: list[Group]
    latency: list[OutcomeLatency]
    stages: list[StageLatency]
    saved: Saved
    spent: Spent
    models: list[Model]
    flights: dict[str, int]
    calls: Calls
    clients: dict[str, int]
    express: Express
    loop_lag: Extremes
    process: Process
    compression: dict[str, int]
    batching: dict[str, int]
    splitters: list[Splits]


class Point(Shown):
    """What happened in a while."""

    at: str = Field(description="Its beginning.")
    requests: int
    hit: int
    stale: int
    coalesced: int
    miss: int
    bypass: int
    degraded: int
    error: int
    shed: int
    saved_input_tokens: int
    saved_output_tokens: int
    saved_money: float
    saved_s: float
    p50_s: float | None
    p99_s: float | None
    upstream_p50_s: float | None
    bytes: int
    tiers: dict[str, int] = Field(description="Answers by the tier they came from.")


class History(Shown):
    """Points in time, the one that is going on last."""

    step_s: int
    points: list[Point]


class Span(Said):
    """How far back."""

    span: Literal["15m", "1h", "6h", "24h"] = Field(
        default="1h", description="In steps of 10 seconds, 10 seconds, a minute, five minutes."
    )


class Statistics:
    """Answers both.

    Args:
        told: all there is to tell, as ``Stats`` has it.
        history: the points of a span, as ``History`` has them.
    """

    def __init__(
        self,
        told: Callable[[], Mapping[str, object]],
        history: Callable[[str], Mapping[str, object]],
    ) -> None:
        self._told = told
        self._history = history

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Both."""
        return (
            plain("/stats", self._stats, "What became of requests", {200: Stats}),
            endpoint(
                "GET", "/stats/history", self._lately, query=Span, body=Nothing,
                summary="What became of them lately", answers={200: History},
            ),
        )  # fmt: skip

    async def _stats(self, _asked: Call[Nothing, Nothing]) -> Told:
        return Told(Stats.model_validate(self._told()))

    async def _lately(self, asked: Call[Span, Nothing]) -> Told:
        return Told(History.model_validate(self._history(asked.query.span)))
