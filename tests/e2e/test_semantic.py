"""Answers to questions in other words: the whole proxy, OpenAI's own client, a real model."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion
from support.openai_backend import OpenAIBackend
from support.proxied import Proxied, proxied
from support.sdk_caller import Caller, chat, counted
from support.worded import NO_SHADOW, learned, ready

from proxy.semantic.embedding import Standing

Headers = dict[str, str | None]

ASKED = "How do I reset my password?"
ALIKE = "I forgot my password, how do I reset it?"
NEAR = "How can I reset my password if I forgot it?"  # 0.93, where ALIKE has 0.94


@pytest.fixture
async def proxy(backend: OpenAIBackend, minilm_int8: Path) -> AsyncIterator[Proxied]:
    embedder = {"kind": "onnx", "path": str(minilm_int8), "timeout_s": 10.0}
    semantic = {"enabled": True, "embedder": embedder, "index": {"timeout_s": 10.0}, **NO_SHADOW}
    async with proxied(backend.url, semantic=semantic) as proxy:
        await ready(proxy)
        yield proxy


async def ask(caller: Caller, text: str, **more: Any) -> tuple[ChatCompletion, Headers]:
    """An answer, and what the proxy tells of it."""
    raw = await caller.sdk.chat.completions.with_raw_response.create(**chat(text, **more))
    names = ("", "-reason", "-similarity", "-error-bound", "-match", "-tier")
    return raw.parse(), {name[1:]: raw.headers.get(f"x-cache{name}") for name in names}


async def asked_once(proxy: Proxied, caller: Caller, text: str, **more: Any) -> ChatCompletion:
    answer, headers = await ask(caller, text, **more)
    assert headers[""] == "MISS"
    await learned(proxy)
    return answer


def content(answer: ChatCompletion) -> str | None:
    return answer.choices[0].message.content


async def test_a_paraphrase_is_answered_without_the_backend_and_says_how_near_it_was(
    proxy: Proxied, caller: Caller, backend: OpenAIBackend
) -> None:
    first = await asked_once(proxy, caller, ASKED)
    again, headers = await ask(caller, ALIKE)
    assert again == first
    assert (headers[""], headers["reason"], headers["tier"]) == ("HIT", "semantic", "l1_memory")
    assert 0.9 <= float(headers["similarity"] or 0) < 1
    assert headers["error-bound"] == "1.0000; estimate=0.0000; labels=0"
    assert re.fullmatch("[0-9a-f]{16}", headers["match"] or "")
    assert len(backend.asked) == 1
    # It is stored under the question that was asked first alone.
    _, own = await ask(caller, ASKED)
    assert (own["reason"], own["similarity"], own["match"]) == ("fresh", None, None)
    _, same = await ask(caller, ALIKE)
    assert (same["reason"], same["match"]) == ("semantic", headers["match"])
    assert len(backend.asked) == 1


@pytest.mark.parametrize(
    ("asked", "other", "doubt"),
    [
        (
            "How long should I boil an egg for 7 minutes?",
            "How long should I boil an egg for 9 minutes?",
            "veto-numbers",
        ),
        ("Is it safe to eat raw eggs?", "Is it not safe to eat raw eggs?", "veto-negation"),
        ("How do I fly from Paris to Rome?", "How do I fly from Rome to Paris?", "veto-order"),
        (ASKED, "Who painted the ceiling of the chapel?", "no-neighbour"),
    ],
)
async def test_what_only_looks_alike_is_asked_for(
    proxy: Proxied, caller: Caller, asked: str, other: str, doubt: str
) -> None:
    first = await asked_once(proxy, caller, asked)
    second, headers = await ask(caller, other)
    assert (headers[""], headers["reason"]) == ("MISS", f"uri-miss, {doubt}")
    assert headers["similarity"] is None
    assert content(second) != content(first)


async def test_an_english_model_says_nothing_of_chinese_but_what_needs_no_model_is_found(
    proxy: Proxied, caller: Caller, backend: OpenAIBackend
) -> None:
    assert proxy.semantic is not None
    assert proxy.semantic.embedding is not None
    assert proxy.semantic.embedding.standing is Standing.PARTLY
    first = await asked_once(proxy, caller, "怎么修改登录密码")
    _, headers = await ask(caller, "怎么修改支付密码")  # the same vector, to this model
    assert (headers[""], headers["reason"]) == ("MISS", "uri-miss, self-test")
    again, headers = await ask(caller, "如何修改登录密码？")  # noqa: RUF001 - Chinese
    assert (headers[""], headers["reason"]) == ("HIT", "canonical")
    assert again == first
    assert len(backend.asked) == 2


async def test_words_that_the_model_does_not_know_are_not_looked_for(
    proxy: Proxied, caller: Caller
) -> None:
    _, headers = await ask(caller, "How do I order ᎠᏂᏴᏫᏯ ᏓᎵᏆ ᏣᎳᎩ from the menu?")
    assert headers["reason"] == "uri-miss, coverage"


async def test_a_document_is_replayed_as_a_stream(
    proxy: Proxied, caller: Caller, backend: OpenAIBackend
) -> None:
    stored = await asked_once(proxy, caller, ASKED)
    verdict, chunks = await caller.hear(counted(chat(ALIKE)))
    assert verdict == "HIT"
    heard = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
    assert heard == content(stored)
    assert {chunk.id for chunk in chunks} == {stored.id}
    assert len(backend.asked) == 1


async def test_a_stream_is_replayed_as_a_document_and_as_a_stream(
    proxy: Proxied, caller: Caller, backend: OpenAIBackend
) -> None:
    verdict, chunks = await caller.hear(counted(chat(ASKED)))
    assert verdict == "MISS"
    await learned(proxy)
    again, headers = await ask(caller, ALIKE)
    assert headers["reason"] == "semantic"
    assert content(again) == "".join(c.delta.content or "" for k in chunks for c in k.choices)
    assert await caller.hear(counted(chat(ALIKE))) == ("HIT", chunks)
    assert len(backend.asked) == 1


async def test_a_caller_may_want_none_or_more_similarity(
    proxy: Proxied, caller: Caller, backend: OpenAIBackend
) -> None:
    await asked_once(proxy, caller, ASKED)
    _, headers = await ask(caller, ALIKE, extra_body={"cache": {"threshold": 0.99}})
    assert headers["reason"] == "uri-miss, threshold"
    await learned(proxy)
    _, headers = await ask(caller, NEAR, extra_body={"cache": {"semantic": False}})
    assert headers["reason"] == "uri-miss, unwanted"
    assert [b"cache" in asked.body for asked in backend.asked] == [False] * 3


async def test_a_wish_for_less_similarity_is_none(proxy: Proxied, caller: Caller) -> None:
    await asked_once(proxy, caller, "Do you ship to Norway?")
    near = "Is shipping to Norway possible?"  # 0.85
    _, headers = await ask(caller, near, extra_body={"cache": {"threshold": 0.5}})
    assert headers["reason"] == "uri-miss, threshold"


async def test_another_key_asks_for_itself(
    proxy: Proxied, caller: Caller, backend: OpenAIBackend
) -> None:
    await asked_once(proxy, caller, ASKED)
    async with Caller(proxy, "sk-two") as other:
        answer, headers = await ask(other, ALIKE)
    assert headers["reason"] == "uri-miss, no-neighbour"
    assert "sk-two" in (content(answer) or "")


async def test_only_what_is_stored_is_wanted_and_other_words_will_do(
    proxy: Proxied, caller: Caller, backend: OpenAIBackend
) -> None:
    stored = await asked_once(proxy, caller, ASKED)
    only = {"Cache-Control": "only-if-cached"}
    again, headers = await ask(caller, ALIKE, extra_headers=only)
    assert (again, headers["reason"]) == (stored, "semantic")
    with pytest.raises(openai.InternalServerError) as raised:
        await ask(caller, "Who painted the ceiling of the chapel?", extra_headers=only)
    assert raised.value.status_code == 504
    assert len(backend.asked) == 1
