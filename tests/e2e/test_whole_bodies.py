"""Rerank, moderations, and completions of several prompts: one document asks, one answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from support.raw_client import RawResponse
from support.scene import Scene, scene
from support.scripted import Call

Json = dict[str, Any]
JSON = [("Content-Type", "application/json")]


@asynccontextmanager
async def client(s: Scene) -> AsyncIterator[openai.AsyncOpenAI]:
    sdk = openai.AsyncOpenAI(base_url=f"{s.proxy.url}/v1", api_key="sk-one", max_retries=0)
    async with sdk:
        yield sdk


async def post(s: Scene, path: str, body: Json) -> RawResponse:
    content = json.dumps(body).encode()
    raw = await s.client()
    await raw.send(
        b"POST %b HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer key\r\nContent-Length: %d\r\n\r\n%b"
        % (path.encode(), len(content), content)
    )
    reply = await raw.response()
    await s.proxy.landed()
    return reply


# Rerank, over plain HTTP.

RANKS = {
    "model": "rerank-v3.5",
    "query": "capital?",
    "documents": ["Oslo", "cat", "Rome"],
    "top_n": 2,
}
RANKED = b"""{"id": "a", "results": [
  {"index":2,"relevance_score":0.90}, {"index":0,"relevance_score":1E-1}
], "meta": {}}"""
BARE = b'[{"index":1,"score":0.99},{"index":0,"score":0.5}]'


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/v1/rerank", RANKS, RANKED),
        ("/v2/rerank", RANKS, RANKED),
        ("/rerank", RANKS, RANKED),
        ("/rerank", {"query": "a", "texts": ["b", "c"]}, BARE),
    ],
    ids=["v1", "v2", "bare", "tei"],
)
async def test_a_ranking_is_asked_for_once_and_replayed_to_the_byte(
    path: str, body: Json, answer: bytes
) -> None:
    async with scene() as s:
        s.up.answer_with(lambda call: call.reply(200, JSON, answer))
        replies = [await post(s, path, body) for _ in range(2)]
        assert [reply.get("X-Cache") for reply in replies] == ["MISS", "HIT"]
        assert [reply.body for reply in replies] == [answer] * 2
        assert s.proxy.records[-1].outcome.dialect == "rerank"
        other = await post(s, path, {**body, "query": "b"})
        assert other.get("X-Cache") == "MISS"


@pytest.mark.parametrize(
    "answer",
    [
        b'{"results":[{"index":0,"score":1},{"index":1,"score":1},{"index":2,"score":1}]}',
        b'{"results":[{"index":1,"score":1},{"index":1,"score":1}]}',
        b'{"results":[{"index":3,"score":1}]}',
        b'{"results":[]}',
        b'{"detail":"warming up"}',
        b'{"results":[{"index":0,"sco',
    ],
)
async def test_a_ranking_of_something_else_is_passed_on_and_not_kept(answer: bytes) -> None:
    async with scene(cache={"negative": {"ttl_s": 0}}) as s:
        s.up.answer_with(lambda call: call.reply(200, JSON, answer))
        for _ in range(2):
            reply = await post(s, "/v1/rerank", RANKS)
            assert reply.body == answer
            assert reply.get("X-Cache") == "MISS"
        assert s.up.calls == 2


# Moderations, by OpenAI's client.


async def moderate(call: Call) -> None:
    given = json.loads(call.body)["input"]
    texts = given if isinstance(given, list) else [given]
    await call.reply(200, JSON, json.dumps(judged(*texts)).encode())


def judged(*texts: str) -> Json:
    results = [
        {
            "flagged": "bad" in text,
            "categories": {"hate": "bad" in text},
            "category_scores": {"hate": 0.75 if "bad" in text else 1.5e-7},
            "category_applied_input_types": {"hate": ["text"]},
        }
        for text in texts
    ]
    return {"id": "modr-1", "model": "omni-moderation-latest", "results": results}


@pytest.mark.parametrize("given", ["bad dog", ["good dog", "bad dog"]])
async def test_a_judgement_is_asked_for_once(given: Any) -> None:
    async with scene() as s, client(s) as sdk:
        s.up.answer_with(moderate)
        one, other = [await sdk.moderations.create(input=given) for _ in range(2)]
        assert one == other
        assert one.results[-1].flagged
        assert s.proxy.verdicts == ["MISS", "HIT"]
        await sdk.moderations.create(input="good dog")
        assert s.proxy.verdicts[-1] == "MISS"


async def test_a_judgement_that_lacks_an_input_is_not_kept() -> None:
    async with scene() as s, client(s) as sdk:
        short = json.dumps(judged("good dog")).encode()
        s.up.answer_with(lambda call: call.reply(200, JSON, short))
        for _ in range(2):
            await sdk.moderations.create(input=["good dog", "bad dog"])
        assert s.proxy.verdicts == ["MISS", "MISS"]
        assert s.proxy.records[-1].outcome.detail == "incomplete"


# Completions of several prompts, each of them several times.


async def complete(call: Call) -> None:
    asked = json.loads(call.body)
    prompts, times = asked["prompt"], asked.get("n", 1)
    texts = [f"{prompt}-{each}" for prompt in prompts for each in range(times)]
    common = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 4, "completion_tokens": 8, "total_tokens": 12}
    if not asked.get("stream"):
        choices = [
            {"index": at, "text": text, "logprobs": None, "finish_reason": "stop"}
            for at, text in enumerate(texts)
        ]
        await call.reply(
            200, JSON, json.dumps({**common, "choices": choices, "usage": usage}).encode()
        )
        return
    await call.head(200, [("Content-Type", "text/event-stream")], chunked=True)
    chunks: list[Json] = []
    for finish in (None, "stop"):  # those of all prompts mixed, as they come out of a batch
        chunks += [
            {
                "index": at,
                "text": text if finish is None else "",
                "logprobs": None,
                "finish_reason": finish,
            }
            for at, text in enumerate(texts)
        ]
    for chunk in chunks:
        await call.chunk(event({**common, "choices": [chunk], "usage": None}))
    await call.chunk(event({**common, "choices": [], "usage": usage}) + b"data: [DONE]\n\n")
    await call.end()


def event(chunk: Json) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


PROMPTS = [["a", "b"], [[1, 2], [3]], [1, 2]]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("n", [1, 3])
async def test_every_prompt_has_its_completions_in_either_form(prompt: Any, n: int) -> None:
    async with scene() as s, client(s) as sdk:
        s.up.answer_with(complete)
        asked: Json = {"model": "m", "prompt": prompt, "n": n}
        one, other = [await sdk.completions.create(**asked) for _ in range(2)]
        assert one == other
        assert [choice.index for choice in one.choices] == list(range(len(prompt) * n))
        assert one.choices[-1].text == f"{prompt[-1]}-{n - 1}"
        heard = [chunk async for chunk in await sdk.completions.create(**asked, stream=True)]
        told = {choice.index: choice.text for chunk in heard for choice in chunk.choices}
        assert sorted(told) == list(range(len(prompt) * n))
        await s.proxy.counted(lambda: len(s.proxy.verdicts) == 3)
        assert s.proxy.verdicts == ["MISS", "HIT", "HIT"]
        assert s.up.calls == 1


async def test_a_stream_of_several_prompts_is_told_as_a_document() -> None:
    async with scene() as s, client(s) as sdk:
        s.up.answer_with(complete)
        asked: Json = {"model": "m", "prompt": ["a", "b"], "n": 2}
        options = {"include_usage": True}
        stream = await sdk.completions.create(**asked, stream=True, stream_options=options)
        assert len([chunk async for chunk in stream]) == 9
        await s.proxy.landed()
        told = await sdk.completions.create(**asked)
        assert [choice.text for choice in told.choices] == ["a-0", "a-1", "b-0", "b-1"]
        assert [choice.index for choice in told.choices] == [0, 1, 2, 3]
        assert s.up.calls == 1


async def test_prompts_in_another_order_are_another_question() -> None:
    async with scene() as s, client(s) as sdk:
        s.up.answer_with(complete)
        for prompt in (["a", "b"], ["b", "a"], ["a"], "a", [[1], [2]], [[1, 2]]):
            await sdk.completions.create(model="m", prompt=prompt)
        assert s.up.calls == 6


@pytest.mark.parametrize("missing", [0, 1])
async def test_completions_with_a_gap_are_not_kept(missing: int) -> None:
    async with scene() as s, client(s) as sdk:
        choices = [
            {"index": at, "text": "x", "finish_reason": "stop" if at != missing else None}
            for at in range(3)
        ]
        body = json.dumps({"object": "text_completion", "choices": choices}).encode()
        s.up.answer_with(lambda call: call.reply(200, JSON, body))
        for _ in range(2):
            await sdk.completions.create(model="m", prompt=["a", "b", "c"])
        assert s.up.calls == 2
