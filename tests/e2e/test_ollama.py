"""Ollama's own client: what it is told is the same from the cache, in either form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ollama
import pytest
from support.ollama_backend import DOCUMENT, LINES, answer, golden
from support.proxied import Proxied
from support.scene import Scene, scene
from support.scripted import Call
from support.started import started

Json = dict[str, Any]
CHATS = ["thinking", "parallel_tools", "remote"]
PROMPTS = ["generate_context", "generate_logprobs"]
MESSAGES = [{"role": "user", "content": "Why?"}]


class Caller:
    """The client, which never says what the cache did; the proxy does."""

    def __init__(self, proxy: Proxied, sdk: ollama.AsyncClient) -> None:
        self._proxy = proxy
        self.sdk = sdk

    async def ask(self, name: str, **more: Any) -> Json:
        """The answer called ``name``, as the client reads the document."""
        asked = self.sdk.chat if name in CHATS else self.sdk.generate
        told = await asked(model=name, **_question(name), **more)
        return told.model_dump()

    async def hear(self, name: str, **more: Any) -> list[Json]:
        """The same of the stream, once it is stored, if it is."""
        asked = self.sdk.chat if name in CHATS else self.sdk.generate
        parts = await asked(model=name, **_question(name), stream=True, **more)
        heard = [part.model_dump() async for part in parts]
        await self._proxy.landed()
        return heard


@asynccontextmanager
async def calling(s: Scene) -> AsyncIterator[Caller]:
    """A caller at the proxy of a scene."""
    async with ollama.AsyncClient(host=s.proxy.url) as sdk:
        yield Caller(s.proxy, sdk)


def _question(name: str) -> Json:
    return {"messages": MESSAGES} if name in CHATS else {"prompt": "Why?"}


@pytest.fixture
async def played() -> AsyncIterator[Scene]:
    async with scene() as s:
        s.up.answer_with(answer)
        yield s


@pytest.fixture
async def caller(played: Scene) -> AsyncIterator[Caller]:
    async with calling(played) as caller:
        yield caller


async def _next(parts: AsyncIterator[ollama.ChatResponse]) -> ollama.ChatResponse:
    return await anext(parts)


def bodies(name: str, *, stream: bool) -> tuple[str, Json]:
    """A route, and a question as the client would ask it there."""
    path = "/api/chat" if name in CHATS else "/api/generate"
    return path, {"model": name, **_question(name), "stream": stream}


async def raw(s: Scene, path: str, body: Json) -> Any:
    """The reply to ``body``, byte for byte."""
    content = json.dumps(body).encode()
    client = await s.client()
    await client.send(
        b"POST %b HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (path.encode(), len(content), content)
    )
    reply = await client.response()
    await s.proxy.landed()
    return reply


@pytest.mark.parametrize("name", [*CHATS, *PROMPTS])
async def test_a_question_asked_twice_is_answered_twice_by_one_call(
    name: str, played: Scene, caller: Caller
) -> None:
    assert await caller.ask(name) == await caller.ask(name, keep_alive="10m")
    assert played.proxy.verdicts == ["MISS", "HIT"]
    assert played.up.calls == 1


@pytest.mark.parametrize("name", [*CHATS, *PROMPTS])
async def test_a_stream_is_replayed_line_by_line(name: str, played: Scene, caller: Caller) -> None:
    first = await caller.hear(name)
    assert await caller.hear(name) == first
    assert len(first) == len(golden(name)[0])
    assert first[-1]["done"]
    assert played.proxy.verdicts == ["MISS", "HIT"]
    assert played.up.calls == 1


@pytest.mark.parametrize("name", [*CHATS, *PROMPTS])
async def test_what_was_stored_in_one_form_is_told_in_the_other(name: str) -> None:
    async with scene() as one, scene() as other:
        told: list[Json] = []
        for s in (one, other):
            s.up.answer_with(answer)
            async with calling(s) as caller:
                if s is one:
                    await caller.hear(name)
                told.append(await caller.ask(name))
                heard = await caller.hear(name)
            assert s.up.calls == 1
            assert "HIT" in s.proxy.verdicts
            assert heard[-1]["done"]
            assert not any(part["done"] for part in heard[:-1])
        assert told[0] == told[1]


@pytest.mark.parametrize("name", [*CHATS, *PROMPTS])
@pytest.mark.parametrize("stream", [True, False])
async def test_what_the_backend_said_is_replayed_to_the_byte(
    name: str, stream: bool, played: Scene
) -> None:
    path, body = bodies(name, stream=stream)
    lines, document = golden(name)
    for verdict in ("MISS", "HIT"):
        reply = await raw(played, path, body)
        assert reply.get("X-Cache") == verdict
        assert reply.body == (b"".join(lines) if stream else document)
        assert reply.get("Content-Type") == (LINES if stream else DOCUMENT)[0][1]


async def test_who_says_nothing_of_a_stream_gets_one(played: Scene) -> None:
    body = {"model": "thinking", "messages": MESSAGES}
    told = await raw(played, "/api/chat", body)
    again = await raw(played, "/api/chat", {**body, "stream": True})
    whole = await raw(played, "/api/chat", {**body, "stream": False})
    assert again.body == told.body
    assert json.loads(whole.body) == json.loads(golden("thinking")[1])
    assert whole.get("Content-Type") == "application/json; charset=utf-8"
    assert [each.get("X-Cache") for each in (told, again, whole)] == ["MISS", "HIT", "HIT"]


async def test_the_lines_come_as_they_are_said_to_all_who_ask_for_them() -> None:
    lines, document = golden("thinking")
    async with scene() as s, calling(s) as caller:
        first = await caller.sdk.chat(model="m", messages=MESSAGES, stream=True)
        hearing = started(_next(first))
        call = await s.up.next_call()
        await call.head(200, LINES, chunked=True)
        await call.chunk(lines[0])
        assert (await hearing).message.thinking == "Okay"
        follower = await caller.sdk.chat(model="m", messages=MESSAGES, stream=True)
        assert (await anext(follower)).message.thinking == "Okay"
        whole = started(caller.sdk.chat(model="m", messages=MESSAGES))
        await s.proxy.counted(lambda: s.proxy.flights.counts.joined_after_head == 2)
        for line in lines[1:]:
            await call.chunk(line)
        await call.end()
        assert [part async for part in first] == [part async for part in follower]
        assert await whole == ollama.ChatResponse.model_validate_json(document)
        await s.proxy.landed()
        assert sorted(s.proxy.verdicts) == ["COALESCED", "COALESCED", "MISS"]
        assert s.up.calls == 1


async def test_a_stream_is_replayed_at_the_pace_the_operator_wants() -> None:
    async with scene(cache={"replay_chunk_delay_s": 0.001}) as s:
        s.up.answer_with(answer)
        path, body = bodies("thinking", stream=True)
        await raw(s, path, body)
        paced = await raw(s, path, body)
        assert paced.get("X-Cache") == "HIT"
        assert paced.body == b"".join(golden("thinking")[0])
        whole = await raw(s, path, {**body, "stream": False})
        assert json.loads(whole.body) == json.loads(golden("thinking")[1])


# What is not kept.


async def broken_by_an_error(call: Call) -> None:
    await call.head(200, LINES, chunked=True)
    await call.chunk(golden("thinking")[0][0])
    await call.chunk(b'{"error":"an error was encountered while running the model"}\n')
    await call.end()


async def test_an_error_in_a_stream_is_the_clients_and_nobody_elses() -> None:
    async with scene() as s, calling(s) as caller:
        s.up.answer_with(broken_by_an_error)
        with pytest.raises(ollama.ResponseError, match="an error was encountered"):
            await caller.hear("thinking")
        await s.proxy.landed()
        s.up.answer_with(answer)
        assert (await caller.hear("thinking"))[-1]["done"]
        assert s.proxy.verdicts == ["MISS", "MISS"]


async def cut_off(call: Call) -> None:
    await call.head(200, LINES, close_delimited=True)
    for line in golden("thinking")[0][:-1]:
        await call.chunk(line)
    await call.end()


async def cut_short(call: Call) -> None:
    *lines, end = golden("thinking")[0]
    await call.head(200, LINES, chunked=True)
    await call.chunk(b"".join(lines) + end.replace(b'"stop"', b'"length"'))
    await call.end()


@pytest.mark.parametrize("says", [cut_off, cut_short])
async def test_an_answer_cut_short_is_passed_on_and_asked_for_anew(says: Any) -> None:
    async with scene() as s:
        path, body = bodies("thinking", stream=True)
        s.up.answer_with(says)
        await raw(s, path, body)
        s.up.answer_with(answer)
        reply = await raw(s, path, body)
        assert reply.get("X-Cache") == "MISS"
        assert reply.body == b"".join(golden("thinking")[0])


async def test_to_load_a_model_is_asked_each_time() -> None:
    end = {"model": "m", "created_at": "2026-10-14T09:12:31Z", "done": True, "done_reason": "load"}
    message = {"role": "assistant", "content": ""}
    loaded = json.dumps({**end, "response": "", "message": message}).encode()
    async with scene() as s, calling(s) as caller:
        s.up.answer_with(lambda call: call.reply(200, DOCUMENT, loaded))
        for _ in range(2):
            told = await caller.sdk.generate(model="m", keep_alive="10m")
            assert told.done_reason == "load"
            await caller.sdk.chat(model="m", keep_alive=0)
        assert s.up.calls == 4
        assert {record.outcome.why for record in s.proxy.records} == {"stateful"}


async def test_an_error_is_told_in_the_backends_words_and_not_kept() -> None:
    async with scene() as s, calling(s) as caller:
        body = b'{"error":"model \'m\' not found"}'
        s.up.answer_with(lambda call: call.reply(404, DOCUMENT, body))
        for _ in range(2):
            with pytest.raises(ollama.ResponseError, match="not found") as caught:
                await caller.sdk.chat(model="m", messages=MESSAGES)
            assert caught.value.status_code == 404
        assert s.up.calls == 2


async def test_questions_that_differ_in_any_option_are_asked_each(
    played: Scene, caller: Caller
) -> None:
    variants: list[Json] = [
        {},
        {"think": True},
        {"format": "json"},
        {"options": {"seed": 1}},
        {"options": {"seed": 1, "temperature": 0}},
        {"options": {"num_ctx": 8192}},
        {"tools": [{"type": "function", "function": {"name": "find"}}]},
    ]
    for more in variants:
        await caller.ask("thinking", **more)
    await caller.ask("remote")
    assert played.up.calls == len(variants) + 1
    for more in variants:
        await caller.ask("thinking", **more)
    assert played.up.calls == len(variants) + 1


async def test_the_client_that_waits_is_served_alike(played: Scene) -> None:
    def twice() -> list[ollama.ChatResponse]:
        with ollama.Client(host=played.proxy.url) as client:
            return [client.chat(model="thinking", messages=MESSAGES) for _ in range(2)]

    one, other = await asyncio.to_thread(twice)
    assert one == other
    assert played.proxy.verdicts == ["MISS", "HIT"]
