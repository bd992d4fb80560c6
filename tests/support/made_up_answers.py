"""What a proxy could tell its operator: one answer for each thing that can be asked."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

KEY = "ab" * 32
SCOPE = "0157fbbee5d110302f258f488a5568f8"
OUTCOMES = ("hit", "stale", "coalesced", "miss", "bypass", "degraded", "error", "shed")
NOW = datetime(2026, 3, 3, 14, 3, 27, tzinfo=UTC)


def _at(seconds_ago: float = 0) -> str:
    return (NOW - timedelta(seconds=seconds_ago)).isoformat().replace("+00:00", "Z")


def record(seq: int, outcome: str = "hit", **more: Any) -> Json:
    """A request as /live tells it."""
    return {
        "seq": seq,
        "at": _at(100 - seq),
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "outcome": outcome,
        "reason": {"hit": "fresh", "miss": "uri-miss"}.get(outcome, outcome),
        "detail": None,
        "dialect": "openai_chat",
        "model": "demo",
        "tier": "l1_memory" if outcome == "hit" else "",
        "scope": SCOPE,
        "key": KEY,
        "age_s": 12.5,
        "ttl_s": 3587.5,
        "stored": None,
        "duration_s": 0.00041,
        "bytes": 812,
        "complete": True,
        "error": None,
        "similarity": None,
        "doubt": None,
        "match": None,
        "variant": None,
        "input_tokens": 12,
        "output_tokens": 80,
        "repeats": 0,
        "stages": {
            "read_s": 0.0001,
            "key_s": 0.00008,
            "lookup_s": 0.00002,
            "meaning_s": 0.0,
            "flight_s": 0.0,
            "deliver_s": 0.0002,
        },
        **more,
    }


def row(**more: Any) -> Json:
    """An entry as a search finds it."""
    return {
        "key": KEY,
        "tier": "l1_memory",
        "scope": SCOPE,
        "dialect": "openai_chat",
        "model": "demo",
        "path": "/v1/chat/completions",
        "status": 200,
        "state": "fresh",
        "stored_at": _at(60),
        "age_s": 60.0,
        "ttl_s": 3540.0,
        "size_bytes": 2345,
        "tags": ["doc:17"],
        "uses": 3,
        "negative": False,
        "input_tokens": 12,
        "output_tokens": 80,
        "upstream_s": 1.4,
        "question": None,
        **more,
    }


def _point(index: int) -> Json:
    hits = round(40 + 25 * math.sin(index / 6))
    misses = round(20 + 6 * math.cos(index / 4))
    return {
        "at": _at((60 - index) * 60),
        "requests": hits + misses + 12,
        "hit": hits,
        "stale": 3,
        "coalesced": 4,
        "miss": misses,
        "bypass": 3,
        "degraded": 1,
        "error": 1 if index % 17 == 5 else 0,
        "shed": 0,
        "saved_input_tokens": hits * 14,
        "saved_output_tokens": hits * 82,
        "saved_money": hits * 0.0011,
        "saved_s": hits * 1.3,
        "p50_s": 0.0004 if index else None,
        "p99_s": 1.7 if index else None,
        "upstream_p50_s": 1.2 if index else None,
        "bytes": hits * 900,
        "tiers": {"l1_memory": hits - 6, "l2_disk": 4, "l2_redis": 2},
    }


def answers() -> dict[str, Json]:
    """What is told at each path, by method and path."""
    saved = {"input_tokens": 41_200, "output_tokens": 260_400, "money": 3.21, "currency": "USD"}
    spent = {"calls": 1204, "input_tokens": 16_800, "output_tokens": 98_000, "money": 1.18}
    explained = {
        "generation": 2,
        "upstream": "default",
        "dialect": "openai_chat",
        "outcome": "miss",
        "reason": "uri-miss",
        "says": "Nothing is stored for this question and this caller.",
        "advice": "Compare the two requests.",
        "key": KEY,
        "scope": SCOPE,
        "scope_by": ["authorization"],
        "namespace": "",
        "model": "demo",
        "keyed": {
            "headers": ["accept"],
            "body": ["messages", "model"],
            "left_out_headers": ["user-agent"],
            "left_out_fields": ["stream"],
        },
        "tiers": [
            {
                "tier": "l1_memory",
                "answer": "absent",
                "took_s": 0.000002,
                "entry": None,
                "trouble": "",
            }
        ],
        "terms": {"ttl_s": 3600.0, "rules": []},
        "ttl": {"would_be_s": 3561.0, "because": "cache.ttl_s, less jitter"},
        "semantic": {
            "asked": True,
            "doubt": "threshold",
            "threshold": 0.93,
            "neighbours": [
                {
                    "key": KEY,
                    "score": 0.91,
                    "verdict": "near",
                    "doubt": "threshold",
                    "would_serve": False,
                    "question": None,
                }
            ],
        },
        "flight": {"in_progress": False},
        "steering": [],
        "detail": "",
        "tier": None,
        "variants": 1,
        "parts": [],
        "if_backend_fails": ["stale"],
        "shortened": None,
        "notes": ["Chance takes up to 10 % off."],
    }
    return {
        "GET /stats": {
            "version": "0.1.0",
            "python": "3.11.2",
            "pseudonym": "sidecache",
            "replica": "a",
            "pid": 7,
            "generation": 2,
            "started_at": _at(9000),
            "now": _at(),
            "uptime_s": 9000.0,
            "requests": {
                "total": 4211,
                "hit": 2600,
                "stale": 120,
                "coalesced": 160,
                "miss": 1204,
                "bypass": 100,
                "degraded": 20,
                "error": 7,
                "shed": 0,
            },
            "hit_ratio": 0.7,
            "hit_ratio_recent": 0.733,
            "by": [
                {
                    "outcome": "hit",
                    "reason": "fresh",
                    "dialect": "openai_chat",
                    "tier": "l1_memory",
                    "requests": 2600,
                    "bytes": 2_000_000,
                    "seconds": 1.2,
                },
                {
                    "outcome": "miss",
                    "reason": "uri-miss",
                    "dialect": "openai_chat",
                    "tier": "",
                    "requests": 1204,
                    "bytes": 900_000,
                    "seconds": 1500.0,
                },
            ],
            "latency": [
                {
                    "what": "hit",
                    "count": 2600,
                    "mean_s": 0.0005,
                    "p50_s": 0.00041,
                    "p90_s": 0.0007,
                    "p99_s": 0.0031,
                    "max_s": 0.02,
                },
                {
                    "what": "miss",
                    "count": 1204,
                    "mean_s": 1.2,
                    "p50_s": 1.1,
                    "p90_s": 1.9,
                    "p99_s": 3.4,
                    "max_s": 9.7,
                },
            ],
            "stages": [
                {
                    "outcome": "hit",
                    "stage": "key",
                    "count": 2600,
                    "mean_s": 0.0001,
                    "p50_s": 0.0001,
                    "p90_s": 0.0002,
                    "p99_s": 0.0005,
                }
            ],
            "saved": {"calls": 2880, **saved, "seconds": 3400.0, "unpriced": ["other-model"]},
            "spent": spent,
            "models": [
                {"model": "demo", "requests": 4211, "hits": 2880, "saved": saved, "spent": spent}
            ],
            "flights": {"in_progress": 1, "started": 1300, "landed": 1290, "stored": 1200},
            "calls": {"in_flight": 3, "queued": 0, "limit": 64, "shed": {"full": 2, "share": 1}},
            "clients": {"open": 4, "accepted": 80, "malformed": 1, "hang_ups": 2},
            "loop_lag": {"p50_s": 0.0001, "p99_s": 0.0021, "max_s": 0.014},
            "process": {"rss_bytes": 81_000_000, "cpu_s": 44.1, "open_fds": 31},
            "compression": {},
            "batching": {"inputs": 9, "calls": 3, "halved": 0, "odd": 0},
            "splitters": [{"header": "x-request-tag", "values": 130, "bodies": 12}],
        },
        "GET /stats/history": {"step_s": 60.0, "points": [_point(index) for index in range(60)]},
        "GET /reasons": {
            "reasons": [
                {
                    "reason": "fresh",
                    "kind": "hit",
                    "says": "A stored answer within its lifetime.",
                    "advice": "",
                },
                {
                    "reason": "uri-miss",
                    "kind": "miss",
                    "says": "Nothing is stored for this question and this caller.",
                    "advice": "If there should be, compare the two requests.",
                },
                {
                    "reason": "threshold",
                    "kind": "miss",
                    "says": "One is near, but not near enough.",
                    "advice": "",
                },
            ]
        },
        "GET /workers": {
            "wanted": 2,
            "restarts": 3,
            "workers": [
                {
                    "slot": 1,
                    "pid": 4711,
                    "state": "ready",
                    "silent": False,
                    "age_s": 9000.0,
                    "rss_bytes": 90 * 2**20,
                    "cpu_s": 12.5,
                    "requests": 3000,
                    "in_progress": 4,
                    "connections": 7,
                    "loop_lag_p99_s": 0.002,
                },
                {
                    "slot": 2,
                    "pid": 4712,
                    "state": "starting",
                    "silent": False,
                    "age_s": None,
                    "rss_bytes": None,
                    "cpu_s": None,
                    "requests": None,
                    "in_progress": None,
                    "connections": None,
                    "loop_lag_p99_s": None,
                },
            ],
        },
        "GET /tiers": {
            "tiers": [
                {
                    "tier": "l1_memory",
                    "state": "up",
                    "trusted": True,
                    "entries": 812,
                    "bytes": 91_000_000,
                    "max_bytes": 268_435_456,
                    "operations": [{"operation": "get", "result": "hit", "count": 2600}],
                    "latency": [],
                    "removed": {"evicted": 4, "expired": 90},
                    "detail": {},
                },
                {
                    "tier": "l2_redis",
                    "state": "down",
                    "trusted": True,
                    "entries": None,
                    "bytes": None,
                    "max_bytes": None,
                    "operations": [{"operation": "get", "result": "error", "count": 3}],
                    "latency": [
                        {
                            "operation": "get",
                            "count": 9,
                            "mean_s": 0.001,
                            "p50_s": 0.0009,
                            "p99_s": 0.004,
                        }
                    ],
                    "removed": {},
                    "detail": {"standing": "refused"},
                },
            ],
            "guard": {"fill_ratio": 0.31, "lookups": 1400, "saved": 1200, "false_positives": 3},
            "journal": {"generation": 4194304, "untold": 0},
            "order": ["l1_memory", "l2_redis"],
        },
        "GET /upstreams": {
            "upstreams": [
                {
                    "upstream": "default",
                    "url": "http://127.0.0.1:8000",
                    "prefix": "",
                    "standby": False,
                    "breaker": {"enabled": True, "state": "open", "refused": 12},
                    "in_use": 3,
                    "max_connections": 100,
                    "stale_retries": 1,
                    "responses": {"2xx": 1190, "5xx": 14},
                    "errors": {"connection_timeout": 2},
                    "latency": {"count": 1204, "mean_s": 1.2, "p50_s": 1.1, "p99_s": 3.4},
                }
            ]
        },
        "GET /entries": {
            "entries": [row(), row(key="cd" * 32, tier="l2_disk", state="stale", tags=[])],
            "next": None,
            "looked_at": 2,
            "complete": True,
            "untold": [],
        },
        f"GET /entries/{KEY}": {
            "key": KEY,
            "found": [row()],
            "headers": [["content-type", "application/json"]],
            "lifetime": {"ttl_s": 3600.0, "stale_while_revalidate_s": 0.0, "stale_if_error_s": 0.0},
            "form": {"stream": False},
            "content": {"shown": False, "question": None, "body": None, "truncated": False},
        },
        "POST /purge": {"complete": True, "generation": 5, "absent": [], "trouble": ""},
        "GET /semantic": {
            "ready": True,
            "outcomes": {"threshold": 40, "semantic": 12},
            "bugs": 0,
            "labels_unknown": 0,
            "not_learned": 1,
            "embedder": {
                "name": "ngram",
                "standing": "ready",
                "late": 0,
                "failed": 0,
                "self_tests": {"latin": {"passed": True, "why": ""}},
            },
            "strata": [
                {
                    "fingerprint": "f" * 32,
                    "script": "latin",
                    "family": "demo",
                    "error": 0.004,
                    "low": 0.001,
                    "high": 0.011,
                    "raw": 0.006,
                    "noise": 0.002,
                    "labels": 310,
                    "effective": 280.5,
                    "threshold": 0.93,
                    "open": False,
                }
            ],
        },
        "POST /semantic/neighbours": {
            "threshold": 0.93,
            "least": 0.7,
            "open": False,
            "doubt": None,
            "says": "",
            "neighbours": [
                {
                    "key": KEY,
                    "score": 0.95,
                    "verdict": "served",
                    "doubt": None,
                    "would_serve": True,
                    "question": None,
                },
                {
                    "key": "cd" * 32,
                    "score": 0.88,
                    "verdict": "near",
                    "doubt": "threshold",
                    "would_serve": False,
                    "question": None,
                },
            ],
            "served_at": {"0.80": 2, "0.90": 1, "0.96": 0},
        },
        "POST /feedback": {"learned": True},
        "POST /explain": {"request": explained, "other": None, "same_key": None, "differences": []},
        "GET /config": {
            "generation": 2,
            "loaded_at": _at(300),
            "file": "/etc/sidecache/sidecache.yaml",
            "settings": {
                "listen": "127.0.0.1:8080",
                "cache": {"ttl_s": 3600, "rules": []},
                "admin": {"token": "**********"},
            },
            "sources": {"cache.ttl_s": "sidecache.yaml:12", "admin.token": "environment"},
            "yaml": "cache:\n  ttl_s: 3600\n",
            "last_refusal": {"at": _at(100), "why": "cache.ttl_s: not a number"},
            "needs_restart": ["listen"],
        },
        "POST /reload": {"generation": 3, "changed": ["cache.ttl_s"]},
        "GET /openapi.json": {"paths": {"/semantic": {}, "/profile": {}}},
    }
