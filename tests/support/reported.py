"""What the admin API of a busy proxy tells, made up, for reports to be made of."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from proxy.reporting.told import Told, read

Json = dict[str, Any]

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def saved(**changes: Any) -> Json:
    """What ``sidecache report --save`` writes, with ``changes`` to its parts, merged in."""
    return merged(
        {
            "sidecache_report": 1,
            "saved_at": NOW.isoformat(),
            "span": "6h",
            "stats": stats(),
            "history": {"step_s": 60, "points": [point(n) for n in range(360)]},
            "tiers": tiers(),
            "upstreams": {"upstreams": [upstream()]},
            "semantic": None,
            "config": config(),
            "untold": {},
        },
        changes,
    )


def told(**changes: Any) -> Told:
    """The same, read."""
    return read(saved(**changes))


def merged(into: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """``into`` with ``changes``, member by member; lists are replaced."""
    whole = copy.deepcopy(dict(into))
    for name, value in changes.items():
        before = whole.get(name)
        both = isinstance(before, dict) and isinstance(value, dict)
        whole[name] = merged(before, value) if both else value
    return whole


def spread(count: int, p50: float) -> Json:
    return {
        "count": count, "mean_s": 1.2 * p50, "p50_s": p50, "p90_s": 2 * p50, "p99_s": 4 * p50,
        "max_s": 9 * p50,
    }  # fmt: skip


def staged(outcome: str, count: int, **stages: float) -> list[Json]:
    return [{"outcome": outcome, "stage": s, **spread(count, took)} for s, took in stages.items()]


def stats() -> Json:
    quick = {"read": 2e-5, "key": 4e-5, "lookup": 9e-6, "deliver": 6e-5}
    return {
        "version": "0.1.0", "python": "3.11.2", "pseudonym": "sidecache", "replica": "pod-1",
        "pid": 7, "generation": 2, "started_at": (NOW - timedelta(days=2)).isoformat(),
        "now": NOW.isoformat(), "uptime_s": 172800.0,
        "requests": {
            "total": 10_000, "hit": 6_200, "stale": 100, "coalesced": 300, "miss": 3_000,
            "bypass": 350, "degraded": 0, "error": 50, "shed": 0,
        },
        "hit_ratio": 0.683, "hit_ratio_recent": 0.702,
        "by": [
            ended("hit", "fresh", 6_200, "openai_chat", "l1_memory"),
            ended("stale", "swr", 100, "openai_chat", "l1_memory"),
            ended("coalesced", "uri-miss", 300, "openai_chat", "none"),
            ended("miss", "uri-miss", 2_900, "openai_chat", "none"),
            ended("miss", "expired", 100, "openai_chat", "none"),
            ended("bypass", "method", 350, "none", "none"),
            ended("error", "upstream-error", 50, "openai_chat", "none"),
        ],
        "latency": [{"what": "hit", **spread(6_200, 2e-4)}, {"what": "miss", **spread(3_000, 1.4)}],
        "stages": [
            *staged("hit", 6_200, **quick),
            *staged("miss", 3_000, **quick, flight=1.4),
            *staged("coalesced", 300, **quick, flight=0.8),
        ],
        "saved": {
            "calls": 6_600, "input_tokens": 5_200_000, "output_tokens": 1_400_000, "money": 27.4,
            "currency": "USD", "seconds": 9_100.0, "unpriced": [],
        },
        "spent": {"calls": 3_400, "input_tokens": 2_700_000, "output_tokens": 7_000, "money": 13.7},
        "models": [model("gpt-4o-mini", 7_000, 0.6), model("claude-sonnet", 3_000, None)],
        "flights": {"in_progress": 1, "started": 3_100, "landed": 3_050, "broken": 50},
        "clients": {"open": 12, "accepted": 400, "malformed": 0, "hang_ups": 11},
        "loop_lag": {"p50_s": 1e-4, "p99_s": 3e-3, "max_s": 0.02},
        "process": {"rss_bytes": 190_000_000, "cpu_s": 310.0, "open_fds": 80},
        "splitters": [],
    }  # fmt: skip


def ended(outcome: str, reason: str, requests: int, dialect: str, tier: str) -> Json:
    return {
        "outcome": outcome, "reason": reason, "dialect": dialect, "tier": tier,
        "requests": requests,
    }  # fmt: skip


def model(name: str, requests: int, money: float | None) -> Json:
    tokens = {
        "input_tokens": 700 * requests,
        "output_tokens": 90 * requests,
        "calls": requests // 2,
    }
    paid = {**tokens, "money": money}
    return {
        "model": name, "requests": requests, "hits": requests * 2 // 3,
        "saved": {**paid, "currency": "USD", "seconds": 0.9 * requests, "unpriced": []},
        "spent": paid,
    }  # fmt: skip


def point(number: int, **changes: Any) -> Json:
    """A minute of a day that has a tide."""
    tide = 1 + 0.4 * math.sin(number / 57)
    asked, wave = round(60 * tide), 0.02 * math.sin(number / 3)
    hits = round(asked * (0.6 + wave))
    coalesced, bypass = round(asked * 0.03), round(asked * 0.04)
    return {
        "at": (NOW - timedelta(minutes=360 - number)).isoformat().replace("+00:00", "Z"),
        "requests": asked, "hit": hits, "stale": 0, "coalesced": coalesced,
        "miss": asked - hits - coalesced - bypass, "bypass": bypass, "degraded": 0, "error": 0,
        "shed": 0, "saved_input_tokens": 800 * hits, "saved_output_tokens": 210 * hits,
        "saved_money": 0.004 * hits, "saved_s": 1.4 * hits, "p50_s": 2e-4 * (1 + wave),
        "p99_s": 3.9 + wave, "upstream_p50_s": 1.3 + wave, "bytes": 2_000 * asked,
        "tiers": {"l1_memory": hits * 9 // 10, "l2_disk": hits - hits * 9 // 10},
        **changes,
    }  # fmt: skip


def tier(name: str, *, hits: int, misses: int, p50: float | None = None, **changes: Any) -> Json:
    counted = {
        ("get", "hit"): hits, ("get", "miss"): misses, ("get", "error"): 0, ("put", "taken"): 3_000,
        ("put", "declined"): 0, ("put", "error"): 0,
    }  # fmt: skip
    return merged(
        {
            "tier": name, "state": "up", "trusted": True, "entries": 2_900, "bytes": 40_000_000,
            "max_bytes": 268_435_456,
            "operations": [
                {"operation": operation, "result": result, "count": count}
                for (operation, result), count in counted.items()
            ],
            "latency": [] if p50 is None else [{"operation": "get", **spread(hits + misses, p50)}],
            "removed": {"evicted": 0, "expired": 60, "replaced": 40, "deleted": 0, "declined": 0},
            "detail": {},
        },
        changes,
    )  # fmt: skip


def tiers(*each: Json) -> Json:
    return {
        "tiers": list(each)
        or [
            tier("l1_memory", hits=5_600, misses=3_900),
            tier("l2_disk", hits=600, misses=3_000, p50=2e-4),
        ],
        "guard": {"fill_ratio": 0.2, "lookups": 3_600, "saved": 2_950, "false_positives": 20},
        "order": ["l1_memory", "l2_disk"],
    }


def upstream(**changes: Any) -> Json:
    return merged(
        {
            "upstream": "main", "url": "http://127.0.0.1:8000", "prefix": "/", "standby": False,
            "breaker": {"enabled": True, "state": "closed", "refused": 0}, "in_use": 3,
            "max_connections": 1_024, "stale_retries": 1,
            "responses": {"2xx": 3_395, "5xx": 5}, "errors": {}, "latency": spread(3_400, 1.4),
        },
        changes,
    )  # fmt: skip


def meaning(**changes: Any) -> Json:
    stratum = {
        "fingerprint": "f", "script": "latin", "family": "gpt-4o", "error": 0.004, "low": 0.001,
        "high": 0.012, "raw": 0.004, "noise": 0.0, "labels": 400, "effective": 390.0,
        "threshold": 0.91, "open": False,
    }  # fmt: skip
    embedder = {"name": "minilm", "standing": "ready", "self_tests": {}, "late": 0, "failed": 0}
    return {
        "ready": True, "outcomes": {"semantic": 400, "no-neighbour": 600}, "bugs": 0,
        "labels_unknown": 0, "not_learned": 0, "embedder": embedder,
        "strata": [{**stratum, **changes}],
    }  # fmt: skip


def config() -> Json:
    return {
        "generation": 2, "loaded_at": NOW.isoformat(), "file": "sidecache.yaml",
        "settings": {
            "cache": {"ttl_s": 3600.0, "scope": {"by": "credential"}, "max_temperature": None},
            "l1_memory": {"max_bytes": 268_435_456}, "l2_disk": {"enabled": True},
            "semantic": {"enabled": False, "error_budget": 0.02},
        },
        "sources": {}, "yaml": "", "last_refusal": None, "needs_restart": [],
    }  # fmt: skip
