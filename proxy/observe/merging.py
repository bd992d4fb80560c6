"""States of several workers, made into one.

What was counted adds up, that of workers which are gone among it. What is the case now is that of
those who are there: it adds up where each has his own (memory, connections), is told once where all
share it (what is on disk), and is the worst of what they say where it is good or bad.
docs/workers.md has it field by field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from proxy.histogram import Histogram
from proxy.model.decision import Why
from proxy.model.outcome import Verdict
from proxy.observe.process import Figures, together
from proxy.observe.snapshot import Snapshot
from proxy.observe.state import (
    CallsState,
    Counts,
    ExpressState,
    GuardState,
    MemoryState,
    SemanticState,
    State,
    StratumState,
    TierState,
    UpstreamState,
)
from proxy.observe.tally import Group, Row, Tally
from proxy.prices import Prices
from proxy.splitters import Splitter

LOST: Final = Group(Verdict.ERROR.value.lower(), Why.WORKER_LOST.value, "", "")
"""Requests that were under way in a worker that died."""

_NOW: Final = ("open",)  # among what is counted of clients, what is not counted but the case
_WORST: Final = ("up", "off", "distrusted", "down")
_ENDLESS: Final = 10**9  # names of models: how many are kept apart is for who tells of them

T = TypeVar("T")


# -- whole snapshots ------------------------------------------------------------------------------


def summed(snapshots: Sequence[Snapshot]) -> Snapshot:
    """All of them together; at least one."""
    tally = Tally(Prices(), most_models=_ENDLESS)
    tally.become(each.counted for each in snapshots)
    return Snapshot(
        tally.counted(),
        _histogram([each.lag for each in snapshots]),
        merged([each.state for each in snapshots]),
        _splitters([splitter for each in snapshots for splitter in each.splitters]),
        together([each.process for each in snapshots]),
    )


def remains(snapshot: Snapshot) -> Snapshot:
    """What is to be added to all that comes, of a worker that is gone: what it has counted.

    Requests that were under way will never be over: they are counted as errors.
    """
    counted, lost = snapshot.counted, snapshot.under_way
    if lost:
        counted = replace(counted, rows=[*counted.rows, (LOST, Row(requests=lost))])
    return Snapshot(
        counted, snapshot.lag, _gone(snapshot.state), snapshot.splitters,
        Figures(snapshot.process.cpu_s),
    )  # fmt: skip


# -- states ---------------------------------------------------------------------------------------


def merged(states: Sequence[State]) -> State:
    """One state of several; at least one. Settings and workers are those of the last."""
    last = states[-1]
    return State(
        clients=_sums(each.clients for each in states),
        flights=_sums(each.flights for each in states),
        flying=sum(each.flying for each in states),
        calls=_calls([each.calls for each in states]),
        tiers=_alike([t for each in states for t in each.tiers], lambda t: t.tier, _tier),
        guard=_guard([each.guard for each in states if each.guard is not None]),
        # Every worker obeys every purge.
        purges=_most(each.purges for each in states),
        purges_untold=sum(each.purges_untold for each in states),
        purge_generation=max(each.purge_generation for each in states),
        upstreams=_alike(
            [u for each in states for u in each.upstreams],
            lambda u: (u.upstream, u.url, u.prefix),
            _upstream,
        ),
        semantic=_semantic([each.semantic for each in states if each.semantic is not None]),
        fleet=_sums(each.fleet for each in states),
        compression=_sums(each.compression for each in states),
        batching=_sums(each.batching for each in states),
        bugs=_sums(each.bugs for each in states),
        log_lines_dropped=sum(each.log_lines_dropped for each in states),
        config=last.config,
        memory=_memory([each.memory for each in states]),
        express=_express([each.express for each in states]),
        workers=last.workers,
        worker_restarts=last.worker_restarts,
    )


def with_gone(living: State, gone: State) -> State:
    """``living``, and what those had counted that are gone.

    Tiers and backends are those of the living: settings may have changed since.
    """
    both = merged([gone, living])
    tiers = {each.tier for each in living.tiers}
    return replace(
        both,
        tiers=[each for each in both.tiers if each.tier in tiers],
        upstreams=_upstreams(living.upstreams, gone.upstreams),
        guard=None if living.guard is None else both.guard,
        semantic=None if living.semantic is None else both.semantic,
    )


def _gone(state: State) -> State:
    """``state`` without all that is no longer the case."""
    semantic, guard = state.semantic, state.guard
    return replace(
        state,
        clients={name: n for name, n in state.clients.items() if name not in _NOW},
        flying=0,
        calls=CallsState(0, 0, 0, state.calls.shed),
        tiers=[
            TierState(
                each.tier, "up", trusted=True, operations=each.operations, seconds=each.seconds,
                removed=each.removed,
                detail={k: v for k, v in each.detail.items() if isinstance(v, int | float)},
                shared=each.shared,
            )
            for each in state.tiers
        ],
        guard=None if guard is None else replace(guard, fill_ratio=None),
        purges_untold=0,
        # Those of one name have counted together.
        upstreams=[
            replace(each, guarded=False, closed=True, in_use=0, max_connections=0)
            for each in {each.upstream: each for each in state.upstreams}.values()
        ],
        semantic=None
        if semantic is None
        else replace(semantic, strata=(), embedder_up=None, index_rows=None),
        memory=MemoryState(None, None, "", 0, state.memory.reached, state.memory.trims),
        express=ExpressState(state.express.hits, 0, 0, 0),
        workers={},
        worker_restarts=0,
    )  # fmt: skip


def _tier(tiers: Sequence[TierState]) -> TierState:
    worst = max(tiers, key=lambda each: _WORST.index(each.standing))
    operations: dict[str, list[Counts]] = {}
    seconds: dict[str, list[Histogram]] = {}
    for each in tiers:
        for operation, results in each.operations.items():
            operations.setdefault(operation, []).append(results)
        for operation, took in each.seconds.items():
            seconds.setdefault(operation, []).append(took)
    held = _largest if worst.shared else _sum
    return TierState(
        worst.tier,
        worst.standing,
        all(each.trusted for each in tiers),
        held([each.entries for each in tiers]),
        held([each.bytes for each in tiers]),
        held([each.max_bytes for each in tiers]),
        {operation: _sums(results) for operation, results in operations.items()},
        {operation: _histogram(took) for operation, took in seconds.items()},
        _sums(each.removed for each in tiers),
        _detail(worst, tiers),
        worst.shared,
    )


def _detail(worst: TierState, tiers: Sequence[TierState]) -> Mapping[str, int | float | str | None]:
    """Numbers added up; words of who fares worst."""
    told: dict[str, int | float | str | None] = {}
    for name in dict.fromkeys(name for each in tiers for name in each.detail):
        values = [each.detail[name] for each in tiers if name in each.detail]
        numbers = [value for value in values if isinstance(value, int | float)]
        told[name] = sum(numbers) if numbers else worst.detail.get(name, values[0])
    return told


def _calls(calls: Sequence[CallsState]) -> CallsState:
    return CallsState(
        sum(each.under_way for each in calls),
        sum(each.queued for each in calls),
        sum(each.limit for each in calls),
        _sums(each.shed for each in calls),
    )


def _memory(memories: Sequence[MemoryState]) -> MemoryState:
    """All are in one control group, and see it run out by themselves."""
    worst = max(reversed(memories), key=lambda each: (each.number, each.used or 0))
    return MemoryState(
        _largest([each.limit for each in memories]),
        _largest([each.used for each in memories]),
        worst.level,
        worst.number,
        _most(each.reached for each in memories),
        sum(each.trims for each in memories),
    )


def _express(lanes: Sequence[ExpressState]) -> ExpressState:
    """Each worker has answers of its own at hand."""
    return ExpressState(
        sum(each.hits for each in lanes),
        sum(each.entries for each in lanes),
        sum(each.bytes for each in lanes),
        sum(each.max_bytes for each in lanes),
    )


def _guard(guards: Sequence[GuardState]) -> GuardState | None:
    if not guards:
        return None
    fills = [each.fill_ratio for each in guards if each.fill_ratio is not None]
    return GuardState(
        max(fills) if fills else None,
        sum(each.passed for each in guards),
        sum(each.saved for each in guards),
        sum(each.false_positives for each in guards),
    )


def _upstream(upstreams: Sequence[UpstreamState]) -> UpstreamState:
    return replace(
        upstreams[-1],
        guarded=any(each.guarded for each in upstreams),
        closed=all(each.closed for each in upstreams),
        refused=sum(each.refused for each in upstreams),
        in_use=sum(each.in_use for each in upstreams),
        max_connections=sum(each.max_connections for each in upstreams),
        stale_retries=sum(each.stale_retries for each in upstreams),
        responses=_sums(each.responses for each in upstreams),
        errors=_sums(each.errors for each in upstreams),
        head=_histogram([each.head for each in upstreams]),
    )


def _upstreams(
    living: Sequence[UpstreamState], gone: Sequence[UpstreamState]
) -> Sequence[UpstreamState]:
    """The living, each with what all that were called as it is have counted."""
    by_name: dict[str, list[UpstreamState]] = {}
    for each in gone:
        by_name.setdefault(each.upstream, []).append(each)
    return [_upstream([*by_name.get(each.upstream, ()), each]) for each in living]


def _semantic(semantics: Sequence[SemanticState]) -> SemanticState | None:
    if not semantics:
        return None
    ups = [each.embedder_up for each in semantics if each.embedder_up is not None]
    return SemanticState(
        lookups=_sums(each.lookups for each in semantics),
        scores=_histogram([each.scores for each in semantics]),
        strata=_alike([s for each in semantics for s in each.strata], lambda s: s.name, _stratum),
        embedder_up=all(ups) if ups else None,
        index_rows=_largest([each.index_rows for each in semantics]),
        not_learned=sum(each.not_learned for each in semantics),
        shadow_calls=sum(each.shadow_calls for each in semantics),
    )


def _stratum(strata: Sequence[StratumState]) -> StratumState:
    """Each worker learns by itself: who knows most is believed, but for who has stopped serving."""
    best = max(strata, key=lambda each: each.labels)
    return replace(best, is_open=any(each.is_open for each in strata))


# -- numbers --------------------------------------------------------------------------------------


def _alike(
    each: Sequence[T], named: Callable[[T], object], merge: Callable[[Sequence[T]], T]
) -> list[T]:
    """Those of one name merged, in the order in which they first came."""
    groups: dict[object, list[T]] = {}
    for one in each:
        groups.setdefault(named(one), []).append(one)
    return [merge(group) for group in groups.values()]


def _sums(counts: Iterable[Counts]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total


def _most(counts: Iterable[Counts]) -> dict[str, int]:
    most: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            most[name] = max(most.get(name, 0), count)
    return most


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _largest(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _histogram(histograms: Sequence[Histogram]) -> Histogram:
    total = Histogram(histograms[0].bounds)
    for each in histograms:
        total.include(each)
    return total


def _splitters(splitters: Iterable[Splitter]) -> list[Splitter]:
    """By header; how many values there are in all, nobody knows: at least as many as one saw."""
    found: dict[str, Splitter] = {}
    for each in splitters:
        before = found.get(each.header, Splitter(each.header, 0, 0))
        found[each.header] = Splitter(
            each.header, max(before.values, each.values), before.bodies + each.bodies
        )
    return sorted(found.values(), key=lambda each: (-each.bodies, each.header))
