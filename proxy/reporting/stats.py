"""What GET /stats and its history tell, as far as a report needs it; read leniently.

A report may be made elsewhere, later, and by another version than the proxy it is about. So what
is not known is ignored, and what is missing is nought or unknown.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from proxy.model.outcome import OUTCOMES


def _nought(value: object) -> object:
    return 0 if value is None else value


def _absent(value: object) -> object:
    return "" if value is None else value


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


Count = Annotated[int, BeforeValidator(_nought), Field(ge=0)]
Amount = Annotated[float, BeforeValidator(_nought)]
Text = Annotated[str, BeforeValidator(_absent)]
Moment = Annotated[datetime, AfterValidator(_aware)]


class Part(BaseModel):
    """A piece of what is told."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Requests(Part):
    """How many requests came to which end."""

    total: Count = 0
    hit: Count = 0
    stale: Count = 0
    coalesced: Count = 0
    miss: Count = 0
    bypass: Count = 0
    degraded: Count = 0
    error: Count = 0
    shed: Count = 0

    @property
    def ended(self) -> int:
        """All that came to an end."""
        return sum(self.by_outcome().values())

    @property
    def spared(self) -> int:
        """Those that the backend was not asked for."""
        return self.hit + self.stale + self.coalesced

    def by_outcome(self) -> dict[str, int]:
        """How many of each."""
        return {name: getattr(self, name) for name in OUTCOMES}


class By(Part):
    """Requests that ended alike."""

    outcome: Text = ""
    reason: Text = ""
    dialect: Text = ""
    tier: Text = ""
    requests: Count = 0


class Spread(Part):
    """How long something took, in seconds."""

    count: Count = 0
    mean_s: float | None = None
    p50_s: float | None = None
    p90_s: float | None = None
    p99_s: float | None = None

    @property
    def total_s(self) -> float:
        """All of it together."""
        return self.count * (self.mean_s or 0.0)


class Latency(Spread):
    """From the first byte of a request to the last of its reply."""

    what: Text = ""


class Stage(Spread):
    """One stage of the requests of one outcome."""

    outcome: Text = ""
    stage: Text = ""


class Spent(Part):
    """What was paid to the backend."""

    calls: Count = 0
    input_tokens: Count = 0
    output_tokens: Count = 0
    money: float | None = None


class Saved(Spent):
    """What was not."""

    currency: Text = ""
    seconds: Amount = 0.0
    unpriced: tuple[str, ...] = ()


class Model(Part):
    """One model's share of it."""

    model: Text = ""
    requests: Count = 0
    hits: Count = 0
    saved: Saved = Saved()
    spent: Spent = Spent()


class Flights(Part):
    """Calls to the backend, and who shared them."""

    in_progress: Count = 0
    started: Count = 0
    landed: Count = 0
    broken: Count = 0
    given_up: Count = 0


class Clients(Part):
    """Their connections."""

    open: Count = 0
    accepted: Count = 0
    malformed: Count = 0
    hang_ups: Count = 0


class Lag(Part):
    """How late the event loop was, in seconds."""

    p50_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None


class Process(Part):
    """What it takes up."""

    rss_bytes: int | None = None
    cpu_s: float | None = None
    open_fds: int | None = None


class Splitter(Part):
    """A header with many values before one body."""

    header: Text = ""
    values: Count = 0
    bodies: Count = 0


class Stats(Part):
    """GET /stats."""

    version: Text = ""
    python: Text = ""
    pseudonym: Text = ""
    replica: Text = ""
    pid: int | None = None
    generation: Count = 0
    started_at: Moment | None = None
    now: Moment | None = None
    uptime_s: Amount = 0.0
    received: int | None = None  # those under way among them
    requests: Requests
    hit_ratio: float | None = None
    hit_ratio_recent: float | None = None
    by: tuple[By, ...] = ()
    latency: tuple[Latency, ...] = ()
    stages: tuple[Stage, ...] = ()
    saved: Saved = Saved()
    spent: Spent = Spent()
    models: tuple[Model, ...] = ()
    flights: Flights = Flights()
    clients: Clients = Clients()
    loop_lag: Lag = Lag()
    process: Process = Process()
    splitters: tuple[Splitter, ...] = ()

    def took(self, what: str) -> Latency | None:
        """How long requests of an outcome took; None: there were none."""
        return next((each for each in self.latency if each.what == what and each.count), None)

    def stage(self, outcome: str, stage: str) -> Stage | None:
        """One stage of one outcome; None: it did not happen."""
        return next(
            (s for s in self.stages if (s.outcome, s.stage) == (outcome, stage) and s.count), None
        )

    def ended(self, *outcomes: str) -> dict[str, int]:
        """How many requests of these outcomes ended for which reason, the most first."""
        counted: dict[str, int] = {}
        for each in self.by:
            if each.outcome in outcomes and each.requests:
                counted[each.reason] = counted.get(each.reason, 0) + each.requests
        return dict(sorted(counted.items(), key=lambda pair: -pair[1]))


class Point(Requests):
    """One step of the history."""

    at: Moment
    total: Count = Field(default=0, alias="requests")
    saved_input_tokens: Count = 0
    saved_output_tokens: Count = 0
    saved_money: float | None = None
    saved_s: Amount = 0.0
    p50_s: float | None = None
    p99_s: float | None = None
    upstream_p50_s: float | None = None
    loop_lag_p99_s: float | None = None
    bytes: Count = 0
    tiers: dict[str, Count] = {}

    @property
    def hit_ratio(self) -> float | None:
        """Of those that could be answered from the cache; None: there were none."""
        asked = self.spared + self.miss + self.degraded
        return self.spared / asked if asked else None


class History(Part):
    """GET /stats/history."""

    step_s: Amount = 0.0
    points: tuple[Point, ...] = ()
