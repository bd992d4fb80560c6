"""Ollama's and Cohere's embeddings over sockets: stored input by input, in each one's own shape."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from support.embedding_backend import EmbeddingBackend, numbers
from support.proxied import proxied

Json = dict[str, Any]

PROTOCOLS = [
    pytest.param("/api/embed", "input", {"model": "e", "keep_alive": "1m"}, id="ollama"),
    pytest.param("/v1/embed", "texts", {"model": "e"}, id="cohere"),
    pytest.param(
        "/v2/embed", "texts", {"model": "e", "embedding_types": ["float", "int8"]}, id="by type"
    ),
]


async def ask(session: aiohttp.ClientSession, url: str, body: Json) -> tuple[str, Json]:
    async with session.post(url, json=body) as reply:
        assert reply.status == 200
        return reply.headers["X-Cache"], await reply.json()


def floats(document: Json) -> list[list[float]]:
    made = document["embeddings"]
    return made["float"] if isinstance(made, dict) else made


@pytest.mark.parametrize(("path", "name", "rest"), PROTOCOLS)
async def test_only_what_is_not_known_is_asked_for(path: str, name: str, rest: Json) -> None:
    async with (
        EmbeddingBackend() as backend,
        proxied(backend.url) as proxy,
        aiohttp.ClientSession() as session,
    ):
        url = proxy.url + path
        first = await ask(session, url, {**rest, name: ["One", "two", "three"]})
        again = await ask(session, url, {**rest, name: ["two", "four", "One"]})
        alone = await ask(session, url, {**rest, name: ["four"]})

    assert [first[0], again[0], alone[0]] == ["MISS", "MISS", "HIT"]
    assert [call.inputs for call in backend.asked] == [["One", "two", "three"], ["four"]]
    expected = [numbers(text, "") for text in ("two", "four", "One")]
    assert floats(again[1]) == [pytest.approx(vector, abs=1e-9) for vector in expected]
    assert floats(alone[1])[0] == floats(again[1])[1]
    if path == "/api/embed":
        assert again[1]["prompt_eval_count"] == len("twofourOne")
    else:
        assert again[1]["texts"] == ["two", "four", "one"]
        assert again[1]["meta"]["billed_units"] == {"input_tokens": len("twofourOne")}


async def test_a_lone_text_and_a_list_of_it_are_one_question_to_ollama() -> None:
    async with (
        EmbeddingBackend() as backend,
        proxied(backend.url) as proxy,
        aiohttp.ClientSession() as session,
    ):
        url = f"{proxy.url}/api/embed"
        first = await ask(session, url, {"model": "e", "input": "one"})
        again = await ask(session, url, {"input": ["one"], "model": "e", "keep_alive": 0})

    assert (first[0], again[0]) == ("MISS", "HIT")
    assert first[1] == again[1]


async def test_ollamas_older_protocol_is_kept_apart_and_never_put_together() -> None:
    async with (
        EmbeddingBackend() as backend,
        proxied(backend.url) as proxy,
        aiohttp.ClientSession() as session,
    ):
        url = f"{proxy.url}/api/embeddings"
        told = [await ask(session, url, {"model": "e", "prompt": text}) for text in ("a", "b", "a")]

    assert [verdict for verdict, _ in told] == ["MISS", "MISS", "HIT"]
    assert told[0] == ("MISS", told[2][1])
    assert len(backend.asked) == 2
