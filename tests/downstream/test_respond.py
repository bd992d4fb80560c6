"""Replies, as they are on the wire."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from support.serving import reply_with, serving, talking

from proxy.downstream.service import Answer
from proxy.model.errors import BrokenReply
from proxy.model.message import Request
from proxy.model.outcome import Reply

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
GET_10 = b"GET /x HTTP/1.0\r\n\r\n"
HEAD = b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n"


class Pieces:
    """A body that yields ``pieces`` and then ends, or fails; knows when it is closed."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self._pieces = list(pieces)
        self._error = error
        self.closed = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed.set()


def always(reply: Reply) -> Answer:
    async def answer(request: Request) -> Reply:
        return reply

    return answer


async def test_the_head_is_the_replys_own_but_for_framing_and_date() -> None:
    fields = [("x-b", "2"), ("Content-Type", "text/plain"), ("X-B", "3"), ("x-Empty", "")]
    async with talking(always(reply_with(b"hi", headers=fields))) as client:
        await client.send(GET)
        response = await client.response()
    assert (response.version, response.status, response.reason) == ("HTTP/1.1", 200, "OK")
    assert response.headers == [
        *fields,
        ("Content-Length", "2"),
        ("Date", "Tue, 12 Aug 2025 12:00:00 GMT"),
    ]
    assert response.body == b"hi"


async def test_a_date_that_is_there_is_kept() -> None:
    async with talking(always(reply_with(headers=[("date", "yesterday")]))) as client:
        await client.send(GET)
        assert (await client.response()).get("Date") == "yesterday"


async def test_what_a_reply_says_of_framing_is_ignored() -> None:
    fields = [("Content-Length", "99"), ("transfer-encoding", "gzip"), ("Connection", "close")]
    async with talking(always(reply_with(b"hi", headers=fields))) as client:
        for _ in range(2):
            await client.send(GET)
            response = await client.response()
            assert response.body == b"hi"
            assert response.get("Connection") is None


async def test_a_body_of_unknown_length_is_chunked_piece_by_piece() -> None:
    body = Pieces(b"one", b"", b"three")
    async with talking(always(reply_with(body))) as client:
        await client.send(GET)
        response = await client.response()
        assert response.chunks == (b"one", b"three")
        assert response.get("Content-Length") is None
        await client.send(GET)
        assert (await client.response()).body == b""
    assert body.closed.is_set()


async def test_pieces_go_out_as_they_come() -> None:
    heard = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await heard.wait()
        yield b"second"

    async with talking(always(reply_with(body()))) as client:
        await client.send(GET)
        await client.head()
        assert await client.until(b"first\r\n") == b"5\r\n"
        heard.set()
        assert await client.until(b"0\r\n\r\n") == b"6\r\nsecond\r\n"


async def test_the_head_goes_out_before_the_first_piece_is_there() -> None:
    heard = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        await heard.wait()
        yield b"x"

    async with talking(always(reply_with(body()))) as client:
        await client.send(GET)
        assert (await client.head()).status == 200
        heard.set()
        assert await client.until(b"0\r\n\r\n") == b"1\r\nx\r\n"


async def test_a_body_of_known_length_is_not_chunked() -> None:
    async with talking(always(reply_with(Pieces(b"one", b"two"), length=6))) as client:
        await client.send(GET)
        response = await client.response()
    assert response.get("Content-Length") == "6"
    assert response.get("Transfer-Encoding") is None
    assert response.body == b"onetwo"


@pytest.mark.parametrize("pieces", [[b"too", b"long"], [b"short"], []])
async def test_a_body_of_another_length_than_declared_resets_the_connection(
    pieces: list[bytes],
) -> None:
    body = Pieces(*pieces)
    async with serving(always(reply_with(body, length=6))) as stage:
        async with await stage.client() as client:
            await client.send(GET)
            assert await client.was_reset()
        record = await stage.record()
    assert body.closed.is_set()
    assert not record.delivery.complete
    assert record.delivery.error == "ProtocolViolation"
    assert record.delivery.sent == sum(map(len, pieces[:1]))


@pytest.mark.parametrize("request_bytes", [GET, GET_10])
@pytest.mark.parametrize("length", [None, 10])
async def test_a_body_that_breaks_off_resets_the_connection_for_any_client(
    request_bytes: bytes, length: int | None
) -> None:
    body = Pieces(b"half", error=BrokenReply("the backend died"))
    async with serving(always(reply_with(body, length=length))) as stage:
        async with await stage.client() as client:
            await client.send(request_bytes)
            assert await client.was_reset()
        record = await stage.record()
    assert body.closed.is_set()
    assert (record.delivery.complete, record.delivery.error) == (False, "BrokenReply")
    assert (record.delivery.status, record.delivery.sent) == (200, 4)
    assert stage.server.counts.bugs == 0


async def test_a_bug_in_a_body_resets_the_connection_and_is_counted() -> None:
    body = Pieces(b"half", error=KeyError("sk-secret"))
    async with serving(always(reply_with(body))) as stage:
        async with await stage.client() as client:
            await client.send(GET)
            assert await client.was_reset()
        assert (await stage.record()).delivery.error == "KeyError"
    assert body.closed.is_set()
    assert stage.server.counts.bugs == 1


async def test_a_reply_to_head_has_the_length_and_no_body() -> None:
    body = Pieces(b"never sent")
    async with talking(always(reply_with(body, length=1234))) as client:
        await client.send(HEAD + HEAD)
        for _ in range(2):
            response = await client.response(head_only=True)
            assert response.get("Content-Length") == "1234"
            assert response.get("Transfer-Encoding") is None
    assert body.closed.is_set()


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_content_has_no_body_and_no_framing(status: int) -> None:
    async with talking(always(reply_with(b"", status=status, length=0))) as client:
        await client.send(GET + GET)
        for _ in range(2):
            response = await client.response()
            assert response.status == status
            assert response.get("Content-Length") is None
            assert response.get("Transfer-Encoding") is None


async def test_http_1_0_gets_no_chunks_but_the_end_of_the_connection() -> None:
    async with talking(always(reply_with(Pieces(b"one", b"two")))) as client:
        await client.send(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        response = await client.response()
    assert response.body == b"onetwo"
    assert response.get("Transfer-Encoding") is None
    assert response.get("Connection") == "close"


async def test_http_1_0_may_keep_the_connection_if_it_asks_to() -> None:
    async with talking() as client:
        for _ in range(2):
            await client.send(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await client.response()).get("Connection") == "keep-alive"
        await client.send(GET_10)
        assert (await client.response()).get("Connection") == "close"
        assert await client.rest() == b""


async def test_the_connection_ends_when_the_client_or_the_reply_says_so() -> None:
    async with serving(always(reply_with(close=True))) as stage, await stage.client() as client:
        await client.send(GET)
        assert (await client.response()).get("Connection") == "close"
        assert await client.rest() == b""
    async with talking() as client:
        await client.send(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await client.response()).get("Connection") == "close"
        assert await client.rest() == b""


@pytest.mark.parametrize(
    "field",
    [
        ("X-A", "a\r\nSet-Cookie: stolen"),
        ("X-A", "a\nb"),
        ("X-A", "a\rb"),
        ("X-A", "a\0b"),
        ("X A", "a"),
        ("X-A:", "a"),
        ("", "a"),
        ("X-\r\nA", "a"),
        ("X-A", "\ud800"),
    ],
)
async def test_a_field_that_cannot_be_sent_becomes_502_and_nothing_of_it_is_sent(
    field: tuple[str, str],
) -> None:
    body = Pieces(b"never")
    async with serving(always(reply_with(body, headers=[field]))) as stage:
        async with await stage.client() as client:
            await client.send(GET)
            response = await client.response()
            await client.send(GET)  # and the connection is none the worse
            assert (await client.response()).status == 502
        record = await stage.record()
    assert response.status == 502
    assert response.get("Proxy-Status") == "sidecache; error=http_protocol_error"
    assert b"stolen" not in response.body
    assert body.closed.is_set()
    assert (record.delivery.status, record.delivery.complete) == (502, True)
    assert record.delivery.error == "ProtocolViolation"


@pytest.mark.parametrize(
    "reply",
    [
        reply_with(reason="OK\r\nX: y"),
        reply_with(status=101),
        reply_with(status=1000),
        reply_with(b"four", length=5),
    ],
)
async def test_a_reply_that_makes_no_sense_becomes_502(reply: Reply) -> None:
    async with talking(always(reply)) as client:
        await client.send(GET)
        assert (await client.response()).status == 502


async def test_bytes_that_are_not_text_pass_unchanged() -> None:
    value = b"caf\xe9 \xc3\xa9".decode("utf-8", "surrogateescape")
    async with talking(always(reply_with(headers=[("X-A", value)]))) as client:
        await client.send(GET)
        assert re.search(rb"\r\nX-A: caf\xe9 \xc3\xa9\r\n", await client.until(b"hello"))


async def test_a_long_body_arrives_whole() -> None:
    body = bytes(range(256)) * 8192
    async with serving(always(reply_with(body))) as stage, await stage.client() as client:
        await client.send(GET)
        assert (await client.response()).body == body
        record = await stage.record()
    assert (record.delivery.sent, record.delivery.complete) == (len(body), True)
