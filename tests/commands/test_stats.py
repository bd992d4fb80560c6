from __future__ import annotations

import json
from typing import Any

from support.told_admin import Listener, Run

STATS: dict[str, Any] = {
    "version": "1.2.3", "replica": "here:8080", "uptime_s": 7384.0, "generation": 4,
    "requests": {
        "total": 1234, "hit": 900, "stale": 0, "coalesced": 34, "miss": 200, "bypass": 90,
        "degraded": 0, "error": 10, "shed": 0,
    },
    "hit_ratio": 0.8163, "hit_ratio_recent": None,
    "by": [
        {"outcome": "miss", "reason": "unseen", "dialect": "openai_chat", "tier": "",
         "requests": 200, "bytes": 2048, "seconds": 1.0},
        {"outcome": "hit", "reason": "fresh", "dialect": "openai_chat", "tier": "l1_memory",
         "requests": 900, "bytes": 10_240, "seconds": 0.1},
    ],
    "latency": [{"what": "hit", "count": 900, "mean_s": 0.0002, "p50_s": 0.00015, "p90_s": 0.0004,
                 "p99_s": 0.0012, "max_s": 0.0199}],
    "stages": [{"outcome": "hit", "stage": "lookup", "count": 900, "mean_s": 1e-5, "p50_s": 2e-5,
                "p90_s": 3e-5, "p99_s": 4e-5}],
    "saved": {"calls": 934, "input_tokens": 12000, "output_tokens": 34000, "money": 1.5,
              "currency": "EUR", "seconds": 500.0, "unpriced": ["odd\x1b]0;model"]},
    "spent": {"calls": 200, "input_tokens": 3000, "output_tokens": None, "money": None},
    "models": [{"model": "gpt\x07-4o", "requests": 1000, "hits": 900,
                "saved": {"input_tokens": 1, "output_tokens": 2, "money": 0.5},
                "spent": {"money": 0.25}}],
    "splitters": [{"header": "x-session", "values": 50, "bodies": 3}],
}  # fmt: skip
TIERS: dict[str, Any] = {
    "tiers": [
        {"tier": "l1_memory", "state": "up", "entries": 12, "bytes": 3_000_000,
         "max_bytes": 256 * 2**20, "removed": {"evicted": 7},
         "operations": [{"operation": "get", "result": "hit", "count": 900}]},
        {"tier": "l2_redis", "state": "down", "entries": None, "bytes": None, "max_bytes": None},
    ]
}  # fmt: skip
UPSTREAMS: dict[str, Any] = {
    "upstreams": [
        {"upstream": "gpu", "breaker": {"state": "open"}, "in_use": 3,
         "responses": {"2xx": 200, "5xx": 9}, "errors": {"connect": 2},
         "latency": {"p50_s": 0.5, "p99_s": 2.0}}
    ]
}  # fmt: skip


def told(admin: Listener) -> Listener:
    admin.say("/stats", STATS)
    admin.say("/tiers", TIERS)
    admin.say("/upstreams", UPSTREAMS)
    return admin


def test_all_there_is_to_see_is_shown_in_words(run: Run, admin: Listener) -> None:
    result = run("stats", "--reasons", "--admin-url", told(admin).url)
    assert result.exit_code == 0, result.output
    for shown in (
        "sidecache 1.2.3", "here:8080", "up 2 h 3 min", "configuration 4",
        "hit ratio", "81.6 %", "72.9 %", "unseen", "l1_memory", "150 µs", "1.2 ms", "19.9 ms",
        "1.50 EUR", "8 min 20 s", " MiB", "256 MiB", "down", "open", "500 ms", "x-session",
        "cache.inert_headers",
    ):  # fmt: skip
        assert shown in result.output, shown


def test_what_is_not_known_is_a_dash_and_no_zero(run: Run, admin: Listener) -> None:
    admin.say("/stats", {"requests": {"total": 0}, "hit_ratio": None})
    admin.say("/tiers", (404, {"error": "not found"}))
    admin.say("/upstreams", (404, {"error": "not found"}))
    result = run("stats", "--admin-url", admin.url)
    assert result.exit_code == 0
    (ratio,) = [line for line in result.output.splitlines() if "hit ratio" in line]
    assert ratio.split() == ["hit", "ratio", "-"]


def test_what_a_client_said_cannot_steer_the_terminal(run: Run, admin: Listener) -> None:
    result = run("stats", "--admin-url", told(admin).url)
    assert not {"\x1b", "\x07"} & set(result.output)
    assert "gpt\\x07-4o" in result.output
    assert "odd\\x1b]0;model" in result.output


def test_programs_get_it_whole(run: Run, admin: Listener) -> None:
    result = run("stats", "--json", "--admin-url", told(admin).url)
    assert json.loads(result.stdout) == STATS | TIERS | UPSTREAMS
    assert result.stdout.count("\n") == 1
