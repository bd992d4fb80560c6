"""What Prometheus scrapes, against its documentation and its own rules."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metric_families,
)
from prometheus_client.parser import text_string_to_metric_families
from support.records import lines_of, record

from proxy.histogram import Histogram
from proxy.model.decision import Why
from proxy.model.outcome import Delivery, Fwd, Laps, Verdict
from proxy.model.query import Usage
from proxy.observe.lag import Lag
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

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
FLIGHTS = (
    "aged", "broken", "cancelled_orphans", "crowded", "elected", "given_up", "hit_for_miss",
    "joined_after_head", "joined_before_head", "kept_orphans", "laggards", "landed", "refreshes",
    "refreshes_dropped", "refreshes_failed", "started", "stored", "wait_timeouts",
)  # fmt: skip
CLIENTS = (
    "accepted", "bugs", "hang_ups", "malformed", "open", "received", "refused", "requests",
    "stalled", "timeouts", "too_long", "tunnels", "turned_away",
)  # fmt: skip


def histogram(*values: float) -> Histogram:
    counted = Histogram()
    counted.add_all(values)
    return counted


def upstream(name: str = "main", **more: object) -> UpstreamState:
    state = UpstreamState(
        name, "http://b", "/", True, True, 1, 2, 10, 3, {"2xx": 4, "5xx": 1},
        {"connection_refused": 5}, histogram(0.5, 2.0),
    )  # fmt: skip
    return replace(state, **more)  # type: ignore[arg-type] # fields of the state


EVERYTHING = State(
    clients=dict.fromkeys(CLIENTS, 2),
    flights=dict.fromkeys(FLIGHTS, 3),
    flying=1,
    calls=CallsState(26, 27, 28, {"full": 29}),
    tiers=[
        TierState(
            "l2_disk", "up", True, 5, 6, 7, {"get": {"hit": 8}}, {"get": histogram(0.001)},
            {"evicted": 9, "unwritten": 1},
        )
    ],
    guard=GuardState(0.5, 10, 11, 12),
    purges={"tag": 13},
    purges_untold=14,
    purge_generation=15,
    upstreams=[upstream()],
    semantic=SemanticState(
        {"semantic": 16}, histogram(0.9), [StratumState("s", 0.1, 0.05, 0.2, 0.9, False, 17)],
        True, 18, 19, 20,
    ),
    fleet={"led": 21},
    compression={"requests": 22, "tokens": 22, "bytes": 22},
    batching=dict.fromkeys(("inputs", "calls", "halved", "odd"), 23),
    bugs={"clients": 24},
    log_lines_dropped=25,
    config=ConfigState(2, 1e9, {"applied": 1}, True),
    memory=MemoryState(26, 27, "spare", 2, {"shrink": 28, "spare": 28, "refuse": 0}, 29),
    express=ExpressState(30, 31, 32, 33),
    workers={"ready": 1},
)  # fmt: skip


def tally() -> Tally:
    counted = Tally(Prices([Price("*", 1.0, 1.0)]))
    laps = Laps(1.0)
    laps.came = 1.5
    counted.take(
        lines_of(
            record(usage=Usage(1, 2), spared_s=1.0, laps=laps),
            record(verdict=Verdict.STALE, why=Why.SIE),
            record(verdict=Verdict.DEGRADED, why=Why.STANDBY, tier="", fwd=Fwd.MISS),
            record(
                delivery=Delivery(200, 10, True, 3.0), verdict=Verdict.MISS, why=Why.UNSEEN,
                tier="", fwd=Fwd.URI_MISS, usage=Usage(3, 4),
            ),
            record(verdict=Verdict.BYPASS, why=Why.ROUTE, dialect="", model="", tier=""),
        )
    )  # fmt: skip
    return counted


def metrics(state: State = EVERYTHING, counted: Tally | None = None) -> Metrics:
    lag = Lag(lambda _s, _call: None, lambda: 0.0)  # type: ignore[arg-type, return-value] # nobody rings
    lag.seconds.add(0.003)
    return Metrics(
        counted or tally(), lag, state=lambda: state, flush=lambda: None, version="1.2.3"
    )


async def exposed(shown: Metrics, accept: str = "") -> str:
    return (await shown.written(accept))[0].decode()


async def samples(shown: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(await exposed(shown))
        for sample in family.samples
    }


def documented() -> dict[str, set[str]]:
    """The metrics on the page, and their labels."""
    rows = re.findall(r"^\| `(sidecache_\w+)` \| ([^|]*) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == len({name for name, _ in rows})
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


async def test_the_page_has_every_metric_with_its_labels_and_no_other() -> None:
    shown: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(await exposed(metrics())):
        if not family.name.startswith("sidecache_"):
            continue
        for sample in family.samples:
            name = sample.name
            if family.type == "histogram":
                name = family.name
            shown.setdefault(name, set()).update(sample.labels.keys() - {"le"})
    assert shown == documented()


async def test_the_process_and_its_garbage_are_told_too() -> None:
    text = await exposed(metrics())
    assert "process_resident_memory_bytes " in text
    assert "python_gc_collections_total{" in text


async def test_openmetrics_is_spoken_to_who_asks_for_it() -> None:
    written, kind = await metrics().written(
        "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    )
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert written.endswith(b"# EOF\n")
    assert written.count(b"# EOF") == 1
    names = {family.name for family in open_metric_families(written.decode())}
    assert {"sidecache_requests", "sidecache_request_duration_seconds"} <= names


@pytest.mark.parametrize(
    ("accept", "spoken"),
    [
        ("", "text/plain"), ("*/*", "text/plain"), ("text/plain;version=wonders", "text/plain"),
        ("application/openmetrics-text;version=x;escaping=y", "application/openmetrics-text"),
    ],
)  # fmt: skip
async def test_whoever_asks_for_nonsense_is_answered(accept: str, spoken: str) -> None:
    written, kind = await metrics().written(accept)
    assert kind.startswith(f"{spoken}; version=")
    assert b"sidecache_requests_total{" in written


async def test_requests_are_told_by_outcome_and_those_turned_away_among_them() -> None:
    told = await samples(metrics())
    assert told["sidecache_requests_total", (("dialect", "openai_chat"), ("outcome", "hit"))] == 1
    assert told["sidecache_requests_total", (("dialect", "none"), ("outcome", "bypass"))] == 1
    assert told["sidecache_requests_total", (("dialect", "none"), ("outcome", "shed"))] == 2
    assert told["sidecache_degraded_total", (("step", "stale"),)] == 1
    assert told["sidecache_degraded_total", (("step", "standby"),)] == 1


async def test_money_is_not_told_without_prices() -> None:
    counted = Tally(Prices())
    counted.take(lines_of(record(usage=Usage(1, 2))))
    text = await exposed(metrics(counted=counted))
    assert "sidecache_tokens_saved_total" in text
    assert "money" not in text


async def test_backends_of_one_name_are_one() -> None:
    shared = upstream()
    pair = [shared, replace(shared, prefix=None, closed=False, in_use=3)]
    told = await samples(metrics(replace(EVERYTHING, upstreams=pair)))
    main = (("upstream", "main"),)
    assert told["sidecache_upstream_up", main] == 0
    assert told["sidecache_upstream_connections_in_use", main] == 5
    assert told["sidecache_upstream_responses_total", (("class", "2xx"), *main)] == 4


async def test_what_there_is_not_is_not_told() -> None:
    bare = replace(EVERYTHING, guard=None, semantic=None, tiers=[], fleet={}, purges={})
    text = await exposed(metrics(bare))
    for word in ("guard", "semantic", "tier_", "fleet", "purges_total"):
        assert f"sidecache_{word}" not in text
    silent = replace(EVERYTHING, guard=GuardState(None, 0, 0, 0))
    assert "guard_fill_ratio" not in await exposed(metrics(silent))


async def test_a_hundred_thousand_models_make_a_bounded_number_of_series() -> None:
    counted = Tally(Prices([Price("*", 1.0, 1.0)]))
    for start in range(0, 100_000, 1000):
        counted.take(
            lines_of(
                *[
                    record(
                        model=f"m{number}", verdict=Verdict.MISS, why=Why.UNSEEN, tier="",
                        fwd=Fwd.URI_MISS, usage=Usage(1, 1), path=f"/{number}",
                    )
                    for number in range(start, start + 1000)
                ]
            )
        )  # fmt: skip
    text = await exposed(metrics(counted=counted))
    assert sum(not line.startswith("#") for line in text.splitlines()) < 2000


@pytest.mark.heavy
@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool here")
async def test_promtool_has_nothing_to_object_to() -> None:
    promtool = await asyncio.create_subprocess_exec(
        *("promtool", "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await promtool.communicate((await exposed(metrics())).encode())
    assert (promtool.returncode, said) == (0, b"")


async def test_what_is_known_by_its_bytes_alone_is_told() -> None:
    told = await samples(metrics())
    names = ("hits_total", "entries", "bytes")
    assert [told[f"sidecache_express_{name}", ()] for name in names] == [30, 31, 32]
