"""Recorded responses go in and come out byte for byte, through the whole proxy on real sockets."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from support.golden import RESPONSES
from support.raw_chat import EVENTS, JSON
from support.raw_client import RawResponse
from support.scene import Scene, scene
from support.scripted import Call


def asked(*, stream: bool) -> bytes:
    body = orjson.dumps({"model": "m", "input": "Why?", "stream": stream})
    return (
        "POST /v1/responses HTTP/1.1\r\nHost: proxy\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer sk-one\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def whole(s: Scene, *, stream: bool) -> RawResponse:
    client = await s.client()
    await client.send(asked(stream=stream))
    reply = await client.response()
    await s.proxy.landed()
    return reply


class Recorded:
    """What a backend sends for one question, in both forms."""

    def __init__(self, path: Path) -> None:
        self.stream = path.read_bytes()
        self.document = path.with_suffix(".json").read_bytes()

    async def told(self, call: Call) -> None:
        """In pieces that respect nothing."""
        await call.head(200, EVENTS, chunked=True)
        for at in range(0, len(self.stream), 997):
            await call.chunk(self.stream[at : at + 997])
        await call.end()

    async def sent(self, call: Call) -> None:
        await call.reply(200, JSON, self.document)

    async def as_asked(self, call: Call) -> None:
        await (self.told if b'"stream":true' in call.body else self.sent)(call)


recorded = pytest.mark.parametrize(
    "answer", [pytest.param(Recorded(path), id=path.stem) for path in RESPONSES]
)


@recorded
async def test_a_stream_comes_out_as_it_went_in_and_as_a_document_too(answer: Recorded) -> None:
    async with scene() as s:
        s.up.answer_with(answer.told)
        first, second = await whole(s, stream=True), await whole(s, stream=True)
        document = await whole(s, stream=False)

        assert (first.get("X-Cache"), second.get("X-Cache")) == ("MISS", "HIT")
        assert first.body == second.body == answer.stream
        assert document.get("X-Cache") == "HIT"
        assert document.get("Content-Type") == "application/json"
        assert orjson.loads(document.body) == orjson.loads(answer.document)
        assert s.up.calls == 1


@recorded
async def test_a_document_comes_out_as_it_went_in(answer: Recorded) -> None:
    async with scene() as s:
        s.up.answer_with(answer.sent)
        first, second = await whole(s, stream=False), await whole(s, stream=False)

        assert (first.get("X-Cache"), second.get("X-Cache")) == ("MISS", "HIT")
        assert first.body == second.body == answer.document
        assert s.up.calls == 1


async def test_who_wants_a_stream_where_none_can_be_made_asks_for_one_that_serves_both() -> None:
    (path,) = [path for path in RESPONSES if path.stem == "responses_retrieval"]
    answer = Recorded(path)
    async with scene() as s:
        s.up.answer_with(answer.as_asked)
        await whole(s, stream=False)
        first, second = await whole(s, stream=True), await whole(s, stream=True)

        assert first.get("X-Cache-Reason") == "form"
        assert second.get("X-Cache") == "HIT"
        assert first.body == second.body == answer.stream
        assert (await whole(s, stream=False)).get("X-Cache") == "HIT"
        assert s.up.calls == 2
