"""A look at the parts: what they count, in the words that are shared by who tells of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.app.backends import Backend
from proxy.app.store import Store
from proxy.batching import Counts as BatchCounts
from proxy.compression.compressor import Counts as CompressionCounts
from proxy.downstream.service import Counts as ClientCounts
from proxy.fleet.relay import Relay
from proxy.flight import Counts as FlightCounts
from proxy.flight import Flights
from proxy.link.redis import Standing
from proxy.observe.log import printable
from proxy.observe.state import (
    CallsState,
    ConfigState,
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
from proxy.overload import Limiter
from proxy.tiers.measured import Watched
from proxy.upstream import GuardedUpstream

if TYPE_CHECKING:
    from proxy.app.semantic import Semantic

_STRATA: Final = 20  # those with the most labels: their names are as many as clients choose
_LONGEST: Final = 120  # characters of one


@dataclass(frozen=True, slots=True)
class Parts:
    """What is looked at.

    Args:
        flights: all boards.
        limiter: before all calls.
        routed: the backends that requests are routed to, now.
        standing_by: those that they are not.
        compression: what all compressors did.
        batching: what all batchers did.
        bugs: by where.
        dropped: log lines.
        config: the settings in force.
        memory: how far it has run out.
        express: what is answered by its bytes alone.
    """

    store: Store
    clients: ClientCounts
    flights: Sequence[Flights]
    limiter: Limiter
    routed: Callable[[], Iterable[Backend]]
    standing_by: Callable[[], Iterable[Backend]]
    compression: CompressionCounts
    batching: BatchCounts
    semantic: Semantic | None
    relay: Relay | None
    bugs: Callable[[], Counts]
    dropped: Callable[[], int]
    config: Callable[[], ConfigState]
    memory: Callable[[], MemoryState]
    express: Callable[[], ExpressState]


def look(parts: Parts) -> State:
    """Their state now. Waits for nothing."""
    store, purging = parts.store, parts.store.purging
    return State(
        clients=_numbers(parts.clients),
        flights=_summed(_numbers(board.counts) for board in parts.flights),
        flying=sum(len(board) for board in parts.flights),
        calls=_calls(parts.limiter),
        tiers=_tiers(store),
        guard=_guard(store),
        purges={kind.value: count for kind, count in purging.kinds.items()},
        purges_untold=purging.untold,
        purge_generation=store.ladder.generation,
        upstreams=[
            *(_upstream(each, routed=True) for each in parts.routed()),
            *(_upstream(each, routed=False) for each in parts.standing_by()),
        ],
        semantic=None if parts.semantic is None else _semantic(parts.semantic),
        fleet={} if parts.relay is None else _numbers(parts.relay.counts),
        compression=_numbers(parts.compression),
        batching=_numbers(parts.batching),
        bugs=parts.bugs(),
        log_lines_dropped=parts.dropped(),
        config=parts.config(),
        memory=parts.memory(),
        express=parts.express(),
        workers={"ready": 1, "starting": 0, "leaving": 0},
    )


def nothing() -> State:
    """The state where nothing has happened, and there are no parts."""
    return State(
        clients=_numbers(ClientCounts()), flights=_numbers(FlightCounts()), flying=0, tiers=[],
        guard=None, purges={}, purges_untold=0, purge_generation=0, upstreams=[], semantic=None,
        fleet={}, compression=_numbers(CompressionCounts()), batching=_numbers(BatchCounts()),
        bugs={}, log_lines_dropped=0, config=ConfigState(1, 0.0), calls=CallsState(0, 0, 0, {}),
        memory=MemoryState(None, None, "", 0, {}, 0), express=ExpressState(0, 0, 0, 0),
    )  # fmt: skip


def _numbers(counts: object) -> dict[str, int]:
    """The members of an object that is nothing but counters."""
    names = getattr(type(counts), "__slots__", ())
    return {name: getattr(counts, name) for name in names}


def _summed(each: Iterable[Counts]) -> dict[str, int]:
    total: dict[str, int] = {}
    for counts in each:
        for name, count in counts.items():
            total[name] = total.get(name, 0) + count
    return total


def _calls(limiter: Limiter) -> CallsState:
    shed = {str(why): count for why, count in limiter.shed.items()}
    return CallsState(limiter.under_way, limiter.queued, limiter.limit, shed)


# -- tiers ----------------------------------------------------------------------------------------


def _tiers(store: Store) -> list[TierState]:
    tiers, trusted = [_memory(store)], store.ladder.trusted
    if (disk := store.disk) is not None:
        watched, is_trusted = store.watched[disk.name], disk.name in trusted
        up = disk.is_open
        tiers.append(
            TierState(
                disk.name,
                "down" if not up else "up" if is_trusted else "distrusted",
                is_trusted,
                None,
                disk.bytes,
                disk.max_bytes,
                _by_operation(watched.counts),
                watched.seconds,
                {"evicted": disk.evicted, "expired": disk.expired, "dropped": disk.dropped},
                {
                    "late": disk.late, "written": disk.written, "failed": disk.failed,
                    "set_aside": disk.set_aside,
                },
                shared=True,
            )
        )  # fmt: skip
    if store.redis is not None and store.shared is not None and store.behind is not None:
        shared, redis = store.shared, store.redis
        watched = store.watched.get(shared.name, Watched())
        is_trusted = shared.name in trusted
        off = redis.standing is Standing.OFF
        tiers.append(
            TierState(
                shared.name,
                "down" if off else "up" if is_trusted else "distrusted",
                is_trusted,
                operations=_by_operation(watched.counts),
                seconds=watched.seconds,
                removed={"unwritten": store.behind.unwritten},
                detail={
                    "standing": redis.standing.value, "sent": redis.sent, "failed": redis.failed,
                    "refused": redis.refused, "late": redis.late,
                    "turned_away": redis.turned_away, "unreadable": shared.unreadable,
                },
                shared=True,
            )
        )  # fmt: skip
    return tiers


def _memory(store: Store) -> TierState:
    memory = store.memory
    is_trusted = memory.name in store.ladder.trusted
    return TierState(
        memory.name,
        "up" if is_trusted else "distrusted",
        is_trusted,
        memory.entries,
        memory.bytes,
        memory.max_bytes,
        {
            "get": {"hit": memory.hits, "miss": memory.misses},
            "put": {"taken": memory.taken, "declined": memory.declined},
        },
        removed={
            "evicted": memory.evicted, "expired": memory.expired, "replaced": memory.replaced,
            "deleted": memory.deleted,
        },
        detail={"budget": store.budget},
    )  # fmt: skip


def _by_operation(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    told: dict[str, dict[str, int]] = {}
    for (operation, result), count in counts.items():
        told.setdefault(operation, {})[result] = count
    return told


def _guard(store: Store) -> GuardState | None:
    disk = store.disk
    if disk is None or (guard := disk.guard) is None:
        return None
    return GuardState(guard.fill_ratio, guard.passed, guard.spared, disk.guard_wrong)


# -- backends -------------------------------------------------------------------------------------


def _upstream(backend: Backend, *, routed: bool) -> UpstreamState:
    guarded = isinstance(backend, GuardedUpstream)
    inner = backend.inner if isinstance(backend, GuardedUpstream) else backend
    traffic = inner.traffic
    return UpstreamState(
        upstream=inner.id,
        url=inner.url,
        prefix=(inner.mount.prefix or "/") if routed else None,
        guarded=guarded,
        closed=backend.closed if isinstance(backend, GuardedUpstream) else True,
        refused=traffic.refused,
        in_use=inner.in_use,
        max_connections=inner.max_connections,
        stale_retries=traffic.stale_retries,
        responses=traffic.responses,
        errors=traffic.errors,
        head=traffic.head,
    )


# -- meaning --------------------------------------------------------------------------------------


def _semantic(semantic: Semantic) -> SemanticState:
    budget, index = semantic.budget, semantic.index
    strata = []
    for stratum in budget.strata():
        known = budget.estimate(stratum)
        name = printable(f"{stratum.fingerprint} {stratum.script} {stratum.family}")[:_LONGEST]
        strata.append(
            StratumState(
                name, known.error, known.low, known.high, known.threshold, known.open, known.labels
            )
        )
    strata.sort(key=lambda each: -each.labels)
    told = {each.name: each for each in reversed(strata[:_STRATA])}  # two may have one name
    rows = getattr(index, "rows", None)
    return SemanticState(
        lookups={str(why): count for why, count in semantic.finder.counts.items()},
        scores=semantic.finder.scores,
        strata=list(reversed(told.values())),
        embedder_up=None if semantic.embedding is None else semantic.embedding.ready,
        index_rows=rows if isinstance(rows, int) else None,
        not_learned=semantic.learner.dropped,
        shadow_calls=0 if semantic.shadowing is None else semantic.shadowing.drawn,
    )
