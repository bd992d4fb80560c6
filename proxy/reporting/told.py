"""All that one report is made of: what the admin API told, read leniently as in ``stats``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, ValidationError

from proxy.reporting.stats import Amount, Count, History, Moment, Part, Spread, Stats, Text

VERSION: Final = 1  # of what is saved

_SOME_FAULTS: Final = 3


class Unreadable(Exception):
    """What was saved cannot be read; says why."""


class Operation(Part):
    """How often a tier did what, with what result."""

    operation: Text = ""
    result: Text = ""
    count: Count = 0


class TierLatency(Spread):
    """How long a tier took for it."""

    operation: Text = ""


class Removed(Part):
    """Entries that left a tier, by cause."""

    evicted: Count = 0
    expired: Count = 0
    replaced: Count = 0
    deleted: Count = 0
    declined: Count = 0


class Tier(Part):
    """One place where entries are kept."""

    tier: Text = ""
    state: Text = ""
    entries: int | None = None
    bytes: int | None = None
    max_bytes: int | None = None
    operations: tuple[Operation, ...] = ()
    latency: tuple[TierLatency, ...] = ()
    removed: Removed = Removed()

    def did(self, operation: str, *results: str) -> int:
        """How often; with ``results``, how often with one of these."""
        return sum(
            each.count
            for each in self.operations
            if each.operation == operation and (not results or each.result in results)
        )

    def took(self, operation: str) -> TierLatency | None:
        """How long it took; None: it was not measured."""
        return next((t for t in self.latency if t.operation == operation and t.count), None)


class Guard(Part):
    """What rules out that the disk has something."""

    fill_ratio: float | None = None
    lookups: Count = 0
    saved: Count = 0
    false_positives: Count = 0


class Tiers(Part):
    """GET /tiers."""

    tiers: tuple[Tier, ...] = ()
    guard: Guard | None = None


class Breaker(Part):
    """Whether a backend is left alone."""

    enabled: bool = False
    state: Text = ""
    refused: Count = 0


class Upstream(Part):
    """One backend."""

    upstream: Text = ""
    url: Text = ""
    standby: bool = False
    breaker: Breaker = Breaker()
    in_use: Count = 0
    max_connections: int | None = None
    stale_retries: Count = 0
    responses: dict[str, Count] = Field(default_factory=dict)
    errors: dict[str, Count] = Field(default_factory=dict)
    latency: Spread = Spread()


class Upstreams(Part):
    """GET /upstreams."""

    upstreams: tuple[Upstream, ...] = ()


class Embedder(Part):
    """What makes vectors of questions."""

    name: Text = ""
    standing: Text = ""
    late: Count = 0
    failed: Count = 0


class Stratum(Part):
    """Questions of one kind, and how often their hits are wrong."""

    script: Text = ""
    family: Text = ""
    error: Amount = 0.0
    low: Amount = 0.0
    high: Amount = 1.0
    labels: Count = 0
    threshold: Amount = 0.0
    open: bool = False


class Meaning(Part):
    """GET /semantic."""

    ready: bool = False
    outcomes: dict[str, Count] = Field(default_factory=dict)
    not_learned: Count = 0
    embedder: Embedder | None = None
    strata: tuple[Stratum, ...] = ()


class Refusal(Part):
    """A configuration that was not taken."""

    at: Text = ""
    why: Text = ""


class Config(Part):
    """GET /config."""

    generation: Count = 0
    loaded_at: Text = ""
    file: Text = ""
    settings: dict[str, object] = Field(default_factory=dict)
    last_refusal: Refusal | None = None

    def number(self, name: str) -> float | None:
        """A setting by its dotted name, where it is a number."""
        found: object = self.settings
        for step in name.split("."):
            found = found.get(step) if isinstance(found, dict) else None
        return float(found) if isinstance(found, int | float) else None


class Told(Part):
    """All that one report is made of.

    Attributes:
        saved_at: when it was asked for.
        span: how far back the history goes that was asked for.
        stats, history ...: what each question brought; None or empty where it brought nothing.
        untold: for each question that was not answered, why.
    """

    sidecache_report: Literal[1]
    saved_at: Moment
    span: Text = ""
    stats: Stats
    history: History = History()
    tiers: Tiers = Tiers()
    upstreams: Upstreams = Upstreams()
    semantic: Meaning | None = None
    config: Config = Config()
    untold: dict[str, str] = Field(default_factory=dict)


def read(document: Mapping[str, object]) -> Told:
    """What a saved document tells. Raises Unreadable."""
    if "sidecache_report" not in document:
        raise Unreadable("it was not written by `sidecache report --save`")
    if document["sidecache_report"] != VERSION:
        raise Unreadable("it was written by another version of `sidecache report`")
    given = {name: value for name, value in document.items() if value is not None}
    try:
        return Told.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        told = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in faults]
        raise Unreadable("; ".join(told[:_SOME_FAULTS])) from error
