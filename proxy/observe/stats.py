"""Statistics as the operator is told them: the tally, the history and the parts, fit for JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from proxy.histogram import Histogram
from proxy.model.outcome import OUTCOMES, SERVED, STAGES
from proxy.observe.history import History, Point, Span, cacheable, outcomes
from proxy.observe.lag import Lag
from proxy.observe.log import Stamp
from proxy.observe.process import Figures, figures
from proxy.observe.state import Counts, GuardState, State, TierState, UpstreamState
from proxy.observe.tally import Spending, Tally
from proxy.splitters import Splitter

Told = dict[str, object]


@dataclass(frozen=True, slots=True)
class Identity:
    """Which proxy this is."""

    version: str
    pseudonym: str
    replica: str
    started_at: float  # seconds since the epoch


class Stats:
    """Tells them.

    Args:
        state: that of the parts, now.
        splitters: headers that split the cache.
        flush: has counted what was gathered.
        wall: seconds since the epoch.
        clock: seconds, monotonic.
        process: what the process takes up, or all of them.
    """

    def __init__(
        self,
        identity: Identity,
        tally: Tally,
        history: History,
        lag: Lag,
        *,
        state: Callable[[], State],
        splitters: Callable[[], Iterable[Splitter]],
        flush: Callable[[], None],
        wall: Callable[[], float],
        clock: Callable[[], float],
        process: Callable[[], Figures] = figures,
    ) -> None:
        self._identity = identity
        self._tally = tally
        self._history = history
        self._lag = lag
        self._state = state
        self._splitters = splitters
        self._flush = flush
        self._wall = wall
        self._clock = clock
        self._process = process
        self._began = clock() - max(0.0, wall() - identity.started_at)
        self._stamp = Stamp()

    def told(self) -> Told:
        """All there is to tell of requests."""
        self._flush()
        identity, tally, state = self._identity, self._tally, self._state()
        return {
            "version": identity.version,
            "python": platform.python_version(),
            "pseudonym": identity.pseudonym,
            "replica": identity.replica,
            "pid": os.getpid(),
            "generation": state.config.generation,
            "started_at": self._stamp(identity.started_at),
            "now": self._stamp(self._wall()),
            "uptime_s": self._clock() - self._began,
            "received": state.clients["received"],
            "requests": self._requests(state),
            "hit_ratio": self._hit_ratio(),
            "hit_ratio_recent": self._history.recent_hit_ratio,
            "by": _groups(tally),
            "latency": [
                {"what": name, **latency(tally.latency[name])}
                for name in OUTCOMES
                if name in tally.latency
            ],
            "stages": [
                {"outcome": name, "stage": stage, **_brief(tally.stages[stage, name])}
                for name in OUTCOMES
                for stage in STAGES
                if (stage, name) in tally.stages
            ],
            "saved": self._saved(),
            "spent": _spent(tally.spent),
            "models": [
                {
                    "model": model, "requests": row.requests, "hits": row.hits,
                    "saved": _spent(row.saved) | {"seconds": row.saved.seconds},
                    "spent": _spent(row.spent),
                }
                for model, row in sorted(tally.models.items(), key=lambda item: -item[1].requests)
            ],
            "flights": {"in_progress": state.flying, **state.flights},
            "calls": {
                "in_flight": state.calls.under_way, "queued": state.calls.queued,
                "limit": state.calls.limit, "shed": dict(state.calls.shed),
            },
            "clients": dict(state.clients),
            "express": asdict(state.express),
            "loop_lag": latency(self._lag.seconds),
            "process": _process(self._process()),
            "compression": dict(state.compression),
            "batching": dict(state.batching),
            "splitters": [each._asdict() for each in self._splitters()],
        }  # fmt: skip

    def brief(self) -> Told:
        """What changes from second to second."""
        self._flush()
        state, saved = self._state(), self._tally.saved
        _, points = self._history.points(Span.QUARTER)
        ended = points[-2:-1]
        step_s = 10
        return {
            "requests": self._requests(state),
            "hit_ratio_recent": self._history.recent_hit_ratio,
            "requests_per_s": sum(sum(point.outcomes.values()) for point in ended) / step_s
            if ended
            else None,
            "saved": _spent(saved) | {"seconds": saved.seconds},
            "loop_lag_p99_s": self._lag.seconds.quantile(0.99),
            "in_progress": state.flying,
        }

    def history(self, span: str) -> Told:
        """Points in time."""
        self._flush()
        step_s, points = self._history.points(Span(span))
        return {"step_s": step_s, "points": [self._point(point) for point in points]}

    def tiers(self) -> Told:
        """The tiers."""
        state = self._state()
        return {
            "tiers": [_tier(each) for each in state.tiers],
            "order": [each.tier for each in state.tiers],
            "guard": None if state.guard is None else _guard(state.guard),
            "journal": {"generation": state.purge_generation, "untold": state.purges_untold},
        }

    def upstreams(self) -> Told:
        """The backends."""
        return {"upstreams": [_upstream(each) for each in self._state().upstreams]}

    def _requests(self, state: State) -> Counts:
        counted = outcomes(self._tally) | {"shed": state.clients["turned_away"]}
        told = {name: counted.get(name, 0) for name in OUTCOMES}
        return {"total": sum(told.values()), **told}

    def _hit_ratio(self) -> float | None:
        could, counted = cacheable(self._tally), outcomes(self._tally)
        return sum(counted.get(name, 0) for name in SERVED) / could if could else None

    def _saved(self) -> Told:
        tally = self._tally
        return _spent(tally.saved) | {
            "currency": tally.prices.currency,
            "seconds": tally.saved.seconds,
            "unpriced": sorted(tally.unpriced),
        }

    def _point(self, point: Point) -> Told:
        inputs, outputs, money, seconds = point.saved
        counted = {name: point.outcomes.get(name, 0) for name in OUTCOMES}
        return {
            "at": self._stamp(point.at),
            "requests": sum(counted.values()),
            **counted,
            "saved_input_tokens": inputs,
            "saved_output_tokens": outputs,
            "saved_money": money,
            "saved_s": seconds,
            "p50_s": point.p50_s,
            "p99_s": point.p99_s,
            "upstream_p50_s": point.upstream_p50_s,
            "bytes": point.bytes,
            "tiers": dict(point.tiers),
        }


def latency(histogram: Histogram) -> Told:
    """A histogram of seconds in short."""
    return {
        **_brief(histogram),
        "max_s": histogram.largest if histogram.count else None,
    }


def _brief(histogram: Histogram) -> Told:
    return {
        "count": histogram.count,
        "mean_s": histogram.mean,
        "p50_s": histogram.quantile(0.5),
        "p90_s": histogram.quantile(0.9),
        "p99_s": histogram.quantile(0.99),
    }


def _groups(tally: Tally) -> Sequence[Told]:
    return [
        {
            "outcome": group.outcome,
            "reason": group.reason,
            "dialect": group.dialect or None,
            "tier": group.tier or None,
            "requests": row.requests,
            "bytes": row.bytes,
            "seconds": row.seconds,
        }
        for group, row in sorted(tally.rows.items())
    ]


def _spent(spending: Spending) -> Told:
    return {
        "calls": spending.calls,
        "input_tokens": spending.input_tokens,
        "output_tokens": spending.output_tokens,
        "money": spending.money,
    }


def _tier(tier: TierState) -> Told:
    return {
        "tier": tier.tier,
        "state": tier.standing,
        "trusted": tier.trusted,
        "entries": tier.entries,
        "bytes": tier.bytes,
        "max_bytes": tier.max_bytes,
        "operations": [
            {"operation": operation, "result": result, "count": count}
            for operation, results in sorted(tier.operations.items())
            for result, count in sorted(results.items())
        ],
        "latency": [
            {"operation": operation, **latency(seconds)}
            for operation, seconds in sorted(tier.seconds.items())
        ],
        "removed": dict(tier.removed),
        "detail": dict(tier.detail),
    }


def _guard(guard: GuardState) -> Told:
    return {
        "fill_ratio": guard.fill_ratio,
        "lookups": guard.passed + guard.saved,
        "saved": guard.saved,
        "false_positives": guard.false_positives,
    }


def _process(figures: Figures) -> Mapping[str, float | int | None]:
    return {
        "rss_bytes": figures.rss_bytes, "cpu_s": figures.cpu_s, "open_fds": figures.open_fds,
    }  # fmt: skip


def _upstream(upstream: UpstreamState) -> Told:
    return {
        "upstream": upstream.upstream,
        "url": upstream.url,
        "prefix": upstream.prefix,
        "standby": upstream.prefix is None,
        "breaker": {
            "enabled": upstream.guarded,
            "state": "closed" if upstream.closed else "open",
            "refused": upstream.refused,
        },
        "in_use": upstream.in_use,
        "max_connections": upstream.max_connections,
        "stale_retries": upstream.stale_retries,
        "responses": dict(upstream.responses),
        "errors": dict(upstream.errors),
        "latency": latency(upstream.head),
    }
