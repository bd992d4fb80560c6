"""An embedding service, asked over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from support.embedder_contract import EmbedderContract, MakeEmbedder, cosine
from support.embedding_server import KEY, EmbeddingServer, Mood

from proxy.model.errors import ConfigError
from proxy.semantic.base import EmbedderError, TextRefused
from proxy.semantic.embedders.ngram import NgramEmbedder
from proxy.semantic.embedders.remote import RemoteEmbedder

TEXTS = ["How do I reset my password?", "Where is my order?", "怎么取消会员订阅"]


@pytest.fixture
async def server() -> AsyncIterator[EmbeddingServer]:
    async with EmbeddingServer() as server:
        yield server


@pytest.fixture
async def embedder(server: EmbeddingServer) -> AsyncIterator[RemoteEmbedder]:
    embedder = RemoteEmbedder(
        server.url, model="ngram", headers={"Authorization": f"Bearer {KEY}"}, timeout_s=20
    )
    await embedder.start()
    yield embedder
    await embedder.close()


class TestTheContract(EmbedderContract):
    @pytest.fixture
    def make(self, server: EmbeddingServer) -> MakeEmbedder:
        return lambda: RemoteEmbedder(server.url, model="ngram", max_batch=8)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("", "/v1/embeddings"),
        ("/", "/v1/embeddings"),
        ("/v1", "/v1/embeddings"),
        ("/v1/", "/v1/embeddings"),
        ("/v1/embeddings", "/v1/embeddings"),
        ("/api", "/api/v1/embeddings"),
        (
            "/openai/deployments/a%2Fb/embeddings?api-version=1",
            "/openai/deployments/a%2Fb/embeddings?api-version=1",
        ),
    ],
)
async def test_what_of_the_address_is_missing_is_added(
    server: EmbeddingServer, path: str, asked: str
) -> None:
    embedder = RemoteEmbedder(server.url + path, model="m")
    await embedder.start()
    await embedder.close()
    assert server.paths == [asked]


@pytest.mark.parametrize("url", ["", "embeddings", "ftp://host/", "http://", "http://h:x/"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        RemoteEmbedder(url, model="m")


async def test_it_sends_what_the_protocol_asks_for(
    server: EmbeddingServer, embedder: RemoteEmbedder
) -> None:
    await embedder.embed(TEXTS)
    assert server.asked[-1] == {"model": "ngram", "input": TEXTS}
    assert server.headers[-1]["authorization"] == f"Bearer {KEY}"
    assert server.headers[-1]["content-type"] == "application/json"


async def test_without_a_key_none_is_sent(server: EmbeddingServer) -> None:
    embedder = RemoteEmbedder(server.url, model="m", dimensions=256, compact=True)
    await embedder.start()
    await embedder.close()
    assert "authorization" not in server.headers[0]
    assert server.asked[0]["dimensions"] == 256
    assert server.asked[0]["encoding_format"] == "base64"


@pytest.mark.parametrize("mood", [Mood.WELL, Mood.BACKWARDS, Mood.UNNUMBERED, Mood.BASE64])
async def test_vectors_are_read_in_every_shape_they_come_in(
    server: EmbeddingServer, embedder: RemoteEmbedder, mood: Mood
) -> None:
    server.mood = mood
    ngram = NgramEmbedder(256)
    await ngram.start()
    for texts in (TEXTS, TEXTS * 10):  # the latter are read beside the loop
        for found, expected in zip(
            await embedder.embed(texts), await ngram.embed(texts), strict=True
        ):
            assert found.dtype == np.float32
            assert cosine(found, expected) == pytest.approx(1)


@pytest.mark.parametrize(
    ("mood", "says"),
    [
        (Mood.NAN, "no JSON"),
        (Mood.TOO_FEW, "2 vectors for 3 texts"),
        (Mood.TWICE, "numbered"),
        (Mood.WORDS, "neither a list of numbers nor base64"),
        (Mood.GARBAGE, "no JSON"),
        (Mood.NO_DATA, "data"),
        (Mood.ENDLESS, "more than"),
        (Mood.FAILING, "500"),
        (Mood.FAILING, "CUDA out of memory"),
        (Mood.UNAUTHORISED, "401"),
        (Mood.MOVED, "308"),
        (Mood.CUT, "ClientPayloadError"),
    ],
)
async def test_every_fault_is_told_in_words_for_an_operator(
    server: EmbeddingServer, embedder: RemoteEmbedder, mood: Mood, says: str
) -> None:
    server.mood = mood
    with pytest.raises(EmbedderError, match=says) as caught:
        await embedder.embed(TEXTS)
    assert str(caught.value).startswith("remote:ngram at 127.0.0.1:")
    assert KEY not in str(caught.value)
    server.mood = Mood.WELL
    assert len(await embedder.embed(TEXTS)) == 3


async def test_a_refused_text_is_not_quoted(
    server: EmbeddingServer, embedder: RemoteEmbedder
) -> None:
    server.mood = Mood.REFUSING
    with pytest.raises(TextRefused, match="413") as caught:
        await embedder.embed(["my forbidden secret"])
    assert "secret" not in str(caught.value)
    with pytest.raises(TextRefused, match="Unicode"):
        await embedder.embed(["\ud800"])


async def test_a_service_that_is_gone_is_an_error_and_may_come_back(
    server: EmbeddingServer, embedder: RemoteEmbedder
) -> None:
    await server.close()
    with pytest.raises(EmbedderError, match="Client"):
        await embedder.embed(TEXTS)
    await server.start()
    assert len(await embedder.embed(TEXTS)) == 3


async def test_a_service_that_hangs_is_given_up(server: EmbeddingServer) -> None:
    server.hold()
    embedder = RemoteEmbedder(server.url, model="m", timeout_s=0.05)
    with pytest.raises(EmbedderError, match=r"no answer within 0\.05 seconds"):
        await embedder.start()
    await embedder.close()


async def test_starting_can_be_tried_again(server: EmbeddingServer) -> None:
    server.mood = Mood.FAILING
    embedder = RemoteEmbedder(server.url, model="m")
    with pytest.raises(EmbedderError):
        await embedder.start()
    server.mood = Mood.WELL
    await embedder.start()
    assert embedder.dimensions == 256
    await embedder.close()


@pytest.mark.parametrize(
    ("mood", "dimensions", "says"),
    [(Mood.EMPTY, None, "empty"), (Mood.WELL, 64, "256 numbers, but 64 were asked for")],
)
async def test_it_does_not_start_with_vectors_of_a_length_that_is_none(
    server: EmbeddingServer, mood: Mood, dimensions: int | None, says: str
) -> None:
    server.mood = mood
    embedder = RemoteEmbedder(server.url, model="m", dimensions=dimensions)
    with pytest.raises(EmbedderError, match=says):
        await embedder.start()
    await embedder.close()


async def test_many_texts_go_in_several_calls(server: EmbeddingServer) -> None:
    embedder = RemoteEmbedder(server.url, model="m", max_batch=2)
    await embedder.start()
    assert len(await embedder.embed(TEXTS)) == 3
    await embedder.close()
    assert [asked["input"] for asked in server.asked[1:]] == [TEXTS[:2], TEXTS[2:]]


@pytest.mark.parametrize(
    "changed", [{"url": "http://other/"}, {"model": "other"}, {"dimensions": 2}]
)
def test_vectors_of_another_place_model_or_length_do_not_meet(changed: dict[str, Any]) -> None:
    known: dict[str, Any] = {"url": "http://host/", "model": "m", "dimensions": 1}
    one, other = RemoteEmbedder(**known), RemoteEmbedder(**(known | changed))
    assert one.fingerprint != other.fingerprint


def test_neither_name_nor_fingerprint_depend_on_the_password() -> None:
    one = RemoteEmbedder("http://user:password1@host:81/v1", model="m")
    other = RemoteEmbedder("http://user:password2@host:81/v1/", model="m")
    assert one.name == other.name == "remote:m at host:81"
    assert one.fingerprint == other.fingerprint
    assert RemoteEmbedder("https://host/", model="a\nb").name == "remote:a?b at host"


async def test_closing_ends_a_call_with_an_error(
    server: EmbeddingServer, embedder: RemoteEmbedder
) -> None:
    server.hold()
    count = len(server.asked)
    async with asyncio.TaskGroup() as group:
        call = group.create_task(_failure(embedder))
        await server.was_asked(count + 1)
        await embedder.close()
        server.release()
    assert call.result() is not None


async def _failure(embedder: RemoteEmbedder) -> EmbedderError | None:
    try:
        await embedder.embed(TEXTS)
    except EmbedderError as error:
        return error
    return None
