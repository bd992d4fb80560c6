"""Metric families: the tally and the state of the parts, as Prometheus has them.

Every label is of a bounded set. A family that has nothing to tell is left out. Each has its row in
docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from proxy.histogram import COARSE, Histogram
from proxy.observe.state import SemanticState, State, TierState, UpstreamState
from proxy.observe.tally import Tally

PREFIX: Final = "sidecache_"
_NONE: Final = "none"
_CAUSES: Final = frozenset({"evicted", "expired", "replaced", "deleted", "declined", "dropped"})
_VERDICTS: Final = {  # of flights, by what they are counted as
    "started": "started", "landed": "landed", "stored": "stored", "broken": "broken",
    "given_up": "given_up", "elected": "elected", "crowded": "crowded",
    "hit_for_miss": "hit_for_miss", "wait_timeout": "wait_timeouts", "aged": "aged",
    "laggard": "laggards", "orphan_kept": "kept_orphans", "orphan_cancelled": "cancelled_orphans",
}  # fmt: skip
_LAG: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

Labels = Sequence[str]
Samples = Iterable[tuple[Labels, float]]
_Counted = dict[tuple[str, ...], int]


def counter(name: str, says: str, labels: Labels, samples: Samples) -> Metric:
    """A family of counters."""
    family = CounterMetricFamily(PREFIX + name, says, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def gauge(name: str, says: str, labels: Labels, samples: Samples) -> Metric:
    """A family of gauges."""
    family = GaugeMetricFamily(PREFIX + name, says, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def histogram(
    name: str,
    says: str,
    labels: Labels,
    samples: Iterable[tuple[Labels, Histogram]],
    bounds: Sequence[float] = COARSE,
) -> Metric:
    """A family of histograms, of which each has the ``bounds`` among its own."""
    family = HistogramMetricFamily(PREFIX + name, says, labels=labels)
    for values, counted in samples:
        buckets = [
            (str(bound), float(count))
            for bound, count in zip(bounds, counted.below(bounds), strict=True)
        ]
        buckets.append(("+Inf", float(counted.count)))
        family.add_metric(values, buckets, counted.sum)
    return family


def of_requests(tally: Tally, state: State) -> Iterator[Metric]:
    """What became of requests, and how long they took."""
    shed = state.clients["turned_away"]
    by_dialect: _Counted = {}
    by_reason: _Counted = {}
    by_tier: _Counted = {}
    sent: _Counted = {}
    if shed:
        by_dialect["shed", _NONE] = shed
        by_reason["shed", "overload"] = shed
    for group, row in tally.rows.items():
        _count(by_dialect, (group.outcome, group.dialect or _NONE), row.requests)
        _count(by_reason, (group.outcome, group.reason), row.requests)
        _count(sent, (group.outcome,), row.bytes)
        if group.tier:
            _count(by_tier, (group.tier, group.reason), row.requests)
    yield counter(
        "requests_received", "Requests that came, whatever became of them.", (),
        [((), state.clients["received"])],
    )  # fmt: skip
    yield counter("requests", "Requests that are over.", ("outcome", "dialect"), by_dialect.items())
    yield counter(
        "decisions", "Requests that are over, by why.", ("outcome", "reason"), by_reason.items()
    )
    yield counter(
        "hits", "Answers from the cache, by where they were.", ("tier", "reason"), by_tier.items()
    )
    yield counter("response_bytes", "Bytes of bodies sent.", ("outcome",), sent.items())
    yield histogram(
        "request_duration_seconds", "From the head of a request to its end.", ("outcome",),
        (((name,), each) for name, each in tally.latency.items()),
    )  # fmt: skip
    yield histogram(
        "stage_duration_seconds", "Where the time went; of hits, one in eight when busy.",
        ("stage", "outcome"), tally.stages.items(),
    )  # fmt: skip


def of_savings(tally: Tally) -> Iterator[Metric]:
    """What was saved and spent."""
    yield counter(
        "calls_saved", "Calls that the backends were spared.", (), [((), tally.saved.calls)]
    )
    yield counter(
        "calls_spent", "Calls that the backends were asked.", (), [((), tally.spent.calls)]
    )
    for which, says in (("saved", "that the backends were spared"), ("spent", "of the backends")):
        rows = {model: getattr(row, which) for model, row in tally.models.items()}
        tokens = [
            ((direction, model), getattr(spending, f"{direction}_tokens"))
            for model, spending in rows.items()
            for direction in ("input", "output")
        ]
        yield counter(f"tokens_{which}", f"Tokens {says}.", ("direction", "model"), tokens)
        if tally.prices.known:
            money = [
                ((tally.prices.currency, model), spending.money) for model, spending in rows.items()
            ]
            yield counter(
                f"money_{which}", f"The price of tokens {says}.", ("currency", "model"), money
            )
    yield counter(
        "backend_seconds_saved", "Time that the backends were spared.", (),
        [((), tally.saved.seconds)],
    )  # fmt: skip


def of_tiers(state: State) -> Iterator[Metric]:
    """Tiers, their guard, and purges."""
    tiers = state.tiers
    yield counter(
        "tier_operations", "What tiers were asked.", ("tier", "operation", "result"),
        (
            ((t.tier, operation, result), count)
            for t in tiers
            for operation, results in t.operations.items()
            for result, count in results.items()
        ),
    )  # fmt: skip
    yield histogram(
        "tier_operation_duration_seconds", "How long it took; not of memory.",
        ("tier", "operation"),
        (((t.tier, operation), each) for t in tiers for operation, each in t.seconds.items()),
    )  # fmt: skip
    for name, says in (
        ("entries", "Entries held."),
        ("bytes", "Bytes held."),
        ("max_bytes", "Bytes there is room for."),
    ):
        yield gauge(f"tier_{name}", says, ("tier",), _known(tiers, name))
    yield gauge(
        "tier_up", "Whether a tier is looked in.", ("tier",),
        (((t.tier,), float(t.standing == "up")) for t in tiers),
    )  # fmt: skip
    yield counter(
        "removals", "Entries that left a tier.", ("tier", "cause"),
        (
            ((t.tier, cause), count)
            for t in tiers
            for cause, count in t.removed.items()
            if cause in _CAUSES
        ),
    )  # fmt: skip
    if (guard := state.guard) is not None:
        if guard.fill_ratio is not None:
            yield gauge(
                "guard_fill_ratio", "How much of its room is taken.", (), [((), guard.fill_ratio)]
            )
        yield counter(
            "guard_lookups", "Looks into the disk tier that the guard was asked about.",
            ("result",), [(("passed",), guard.passed), (("saved",), guard.saved)],
        )  # fmt: skip
        yield counter(
            "guard_false_positives", "Looks that it let pass in vain.", (),
            [((), guard.false_positives)],
        )  # fmt: skip
    yield counter(
        "purges", "Purges that took effect.", ("kind",),
        (((kind,), count) for kind, count in state.purges.items()),
    )  # fmt: skip
    yield gauge(
        "purges_untold", "Purges that the others do not know of yet.", (),
        [((), state.purges_untold)],
    )  # fmt: skip


def of_flights(tally: Tally, state: State) -> Iterator[Metric]:
    """Flights, refreshes, and what stood in for the backend."""
    flights = state.flights
    yield counter(
        "flights", "Calls of the backend that all who ask hear.", ("verdict",),
        (((verdict,), flights[name]) for verdict, name in _VERDICTS.items()),
    )  # fmt: skip
    yield gauge("flights_in_progress", "Flights now.", (), [((), state.flying)])
    yield counter(
        "followers", "Requests that joined a flight.", ("when",),
        [
            (("before_head",), flights["joined_before_head"]),
            (("after_head",), flights["joined_after_head"]),
        ],
    )  # fmt: skip
    yield counter(
        "refreshes", "Entries renewed in the background.", ("result",),
        [
            (("sent",), flights["refreshes"]),
            (("dropped",), flights["refreshes_dropped"]),
            (("failed",), flights["refreshes_failed"]),
        ],
    )  # fmt: skip
    steps: _Counted = {}
    for group, row in tally.rows.items():
        if group.outcome == "degraded":
            _count(steps, (group.reason,), row.requests)
        elif group.reason == "sie":
            _count(steps, ("stale",), row.requests)
    yield counter(
        "degraded", "Answers in place of the backend's failure.", ("step",), steps.items()
    )


def of_upstreams(upstreams: Sequence[UpstreamState]) -> Iterator[Metric]:
    """The backends; those of one name are told together."""
    once = {each.upstream: each for each in upstreams}  # what they counted, they share
    names = [((name,), each) for name, each in once.items()]
    in_use = dict.fromkeys(once, 0)
    most = dict.fromkeys(once, 0)
    up = dict.fromkeys(once, 1)
    for each in upstreams:
        in_use[each.upstream] += each.in_use
        most[each.upstream] += each.max_connections
        up[each.upstream] &= each.closed
    labels = ("upstream",)
    yield gauge(
        "upstream_up", "Whether a backend is asked: its breaker is closed.", labels, _by_name(up)
    )
    yield gauge(
        "upstream_connections_in_use", "Connections with a request on them.", labels,
        _by_name(in_use),
    )  # fmt: skip
    yield gauge("upstream_connections_max", "Connections there may be.", labels, _by_name(most))
    yield counter(
        "upstream_responses", "Responses that began.", ("upstream", "class"),
        (((n, status), count) for n, u in once.items() for status, count in u.responses.items()),
    )  # fmt: skip
    yield counter(
        "upstream_errors", "Responses that did not begin, or broke off.", ("upstream", "error"),
        (((n, error), count) for n, u in once.items() for error, count in u.errors.items()),
    )  # fmt: skip
    yield counter(
        "upstream_refused", "Requests not sent, as the backend is left alone.", labels,
        ((name, each.refused) for name, each in names),
    )  # fmt: skip
    yield counter(
        "upstream_stale_retries", "Requests sent again, as a kept connection had ended.", labels,
        ((name, each.stale_retries) for name, each in names),
    )  # fmt: skip
    yield histogram(
        "upstream_head_seconds", "From the asking to the head of the response.", labels,
        ((name, each.head) for name, each in names),
    )  # fmt: skip


def of_clients(state: State, lag: Histogram) -> Iterator[Metric]:
    """Connections of clients, and the process."""
    clients = state.clients
    yield gauge("client_connections_open", "Connections now.", (), [((), clients["open"])])
    for name, counted, says in (
        ("client_connections", "accepted", "Connections that were accepted."),
        ("client_turned_away", "turned_away", "Connections beyond the bound."),
        ("client_hang_ups", "hang_ups", "Clients that left before their reply was whole."),
        ("client_malformed", "malformed", "Requests that could not be parsed."),
        ("client_refused", "refused", "Requests that must not be processed."),
        ("client_timeouts", "timeouts", "Heads that came too slowly."),
        ("client_too_long", "too_long", "Heads that were too long."),
        ("client_stalled", "stalled", "Clients that were cut off, as they did not read."),
        ("client_tunnels", "tunnels", "Connections that switched protocols."),
    ):
        yield counter(name, says, (), [((), clients[counted])])
    yield histogram("event_loop_lag_seconds", "How late the event loop is.", (), [((), lag)], _LAG)
    yield counter(
        "log_lines_dropped", "Log lines that were not written.", (),
        [((), state.log_lines_dropped)],
    )  # fmt: skip
    yield counter(
        "bugs", "Failures that nobody foresaw; the log says where.", ("where",),
        (((where,), count) for where, count in state.bugs.items()),
    )  # fmt: skip


def of_calls(state: State) -> Iterator[Metric]:
    """Calls of the backends, and what was done to them: shorter, several in one, shared."""
    calls = state.calls
    yield gauge("calls_in_flight", "Calls of the backends now.", (), [((), calls.under_way)])
    yield gauge("calls_queued", "Calls that wait for others to end.", (), [((), calls.queued)])
    yield gauge("calls_limit", "Calls there may be at once.", (), [((), calls.limit)])
    yield counter(
        "calls_shed", "Calls that were not made, as too many were wanted.", ("reason",),
        (((reason,), count) for reason, count in calls.shed.items()),
    )  # fmt: skip
    for name, counts, counted, says in (
        ("compression_requests", state.compression, "requests", "Prompts that were made shorter."),
        ("compression_tokens", state.compression, "tokens", "Tokens that this saved, about."),
        ("embedding_inputs", state.batching, "inputs", "Inputs asked for."),
        ("embedding_calls", state.batching, "calls", "Calls that they were asked for in."),
        ("embedding_calls_halved", state.batching, "halved", "Calls that were refused for one."),
        ("embedding_calls_odd", state.batching, "odd", "Replies that could not be taken apart."),
    ):
        if counted in counts:
            yield counter(name, says, (), [((), counts[counted])])
    yield counter(
        "fleet_flights", "Flights shared with other replicas.", ("verdict",),
        (((verdict,), count) for verdict, count in state.fleet.items()),
    )  # fmt: skip


def of_meaning(semantic: SemanticState) -> Iterator[Metric]:
    """Answers to questions in other words."""
    yield counter(
        "semantic_lookups", "Searches, by what came of them.", ("outcome",),
        (((outcome,), count) for outcome, count in semantic.lookups.items()),
    )  # fmt: skip
    yield histogram(
        "semantic_score", "How similar the best of what was found is.", (),
        [((), semantic.scores)], semantic.scores.bounds,
    )  # fmt: skip
    for name, field, says in (
        ("semantic_wrong_hit_ratio", "error", "Wrong answers among hits, as measured."),
        ("semantic_wrong_hit_ratio_low", "low", "The true share is above this 95 times in 100."),
        ("semantic_wrong_hit_ratio_high", "high", "The true share is below this 95 times in 100."),
        ("semantic_threshold", "threshold", "The similarity that is near enough."),
        ("semantic_breaker_open", "is_open", "Whether nothing is served."),
    ):
        yield gauge(
            name, says, ("stratum",),
            (((each.name,), float(getattr(each, field))) for each in semantic.strata),
        )  # fmt: skip
    yield counter(
        "semantic_labels", "Answers that were judged right or wrong.", ("stratum",),
        (((each.name,), each.labels) for each in semantic.strata),
    )  # fmt: skip
    if semantic.embedder_up is not None:
        yield gauge(
            "semantic_embedder_up", "Whether there are vectors.", (), [((), semantic.embedder_up)]
        )
    if semantic.index_rows is not None:
        yield gauge("semantic_index_rows", "Vectors held.", (), [((), semantic.index_rows)])
    yield counter(
        "semantic_not_learned", "Answers that came faster than they could be learned.", (),
        [((), semantic.not_learned)],
    )  # fmt: skip
    yield counter(
        "semantic_shadow_calls", "Hits that were asked again in secret.", (),
        [((), semantic.shadow_calls)],
    )  # fmt: skip


def of_config(state: State, version: str, python: str) -> Iterator[Metric]:
    """The settings in force, and the program."""
    config = state.config
    yield gauge("config_generation", "Which settings are in force.", (), [((), config.generation)])
    yield gauge(
        "config_last_reload_successful", "Whether the last reload was taken.", (),
        [((), config.last_successful)],
    )  # fmt: skip
    yield gauge(
        "config_last_reload_timestamp_seconds", "When these settings were read.", (),
        [((), config.loaded_at)],
    )  # fmt: skip
    yield counter(
        "config_reloads", "Reloads.", ("result",),
        (((result,), count) for result, count in config.reloads.items()),
    )  # fmt: skip
    yield gauge("build_info", "The program.", ("version", "python"), [((version, python), 1)])


def _count(counts: _Counted, place: tuple[str, ...], count: int) -> None:
    counts[place] = counts.get(place, 0) + count


def _known(tiers: Iterable[TierState], name: str) -> Samples:
    for tier in tiers:
        value = getattr(tier, name)
        if value is not None:
            yield (tier.tier,), value


def _by_name(values: Mapping[str, int]) -> Samples:
    return [((name,), value) for name, value in values.items()]
