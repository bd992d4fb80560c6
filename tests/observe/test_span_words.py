from __future__ import annotations

from typing import Any

import pytest
from support.cranked import entry

from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.meaning import Doubt
from proxy.model.message import Headers, Request
from proxy.model.outcome import Delivery, Fwd, Laps, Outcome, Record, Verdict
from proxy.model.query import Usage
from proxy.observe.span_words import Event, operation_of, told, told_first, told_of_entry

CANARY = "hunter2"
DONE = Delivery(200, 2048, True, 0.5)


class NoBody:
    length = 0

    async def whole(self, limit: int) -> bytes | None:
        return CANARY.encode()

    async def pieces(self):
        yield CANARY.encode()


def record(
    verdict: Verdict = Verdict.HIT,
    why: Why = Why.FRESH,
    delivery: Delivery = DONE,
    path: str = "/v1/chat/completions",
    **outcome: Any,
) -> Record:
    """A request whose confidential parts are the canary."""
    headers = Headers([("Authorization", f"Bearer {CANARY}"), ("Cookie", CANARY), (CANARY, "x")])
    request = Request("POST", path, f"key={CANARY}", headers, NoBody(), "127.0.0.1")
    return Record(request, Outcome(verdict, why, **outcome), delivery)


def test_all_that_is_known_is_told_and_nothing_that_was_said() -> None:
    over = record(
        dialect="openai_chat", model="gpt-4o", tier="l2_disk", key=CacheKey("anon", b"k" * 32),
        fwd=Fwd.STALE, fwd_status=503, age_s=3.0, ttl_s=-1.0, stored=False, collapsed=True,
        detail="negative", doubt=Doubt.UNWANTED, similarity=0.93, variant=2, compressed=40,
        match="a1", usage=Usage(5, 7), spared_s=1.5,
    )  # fmt: skip
    words = told(over)
    assert words.name == "chat gpt-4o"
    assert words.attributes == {
        "http.response.status_code": 200,
        "http.response.body.size": 2048,
        "client.address": "127.0.0.1",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "sidecache.cache.outcome": "hit",
        "sidecache.cache.reason": "fresh",
        "sidecache.cache.detail": "negative",
        "sidecache.cache.dialect": "openai_chat",
        "sidecache.cache.tier": "l2_disk",
        "sidecache.cache.doubt": Doubt.UNWANTED.value,
        "sidecache.cache.match": "a1",
        "sidecache.cache.forwarded": "stale",
        "sidecache.cache.age_s": 3.0,
        "sidecache.cache.ttl_s": -1.0,
        "sidecache.cache.stored": False,
        "sidecache.cache.collapsed": True,
        "sidecache.cache.similarity": 0.93,
        "sidecache.cache.variant": 2,
        "sidecache.compressed_tokens": 40,
        "sidecache.saved.seconds": 1.5,
        "sidecache.saved.input_tokens": 5,
        "sidecache.saved.output_tokens": 7,
        "sidecache.backend.status_code": 503,
        "sidecache.cache.key": (b"k" * 32).hex(),
        "sidecache.cache.scope": "anon",
    }
    assert CANARY not in f"{words} {told_first(over.request)}"


def test_what_is_not_known_is_not_told() -> None:
    words = told(record(Verdict.BYPASS, Why.ROUTE, path="/"))
    assert words.name == "POST"
    assert set(words.attributes) == {
        "http.response.status_code", "http.response.body.size", "client.address",
        "sidecache.cache.outcome", "sidecache.cache.reason",
    }  # fmt: skip
    assert words.events == ()


@pytest.mark.parametrize(
    ("verdict", "group"),
    [
        (Verdict.HIT, "sidecache.saved"),
        (Verdict.STALE, "sidecache.saved"),
        (Verdict.COALESCED, "sidecache.saved"),
        (Verdict.MISS, "gen_ai.usage"),
        (Verdict.DEGRADED, "gen_ai.usage"),
    ],
)
def test_tokens_are_told_as_spent_only_where_they_were(verdict: Verdict, group: str) -> None:
    said = told(record(verdict, usage=Usage(5, 7))).attributes
    assert {name: n for name, n in said.items() if name.endswith("_tokens")} == {
        f"{group}.input_tokens": 5,
        f"{group}.output_tokens": 7,
    }


@pytest.mark.parametrize(
    ("dialect", "path", "operation"),
    [
        ("openai_chat", "/v1/chat/completions", ("chat", "openai")),
        ("openai_chat", "/v1/completions", ("text_completion", "openai")),
        ("openai_responses", "/v1/responses", ("chat", "openai")),
        ("openai_embeddings", "/v1/embeddings", ("embeddings", "openai")),
        ("anthropic_messages", "/v1/messages", ("chat", "anthropic")),
        ("anthropic_count_tokens", "/v1/messages/count_tokens", ("", "anthropic")),
        ("ollama", "/api/chat", ("chat", "ollama")),
        ("ollama", "/api/generate", ("text_completion", "ollama")),
        ("ollama_embed", "/api/embed", ("embeddings", "ollama")),
        ("cohere_embed", "/v2/embed", ("embeddings", "cohere")),
        ("rag_json", "/ask", ("", "")),
        ("", "/", ("", "")),
    ],
)
def test_a_dialect_is_an_operation_and_whose_protocol_it_is(
    dialect: str, path: str, operation: tuple[str, str]
) -> None:
    assert operation_of(dialect, path) == operation


@pytest.mark.parametrize(
    ("verdict", "detail", "delivery", "failed", "error"),
    [
        (Verdict.MISS, "status", Delivery(500, 9, True, 0.1), "500", "500"),
        (Verdict.ERROR, "refused", Delivery(502, 9, True, 0.1), "refused", "refused"),
        (Verdict.MISS, "", Delivery(200, 9, False, 0.1, "Broken"), "Broken", "Broken"),
        (Verdict.MISS, "", Delivery(200, 9, False, 0.1, "ClientGone"), "", "ClientGone"),
        (Verdict.ERROR, "", Delivery(499, 0, False, 0.1, "ClientGone"), "", "ClientGone"),
        (Verdict.ERROR, "http_request_error", Delivery(400, 9, True, 0.1), "", None),
        (Verdict.HIT, "", DONE, "", None),
    ],
)  # fmt: skip
def test_only_what_the_proxy_or_its_backend_could_not_do_is_a_failure(
    verdict: Verdict, detail: str, delivery: Delivery, failed: str, error: str | None
) -> None:
    words = told(record(verdict, delivery=delivery, detail=detail))
    assert (words.failed, words.attributes.get("error.type")) == (failed, error)


def test_each_stage_that_took_place_ends_where_the_next_begins() -> None:
    laps = Laps(10.0)
    laps.came, laps.read, laps.looked, laps.sought = 10.25, 10.5, 10.75, 11.75
    words = told(record(Verdict.MISS, laps=laps, upstream_s=2.0))
    assert words.events == (
        Event("read", 0.25, 0.25),
        Event("key", 0.5, 0.25),
        Event("lookup", 0.75, 0.25),
        Event("meaning", 1.75, 1.0),
        Event("flight", 3.75, 2.0),
    )
    laps.sought = 0.0
    assert [event.stage for event in told(record(laps=laps)).events] == ["read", "key", "lookup"]


def test_what_clients_choose_is_bounded_and_cannot_steer_a_terminal() -> None:
    model, path = "m" * 9000, "/\x1b[31m" + "p" * 9000
    words = told(record(dialect="openai_chat", model=model, path=path))
    assert len(words.name) < 300
    first = told_first(record(path=path).request)
    assert "\x1b" not in str(first)
    assert len(str(first)) < 600


def test_a_refresh_tells_of_the_answer_that_came() -> None:
    said = told_of_entry(entry(), "/v1/chat/completions")
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "sidecache.cache.dialect": "openai_chat",
    }
