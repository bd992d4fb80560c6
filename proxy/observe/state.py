"""The state of the parts at one moment, in words that those who tell of it share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from proxy.histogram import Histogram

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TierState:
    """A tier. None: not known."""

    tier: str
    standing: Literal["up", "down", "distrusted", "off"]
    trusted: bool  # whether it is looked in: all purges that may cover what it holds are known
    entries: int | None = None
    bytes: int | None = None
    max_bytes: int | None = None
    operations: Mapping[str, Counts] = field(default_factory=dict)  # by operation, by result
    seconds: Mapping[str, Histogram] = field(default_factory=dict)  # by operation
    removed: Counts = field(default_factory=dict)  # by cause
    detail: Mapping[str, int | float | str | None] = field(default_factory=dict)
    shared: bool = False  # what is held, where several workers serve, is held for all of them


@dataclass(frozen=True, slots=True)
class GuardState:
    """The guard of the disk tier."""

    fill_ratio: float | None  # None: it answers nothing now
    passed: int  # looks that it did not spare
    saved: int
    false_positives: int  # of those that passed: nothing was there


@dataclass(frozen=True, slots=True)
class CallsState:
    """Calls of all backends."""

    under_way: int
    queued: int
    limit: int  # that may be under way
    shed: Counts  # not made, by why


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """A backend."""

    upstream: str
    url: str
    prefix: str | None  # None: no request is routed to it
    guarded: bool  # whether it is left alone when it fails
    closed: bool  # its breaker: it is asked
    refused: int
    in_use: int
    max_connections: int
    stale_retries: int
    responses: Counts  # by class of status
    errors: Counts  # by type
    head: Histogram  # seconds to the head


@dataclass(frozen=True, slots=True)
class StratumState:
    """How often hits by meaning are wrong, in one stratum. Shares from 0 to 1."""

    name: str
    error: float
    low: float
    high: float
    threshold: float
    is_open: bool
    labels: int


@dataclass(frozen=True, slots=True)
class SemanticState:
    """Answers to questions in other words."""

    lookups: Counts  # by what came of them
    scores: Histogram
    strata: Sequence[StratumState]
    embedder_up: bool | None  # None: there is none
    index_rows: int | None
    not_learned: int
    shadow_calls: int


@dataclass(frozen=True, slots=True)
class MemoryState:
    """How far memory has run out."""

    limit: int | None  # bytes; None: there is no limit
    used: int | None  # bytes that count against it; None: not known
    level: str
    number: int  # of the level; 0: there is enough
    reached: Counts  # how often, by level
    trims: int  # times that freed memory was given back


@dataclass(frozen=True, slots=True)
class ExpressState:
    """Requests answered by their bytes alone, which were answered before."""

    hits: int
    entries: int  # answers at hand for them
    bytes: int  # that these take up
    max_bytes: int  # that they may


@dataclass(frozen=True, slots=True)
class ConfigState:
    """The settings in force."""

    generation: int
    loaded_at: float  # seconds since the epoch
    reloads: Counts = field(default_factory=dict)  # by result: applied, refused
    last_successful: bool = True


@dataclass(frozen=True, slots=True)
class State:
    """All of it."""

    clients: Counts
    flights: Counts
    flying: int
    calls: CallsState
    tiers: Sequence[TierState]
    guard: GuardState | None
    purges: Counts  # by kind
    purges_untold: int
    purge_generation: int
    upstreams: Sequence[UpstreamState]
    semantic: SemanticState | None
    fleet: Counts
    compression: Counts
    batching: Counts
    bugs: Counts  # by where
    log_lines_dropped: int
    config: ConfigState
    memory: MemoryState
    express: ExpressState
    workers: Counts = field(default_factory=dict)  # by what they do: ready, starting, leaving
    worker_restarts: int = 0  # of those that had died
