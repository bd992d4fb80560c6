"""All metrics there are: what the collector yields of a proxy that has every part."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from proxy.histogram import Histogram
from proxy.observe.metrics import Metrics
from proxy.observe.state import (
    CallsState,
    ConfigState,
    ExpressState,
    GuardState,
    MemoryState,
    SemanticState,
    State,
    StratumState,
    TierState,
    UpstreamState,
)
from proxy.observe.tally import Tally
from proxy.prices import Price, Prices

STATE = State(
    clients=defaultdict(int),
    flights=defaultdict(int),
    flying=0,
    calls=CallsState(1, 1, 1, {"full": 1}),
    tiers=[TierState("l2_disk", "up", trusted=True, entries=1, bytes=1, max_bytes=9)],
    guard=GuardState(0.5, 1, 1, 1),
    purges={"key": 1},
    purges_untold=0,
    purge_generation=1,
    upstreams=[
        UpstreamState(
            "main", "http://b", "/", guarded=True, closed=True, refused=0, in_use=0,
            max_connections=1, stale_retries=0, responses={}, errors={}, head=Histogram(),
        )
    ],
    semantic=SemanticState(
        {}, Histogram(), [StratumState("s", 0, 0, 1, 0.9, is_open=False, labels=1)],
        embedder_up=True, index_rows=1, not_learned=0, shadow_calls=0,
    ),
    fleet={"led": 1},
    compression=dict.fromkeys(("requests", "tokens"), 1),
    batching=dict.fromkeys(("inputs", "calls", "halved", "odd"), 1),
    bugs={"flights": 0},
    log_lines_dropped=0,
    config=ConfigState(1, 0.0, {"applied": 1}),
    memory=MemoryState(2, 1, "shrink", 1, {"shrink": 1}, 0),
    express=ExpressState(1, 1, 1, 9),
    workers={"ready": 1},
)  # fmt: skip

_PROCESS = (  # prometheus_client's own
    "cpu_seconds_total", "resident_memory_bytes", "start_time_seconds", "open_fds", "max_fds",
)  # fmt: skip


def exposed() -> dict[str, frozenset[str]]:
    """The labels of every series that can be scraped, by its name; also the process's own."""
    tally = Tally(Prices([Price("*", 1.0, 1.0)]))
    lag = SimpleNamespace(seconds=Histogram())
    metrics = Metrics(tally, lag, state=lambda: STATE, flush=lambda: None, version="1")
    told = list(metrics._all(tally, STATE))  # those too that have nothing to tell yet
    found: dict[str, frozenset[str]] = {}
    for family in told:
        labels = frozenset(family._labelnames)
        match family:
            case CounterMetricFamily():
                found[f"{family.name}_total"] = labels
            case HistogramMetricFamily():
                found[f"{family.name}_bucket"] = labels | {"le"}
                found |= {f"{family.name}_{part}": labels for part in ("count", "sum")}
            case _:
                found[family.name] = labels
    return found | {f"process_{name}": frozenset() for name in _PROCESS}
