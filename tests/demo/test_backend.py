"""The demo's backend, asked over a socket; its pauses are counted rather than waited for."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import openai
import pytest

from proxy.demo.answers import answer_to
from proxy.demo.backend import DemoBackend, Pace

ASK = {"model": "demo", "messages": [{"role": "user", "content": "What is a sidecar?"}]}
STREAM = ASK | {"stream": True}
COUNTED = STREAM | {"stream_options": {"include_usage": True}}


class Pauses:
    """Pauses that take no time, and how long they would have been."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def backend(pauses: Pauses) -> AsyncIterator[DemoBackend]:
    async with DemoBackend(Pace(first_token_s=5.0, token_s=0.25), pauses) as backend:
        yield backend


@pytest.fixture
async def client(backend: DemoBackend) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(backend.url) as session:
        yield session


async def post(client: aiohttp.ClientSession, asked: Any) -> tuple[int, str, bytes]:
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    async with client.post("/v1/chat/completions", data=body) as response:
        return response.status, response.content_type, await response.read()


def chunks_of(body: bytes) -> list[Any]:
    """The chunks of a stream, which must end as streams do."""
    events = body.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


async def test_it_answers_as_a_chat_completion(client: aiohttp.ClientSession) -> None:
    status, media_type, body = await post(client, ASK)

    answer = json.loads(body)
    assert (status, media_type) == (200, "application/json")
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "demo"
    [choice] = answer["choices"]
    assert choice["message"]["content"].startswith("A sidecar is a small process")
    assert choice["finish_reason"] == "stop"
    words = len(choice["message"]["content"].split())
    assert answer["usage"] == {
        "prompt_tokens": 4,
        "completion_tokens": words,
        "total_tokens": 4 + words,
    }


async def test_a_stream_says_the_same_as_a_document(client: aiohttp.ClientSession) -> None:
    document = json.loads((await post(client, ASK))[2])

    _, media_type, body = await post(client, STREAM)

    chunks = chunks_of(body)
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert media_type == "text/event-stream"
    assert said == document["choices"][0]["message"]["content"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert not any("usage" in chunk for chunk in chunks)


async def test_a_stream_ends_with_its_token_counts_if_asked_to(
    client: aiohttp.ClientSession,
) -> None:
    document = json.loads((await post(client, ASK))[2])

    *chunks, last = chunks_of((await post(client, COUNTED))[2])

    assert {chunk["usage"] for chunk in chunks} == {None}
    assert last["choices"] == []
    assert last["usage"] == document["usage"]


async def test_equal_questions_get_equal_words_in_answers_of_their_own(
    client: aiohttp.ClientSession, backend: DemoBackend
) -> None:
    first = json.loads((await post(client, ASK))[2])
    second = json.loads((await post(client, ASK))[2])

    assert backend.calls == 2
    assert first.pop("id") != second.pop("id")
    assert first == second


async def test_an_unknown_question_comes_back_as_an_echo(client: aiohttp.ClientSession) -> None:
    asked = ASK | {"messages": [{"role": "user", "content": "How high is Mount Ararat?"}]}

    answer = json.loads((await post(client, asked))[2])

    assert "How high is Mount Ararat?" in answer["choices"][0]["message"]["content"]


async def test_it_answers_what_was_said_last_and_counts_all_that_was_said(
    client: aiohttp.ClientSession,
) -> None:
    parts = [{"type": "text", "text": "Is the weather"}, {"type": "text", "text": "fine?"}]
    asked = ASK | {
        "messages": [
            {"role": "system", "content": "You know sidecars."},
            {"role": "assistant", "content": None},
            {"role": "user", "content": parts},
        ]
    }

    answer = json.loads((await post(client, asked))[2])

    assert "no window" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["prompt_tokens"] == 7


async def test_a_document_takes_as_long_as_all_its_tokens(
    client: aiohttp.ClientSession, pauses: Pauses
) -> None:
    await post(client, ASK)

    count = len(answer_to("What is a sidecar?"))
    assert pauses.taken == [5.0 + 0.25 * (count - 1)]


async def test_a_stream_pauses_before_its_first_token_and_between_tokens(
    client: aiohttp.ClientSession, pauses: Pauses
) -> None:
    await post(client, STREAM)

    count = len(answer_to("What is a sidecar?"))
    assert pauses.taken == [5.0, *[0.25] * count]


async def test_a_stream_is_sent_token_by_token() -> None:
    gate: asyncio.Queue[None] = asyncio.Queue()

    async def pause(_seconds: float) -> None:
        await gate.get()

    async with DemoBackend(pause=pause) as backend, aiohttp.ClientSession(backend.url) as client:
        gate.put_nowait(None)
        async with client.post("/v1/chat/completions", json=STREAM) as response:
            first = await response.content.readline()
            assert b'"content":"A"' in first
            assert await response.content.readline() == b"\n"
            gate.put_nowait(None)
            assert b'"content":" sidecar"' in await response.content.readline()


@pytest.mark.parametrize(
    ("asked", "member"),
    [
        (b"{", None),
        (b"[]", None),
        ({"messages": ASK["messages"]}, "model"),
        ({"model": ""} | {"messages": ASK["messages"]}, "model"),
        ({"model": "demo"}, "messages"),
        ({"model": "demo", "messages": []}, "messages"),
        ({"model": "demo", "messages": "Hello"}, "messages"),
        ({"model": "demo", "messages": ["Hello"]}, "messages[0]"),
        ({"model": "demo", "messages": [{"content": "Hello"}]}, "messages[0]"),
        ({"model": "demo", "messages": [{"role": "user", "content": ["Hello"]}]}, "messages[0]"),
        (ASK | {"stream": "yes"}, "stream"),
        (ASK | {"stream_options": {}}, "stream_options"),
        (STREAM | {"stream_options": True}, "stream_options"),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong_as_openai_would(
    client: aiohttp.ClientSession, backend: DemoBackend, asked: Any, member: str | None
) -> None:
    status, media_type, body = await post(client, asked)

    error = json.loads(body)["error"]
    assert (status, media_type) == (400, "application/json")
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == member
    assert backend.calls == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/chat/completions", 405), ("POST", "/v1/embeddings", 404), ("GET", "/", 404)],
)
async def test_what_it_does_not_serve_is_an_error_of_the_same_shape(
    client: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    async with client.request(method, path) as response:
        error = (await response.json())["error"]

    assert response.status == status
    assert error["type"] == "invalid_request_error"
    assert path in error["message"]


async def test_it_serves_one_model(client: aiohttp.ClientSession) -> None:
    async with client.get("/v1/models") as response:
        models = await response.json()

    assert [model["id"] for model in models["data"]] == ["demo"]


async def test_the_openai_client_understands_it(backend: DemoBackend) -> None:
    async with openai.AsyncOpenAI(base_url=f"{backend.url}/v1", api_key="none") as client:
        answer = await client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "What is a sidecar?"}]
        )
        assert (answer.choices[0].message.content or "").startswith("A sidecar")

        with pytest.raises(openai.BadRequestError, match="messages"):
            await client.chat.completions.create(model="demo", messages=[])


async def test_it_listens_on_this_machine_alone(backend: DemoBackend) -> None:
    address = urlsplit(backend.url)

    assert ipaddress.ip_address(address.hostname or "").is_loopback
    assert address.port


async def test_closing_it_breaks_off_what_is_under_way() -> None:
    begun = asyncio.Event()

    async def pause(_seconds: float) -> None:
        begun.set()
        await asyncio.Event().wait()

    backend = DemoBackend(pause=pause)
    await backend.start()
    async with aiohttp.ClientSession(backend.url) as client, asyncio.TaskGroup() as group:
        asking = group.create_task(_fails(client))
        await begun.wait()
        await backend.close()
        await backend.close()
        await asking
        assert await _fails(client)


async def _fails(client: aiohttp.ClientSession) -> bool:
    with pytest.raises(aiohttp.ClientError):
        await post(client, ASK)
    return True
