from __future__ import annotations

import re

import pytest
from support.reported import (
    Json,
    meaning,
    merged,
    saved,
    staged,
    tier,
    tiers,
    told,
    upstream,
)

from proxy.config.outline import outline
from proxy.reporting.findings import RULES, findings, health, reuse, slow
from proxy.reporting.findings import meaning as by_meaning
from proxy.reporting.findings.finding import Finding, Rule, Weight
from proxy.reporting.told import read


def ended(outcome: str, reason: str, count: int) -> Json:
    """A proxy of which so many requests ended so."""
    by = {"outcome": outcome, "reason": reason, "dialect": "openai_chat", "tier": "none"}
    rest = {**by, "outcome": "hit", "reason": "fresh", "requests": 1_000 - count}
    counted = {"total": 1_000, outcome: count, "hit": 1_000 - count}
    none = dict.fromkeys(("stale", "coalesced", "miss", "bypass", "error"), 0)
    return {
        "stats": {"requests": {**none, **counted}, "by": [{**by, "requests": count}, rest]},
    }


def lagging(p99: float) -> Json:
    return {"stats": {"loop_lag": {"p99_s": p99}}}


def stages(outcome: str, count: int = 1_000, **took: float) -> list[Json]:
    return [*staged(outcome, count, **took)]


EVICTING = tiers(
    tier("l1_memory", hits=5_600, misses=3_900, bytes=268_000_000, removed={"evicted": 900}),
    tier("l2_disk", hits=600, misses=3_000),
)
SLOW_DISK = tiers(
    tier("l1_memory", hits=5_600, misses=3_900), tier("l2_disk", hits=600, misses=9, p50=0.02)
)
FAILING = merged(
    tier("l2_redis", hits=500, misses=400),
    {"operations": [
        {"operation": "get", "result": "hit", "count": 900},
        {"operation": "get", "result": "error", "count": 100},
    ]},
)  # fmt: skip
DECLINING = merged(
    tier("l1_memory", hits=1, misses=1),
    {"operations": [
        {"operation": "put", "result": "taken", "count": 60},
        {"operation": "put", "result": "declined", "count": 40},
    ]},
)  # fmt: skip
GENEROUS = {"config": {"settings": {"semantic": {"error_budget": 0.1}}}}
BY_MEANING = {"config": {"settings": {"semantic": {"enabled": True, "error_budget": 0.02}}}}

# Each rule, what makes it speak, a setting that it must name, and what keeps it silent.
CASES: list[tuple[Rule, Json, str, Json]] = [
    (slow.backend_takes_most, {}, "", {"stats": {"stages": stages("hit", lookup=1e-5)}}),
    (
        slow.lookups_are_slow,
        {"stats": {"stages": stages("miss", lookup=0.02)}, "tiers": SLOW_DISK},
        "l2_disk.read_timeout_s",
        {"stats": {"stages": stages("miss", lookup=0.002)}, "tiers": SLOW_DISK},
    ),
    (
        slow.lookups_are_slow,
        {
            "stats": {"stages": stages("hit", lookup=0.02)},
            "tiers": tiers(tier("l2_redis", hits=9, misses=9, p50=0.01)),
        },
        "l2_redis.timeout_s",
        {"stats": {"stages": []}},
    ),
    (
        slow.meaning_is_slow,
        {"stats": {"stages": stages("miss", meaning=0.06, flight=5.0)}},
        "semantic.embedder.timeout_s",
        {"stats": {"stages": stages("miss", meaning=0.02, flight=5.0)}},
    ),
    (
        slow.meaning_is_slow,  # fast, but so is the backend
        {"stats": {"stages": stages("miss", meaning=0.02, flight=0.05)}},
        "semantic.embedder.kind",
        {"stats": {"stages": stages("miss", 5, meaning=0.02, flight=0.05)}},
    ),
    (
        slow.reading_is_slow,
        {"stats": {"stages": stages("miss", read=0.5)}},
        "downstream.limits.body_min_rate_bytes",
        {"stats": {"stages": stages("miss", read=0.1)}},
    ),
    (
        slow.keys_are_slow,
        {"stats": {"stages": stages("hit", key=0.01)}},
        "cache.max_request_bytes",
        {"stats": {"stages": stages("hit", key=0.001)}},
    ),
    (slow.the_loop_lags, lagging(0.06), "semantic.embedder.kind", lagging(0.04)),
    (
        slow.connections_run_out,
        {"upstreams": {"upstreams": [upstream(in_use=1_000)]}},
        "upstreams.N.max_connections",
        {"upstreams": {"upstreams": [upstream(in_use=1_000, max_connections=None)]}},
    ),
    (
        slow.followers_wait,
        {"stats": {"stages": [*stages("coalesced", flight=20.0), *stages("miss", flight=1.0)]}},
        "flights.wait_timeout_s",
        {"stats": {"stages": [*stages("coalesced", flight=2.0), *stages("miss", flight=1.0)]}},
    ),
    (
        slow.clients_take_slowly,
        {
            "stats": {"stages": stages("hit", lookup=1e-4, deliver=2.0)},
            "config": {"settings": {"cache": {"replay_chunk_delay_s": 0.02}}},
        },
        "cache.replay_chunk_delay_s",
        {"stats": {"stages": stages("hit", lookup=1e-4, deliver=0.01)}},
    ),
    *[
        (reuse.passed_on, ended("bypass", reason, 300), setting, ended("bypass", reason, 50))
        for reason, setting in [
            ("no-store", "cache.compatibility"),
            ("temperature", "cache.max_temperature"),
            ("stateful", "rag.N.stateful"),
            ("hosted-tools", ""),
            ("too-large", "cache.max_request_bytes"),
            ("unkeyable", ""),
            ("not-understood", "rag.N.paths"),
            ("time-sensitive", "cache.time_sensitive.action"),
            ("disabled", "cache.rules.N.enabled"),
            ("route", "http_resource.enabled"),
            ("version", "rag.N.version.url"),
            ("indivisible", "embeddings.batching.max_reply_bytes"),
        ]
    ],
    *[
        (reuse.missed, ended("miss", reason, 300), setting, ended("miss", reason, 15))
        for reason, setting in [
            ("expired", "cache.ttl_s"),
            ("no-cache", ""),
            ("max-age", "cache.refresh_ahead"),
            ("form", "cache.json_without_usage"),
            ("hit-for-miss", "cache.scope.by"),
            ("give-up", "flights.hit_for_miss_s"),
            ("wait-timeout", "flights.wait_timeout_s"),
            ("crowded", "flights.max_flights"),
            ("truncated", "cache.store_truncated"),
            ("tool-calls", "cache.store_tool_calls"),
            ("first-sighting", "cache.admission.seen_times"),
            ("encoded", "upstreams.N.set_headers"),
            ("private", "cache.scope.by"),
            ("set-cookie", "cache.inert_cookies"),
            ("too-large", "cache.max_entry_bytes"),
            ("incomplete", "upstreams.N.idle_timeout_s"),
        ]
    ],
    (reuse.not_kept, {"tiers": tiers(DECLINING)}, "cache.max_entry_bytes", {}),
    (
        reuse.memory_is_short,
        {"tiers": EVICTING},
        "l1_memory.max_bytes",
        {"tiers": merged(EVICTING, {"tiers": [{**EVICTING["tiers"][0], "bytes": 9}]})},
    ),
    (
        reuse.headers_split,
        {"stats": {"splitters": [{"header": "x-user-id", "values": 40, "bodies": 1}]}},
        "cache.inert_headers",
        {"stats": {"splitters": [{"header": "x-user-id", "values": 3, "bodies": 1}]}},
    ),
    (
        reuse.most_are_new,
        ended("miss", "uri-miss", 950),
        "semantic.enabled",
        {**ended("miss", "uri-miss", 950), "semantic": meaning()},
    ),
    (health.nothing_asked, {"stats": {"requests": {"total": 0}}}, "listen", {}),
    (
        health.tiers_are_away,
        {"tiers": tiers(tier("l2_redis", hits=1, misses=1, state="down"))},
        "l2_redis.url",
        {"tiers": tiers(tier("l2_redis", hits=1, misses=1, state="off"))},
    ),
    (health.tiers_fail, {"tiers": tiers(FAILING)}, "l2_redis.timeout_s", {}),
    (
        health.breakers_are_open,
        {"upstreams": {"upstreams": [upstream(breaker={"state": "open", "refused": 9})]}},
        "degradation.standby",
        {},
    ),
    (
        health.backends_fail,
        {"upstreams": {"upstreams": [upstream(errors={"connection_timeout": 400})]}},
        "upstreams.N.connect_timeout_s",
        {"upstreams": {"upstreams": [upstream(responses={"2xx": 5}, errors={"dns_error": 5})]}},
    ),
    (
        health.kept_connections_are_stale,
        {"upstreams": {"upstreams": [upstream(stale_retries=400)]}},
        "upstreams.N.keepalive_s",
        {},
    ),
    (health.errors_are_many, ended("error", "upstream-error", 30), "cache.stale_if_error_s", {}),
    (
        health.some_are_turned_away,
        {"stats": {"requests": {"shed": 4}}},
        "downstream.limits.max_connections",
        {},
    ),
    (
        health.clients_hang_up,
        {"stats": {"clients": {"hang_ups": 2_000}}},
        "flights.orphan_budget_s",
        {},
    ),
    (
        health.the_guard_is_full,
        {"tiers": {"guard": {"lookups": 900, "saved": 100, "false_positives": 300}}},
        "l2_disk.guard",
        {"tiers": {"guard": None}},
    ),
    (
        health.a_configuration_was_refused,
        {"config": {"last_refusal": {"at": "12:00", "why": "cache.ttl_s: not 0"}}},
        "",
        {},
    ),
    (
        health.models_have_no_price,
        {"stats": {"saved": {"unpriced": [f"model-{n}" for n in range(9)]}}},
        "savings.prices",
        {},
    ),
    (
        by_meaning.budget_is_spent,
        {"semantic": meaning(open=True)},
        "semantic.threshold",
        {"semantic": meaning()},
    ),
    (
        by_meaning.budget_is_spent,
        {"semantic": meaning(error=0.04, high=0.06), **BY_MEANING},
        "semantic.vetoes.words",
        {"semantic": meaning(error=0.04, high=0.9, labels=10), **BY_MEANING},
    ),
    (
        by_meaning.budget_is_spent,
        {"semantic": meaning(high=0.03)},
        "semantic.shadow.per_minute",
        {"semantic": meaning(high=0.03), **GENEROUS},
    ),
    (
        by_meaning.vectors_are_missing,
        {"semantic": merged(meaning(), {"ready": False})},
        "semantic.embedder.model",
        {"semantic": merged(meaning(), {"embedder": None, "ready": False})},
    ),
    (
        by_meaning.vectors_are_missing,
        {"semantic": merged(meaning(), {"embedder": {"late": 90, "failed": 10}})},
        "semantic.embedder.timeout_s",
        {"semantic": merged(meaning(), {"embedder": {"late": 9}})},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "given", "setting", "_"), CASES)
def test_a_rule_says_what_is_the_case_and_which_setting_to_change(
    rule: Rule, given: Json, setting: str, _: Json
) -> None:
    (found,) = rule(told(**given))

    assert not setting or setting in found.settings
    assert all(text.endswith((".", ")")) or ":" in text for text in (found.why, found.advice))
    assert 0 <= found.reach <= 1
    for text in (found.title, found.why, found.advice):
        assert "None" not in text


@pytest.mark.parametrize(("rule", "_", "_setting", "given"), CASES)
def test_a_rule_is_silent_where_it_is_not_the_case(
    rule: Rule, _: Json, _setting: str, given: Json
) -> None:
    assert list(rule(told(**given))) == []


def test_every_rule_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(RULES)


def test_every_setting_that_is_named_exists() -> None:
    known = {re.sub(r"\*", "N", setting.name) for setting in outline()}
    found = [each for rule, given, *_ in CASES for each in rule(told(**given))]
    named = {name for each in found for name in each.settings}
    named |= {name for settings in _remedies() for name in settings}

    assert named - known == set()


def _remedies() -> list[tuple[str, ...]]:
    tables = (reuse._BYPASSED, reuse._MISSED, reuse._NOT_KEPT)
    return [remedy.settings for table in tables for remedy in table.values()]


def test_what_is_most_pressing_comes_first_and_then_what_reaches_furthest() -> None:
    found = findings(
        told(
            **merged(ended("bypass", "temperature", 300), lagging(0.06)),
            tiers=tiers(tier("l2_redis", hits=1, misses=1, state="down")),
        )
    )

    assert [each.weight for each in found] == sorted(each.weight for each in found)
    assert found[0].title == "l2_redis is down"
    changes = [each.reach for each in found if each.weight is Weight.CHANGE]
    assert changes == sorted(changes, reverse=True)
    assert len(changes) == 2


def test_a_healthy_proxy_has_nothing_to_change() -> None:
    assert [each.weight for each in findings(told())] == [Weight.NOTE]  # the backend takes most


def test_a_proxy_of_which_nothing_is_known_is_judged_too() -> None:
    bare = read(
        {"sidecache_report": 1, "saved_at": "2026-05-04T12:00:00Z", "stats": {"requests": {}}}
    )

    assert [each.title for each in findings(bare)] == ["Nothing was asked yet"]


@pytest.mark.parametrize(("number", "weight"), [(0.06, Weight.CHANGE), (0.5, Weight.ACT)])
def test_a_loop_that_is_very_late_is_pressing(number: float, weight: Weight) -> None:
    (found,) = slow.the_loop_lags(told(**lagging(number)))

    assert found.weight is weight


def test_eviction_at_the_lowest_tier_counts_although_nothing_is_found_below_it() -> None:
    only = tiers(
        tier("l1_memory", hits=900, misses=900, bytes=268_000_000, removed={"evicted": 2_000})
    )
    (found,) = reuse.memory_is_short(told(tiers=only))

    assert "512 MiB" in found.advice


def test_eviction_of_what_is_not_asked_again_is_as_it_should_be() -> None:
    unused = tiers(EVICTING["tiers"][0], tier("l2_disk", hits=1, misses=3_000))

    assert list(reuse.memory_is_short(told(tiers=unused))) == []


def test_a_healthy_tier_may_be_slow_without_being_the_one_to_blame() -> None:
    given = {"stats": {"stages": stages("hit", lookup=0.02)}}
    (found,) = slow.lookups_are_slow(told(**given))

    assert "/tiers" in found.advice


def test_the_findings_of_a_document_are_the_same_each_time() -> None:
    document = saved(stats={"loop_lag": {"p99_s": 1.0}})
    once: list[Finding] = findings(read(document))

    assert findings(read(document)) == once
