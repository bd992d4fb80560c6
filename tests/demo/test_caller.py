"""The tour's client, and what it will not take for an answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from support.cranked import Clock
from support.scripted import Call, ScriptedUpstream

from proxy.demo.caller import Caller, NotAsTold, question

JSON = [("Content-Type", "application/json")]
EVENTS = [("Content-Type", "text/event-stream")]
DOCUMENT = json.dumps(
    {
        "id": "a",
        "choices": [{"message": {"content": "Hello there"}}],
        "usage": {"total_tokens": 5},
    }
).encode()


@pytest.fixture
async def up() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as up:
        yield up


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def event(**chunk: object) -> bytes:
    return b"data: " + json.dumps({"id": "a", "choices": [], "usage": None} | chunk).encode()


def said(text: str) -> list[dict[str, object]]:
    return [{"delta": {"content": text}}]


STREAM = [
    event(choices=said("Hello")),
    event(choices=said(" there")),
    event(usage={"total_tokens": 5}),
    b"data: [DONE]",
]


async def test_a_document_is_one_event(
    up: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    clock = Clock(100.0)

    async def answer(call: Call) -> None:
        clock.turn(2.0)
        await call.reply(200, [*JSON, ("X-Cache", "HIT"), ("X-Cache-Reason", "fresh")], DOCUMENT)

    up.answer_with(answer)

    heard = await Caller(session, up.url, clock).ask(question("Hello?"))

    assert (heard.verdict, heard.why, heard.media_type) == ("HIT", "fresh", "application/json")
    assert heard.body == DOCUMENT
    assert (heard.answer.id, heard.answer.text, heard.answer.tokens) == ("a", "Hello there", 5)
    assert (heard.asked_at, heard.moments, heard.ended_at) == (100.0, (102.0,), 102.0)
    assert heard.took_s == 2.0


async def test_a_stream_is_heard_event_by_event(
    up: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    counts: list[int] = []
    up.answer_with(lambda call: call.reply(200, EVENTS, b"\n\n".join(STREAM) + b"\n\n"))

    heard = await Caller(session, up.url).ask(question("Hello?"), listening=counts.append)

    assert counts == [1, 2, 3, 4]
    assert len(heard.moments) == 4
    assert (heard.answer.id, heard.answer.text, heard.answer.tokens) == ("a", "Hello there", 5)
    assert (heard.verdict, heard.why) == ("", "")


async def test_the_caller_says_who_he_is(
    up: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    up.answer_with(lambda call: call.reply(200, JSON, DOCUMENT))
    caller = Caller(session, up.url)

    heard = [await caller.ask(question("Hello?")), await caller.ask(b"{}", credential="grace")]

    assert [call.field("authorization") for call in up.history] == ["Bearer ada", "Bearer grace"]
    assert caller.heard == heard


@pytest.mark.parametrize(
    ("status", "media_type", "body", "complaint"),
    [
        (500, JSON, b"{}", "status 500"),
        (200, JSON, b"{", "no chat completion"),
        (200, JSON, b'{"choices": []}', "no chat completion"),
        (200, JSON, b'{"choices": null}', "no chat completion"),
        (200, EVENTS, b"", "no chat completion"),
        (200, EVENTS, b"\n\n".join([*STREAM[:2], STREAM[3], b""]), "no chat completion"),
        (200, EVENTS, b"\n\n".join([*STREAM[:3], b""]), "without"),
    ],
)
async def test_what_is_no_whole_answer_is_refused(
    up: ScriptedUpstream,
    session: aiohttp.ClientSession,
    *,
    status: int,
    media_type: list[tuple[str, str]],
    body: bytes,
    complaint: str,
) -> None:
    up.answer_with(lambda call: call.reply(status, media_type, body))
    caller = Caller(session, up.url)

    with pytest.raises(NotAsTold, match=complaint):
        await caller.ask(question("Hello?"))

    assert caller.heard == []


async def test_an_answer_that_breaks_off_is_refused(
    up: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    async def answer(call: Call) -> None:
        await call.head(200, EVENTS, chunked=True)
        await call.chunk(STREAM[0])
        await call.cut()

    up.answer_with(answer)

    with pytest.raises(NotAsTold, match="no whole answer came: ClientPayloadError"):
        await Caller(session, up.url).ask(question("Hello?"))


async def test_nobody_at_the_address_is_told_as_such(session: aiohttp.ClientSession) -> None:
    async with ScriptedUpstream() as gone:
        url = gone.url

    with pytest.raises(NotAsTold, match="no whole answer came: ClientConnectorError"):
        await Caller(session, url).ask(question("Hello?"))
