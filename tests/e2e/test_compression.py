"""Shorter prompts, seen from both ends."""

from __future__ import annotations

from support.openai_backend import OpenAIBackend
from support.proxied import proxied
from support.sdk_caller import Caller, chat

PLAN = {"path": "/v1/*", "model": "m", "rules": ["blank"]}
LONG = "Tell  me.\n" + "Line after line of what was found in the archive.\n" * 2000


async def test_the_backend_gets_less_and_the_answer_is_kept_for_the_original_only(
    backend: OpenAIBackend,
) -> None:
    async with proxied(backend.url, compression=[PLAN]) as proxy, Caller(proxy) as caller:
        first = await caller.sdk.chat.completions.with_raw_response.create(
            **chat("Why" + " " * 81 + "so?")
        )
        assert first.headers["x-cache"] == "MISS"
        assert first.headers["x-cache-compressed"] == "20"
        assert backend.asked[-1].json["messages"][0]["content"] == "Why so?"

        again = await caller.sdk.chat.completions.with_raw_response.create(
            **chat("Why" + " " * 81 + "so?")
        )
        assert again.headers["x-cache"] == "HIT"
        assert "x-cache-compressed" not in again.headers
        assert (await caller.ask(chat("Why so?")))[0] == "MISS"
        assert (await caller.ask({**chat("Why  so?"), "model": "other"}))[0] == "MISS"
        assert backend.asked[-1].json["messages"][0]["content"] == "Why  so?"
        assert len(backend.asked) == 3


async def test_a_long_context_is_cut_to_its_bound_and_streamed_as_ever(
    backend: OpenAIBackend,
) -> None:
    plan = {"max_tokens": 500, "cut": "tail"}
    asks = [
        {"role": "system", "content": LONG},
        {"role": "user", "content": "What was found?"},
    ]
    async with proxied(backend.url, compression=[plan]) as proxy, Caller(proxy) as caller:
        verdict, chunks = await caller.hear({"model": "m", "messages": asks})
        system, user = backend.asked[-1].json["messages"]
        assert verdict == "MISS"
        assert user == asks[1]
        assert len(system["content"]) < 2000
        assert "tokens left out ...]" in system["content"]
        assert await caller.hear({"model": "m", "messages": asks}) == ("HIT", chunks)


async def test_what_is_passed_on_is_not_touched(backend: OpenAIBackend) -> None:
    async with proxied(backend.url, compression=[PLAN]) as proxy, Caller(proxy) as caller:
        verdict, _ = await caller.ask({**chat("Why  so?"), "store": True})
        assert verdict == "BYPASS"
        assert backend.asked[-1].json["messages"][0]["content"] == "Why  so?"


async def test_what_is_embedded_or_signed_is_not_touched(backend: OpenAIBackend) -> None:
    away, gap = "http://127.0.0.1:9", "Why" + " " * 81 + "so?"
    degradation = {"standby": [{"url": backend.url}]}
    async with (
        proxied(away, compression=[PLAN], degradation=degradation) as proxy,
        Caller(proxy) as caller,
    ):
        await caller.sdk.embeddings.create(model="m", input=gap)
        assert backend.asked[-1].json["input"] == gap
        signed = {"Content-Digest": "sha-256=:AAAA:"}
        await caller.ask(chat(gap, extra_headers=signed))
        assert backend.asked[-1].json["messages"][0]["content"] == gap
