"""Bodies of requests: whole or in pieces, with or without haste."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.meanwhile import meanwhile
from support.raw_client import RawClient
from support.serving import Serving, reply_with, serving, talking

from proxy.downstream.limits import Limits
from proxy.model.errors import RequestError
from proxy.model.message import Request
from proxy.model.outcome import Reply

LENGTH_10 = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECTING = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
Reading = Callable[[Request], Awaitable[None]]
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def echo(request: Request) -> Reply:
    return reply_with(await request.body.whole(2**24) or b"None")


async def echo_pieces(request: Request) -> Reply:
    return reply_with(b"|".join([piece async for piece in request.body.pieces()]))


async def said(stage: Serving, *pieces: bytes) -> bytes:
    """The body of the response to a request that comes in these pieces."""
    async with await stage.client() as client:
        for piece in pieces:
            await client.send(piece)
        return (await client.response()).body


async def test_a_body_is_read_whole_however_it_comes() -> None:
    async with serving(echo) as stage:
        assert await said(stage, LENGTH_10 + b"0123456789") == b"0123456789"
        assert await said(stage, LENGTH_10, b"01234", b"56789") == b"0123456789"
        assert await said(stage, CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") == b"abcde"
        assert await said(stage, CHUNKED, b"3\r\nab", b"c\r\n0\r", b"\n\r\n") == b"abc"
        assert await said(stage, CHUNKED + b"0\r\n\r\n") == b"None"


async def test_trailers_and_chunk_extensions_are_no_part_of_a_body() -> None:
    async with serving(echo) as stage:
        body = b'3;a="b"\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n'
        assert await said(stage, CHUNKED + body) == b"abc"
    assert "x-trailer" not in stage.requests[0].headers


async def test_a_body_of_megabytes_is_read_whole() -> None:
    body = bytes(range(256)) * 16384
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with serving(echo) as stage:
        assert await said(stage, head + body) == body


async def test_a_compressed_body_is_passed_on_as_it_came() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n"
    async with serving(echo) as stage:
        assert await said(stage, head + b"\x1f\x8b\x08") == b"\x1f\x8b\x08"


async def test_pieces_are_handed_out_as_they_come() -> None:
    first_is_here = asyncio.Event()

    async def answer(request: Request) -> Reply:
        pieces = request.body.pieces()
        first = await anext(pieces)
        first_is_here.set()
        return reply_with(b"|".join([first, *[piece async for piece in pieces]]))

    async with talking(answer) as client:
        await client.send(LENGTH_10 + b"0123")
        await first_is_here.wait()
        await client.send(b"456789")
        assert (await client.response()).body == b"0123|456789"


@pytest.mark.parametrize("framed", [LENGTH_10 + b"0123456789", CHUNKED + b"a\r\n0123456789\r\n"])
async def test_nothing_of_a_body_beyond_the_limit_is_lost(framed: bytes) -> None:
    async def answer(request: Request) -> Reply:
        assert await request.body.whole(9) is None
        return reply_with(b"".join([piece async for piece in request.body.pieces()]))

    tail = b"0\r\n\r\n" if framed.startswith(CHUNKED) else b""
    async with serving(answer) as stage:
        assert await said(stage, framed + tail) == b"0123456789"
        async with await stage.client() as client:
            for byte in framed + tail:
                await client.send(bytes([byte]))
            assert (await client.response()).body == b"0123456789"


async def test_a_body_of_just_the_limit_is_read_whole() -> None:
    async def answer(request: Request) -> Reply:
        return reply_with(await request.body.whole(10) or b"None")

    async with serving(answer) as stage:
        assert await said(stage, LENGTH_10 + b"0123456789") == b"0123456789"
        assert await said(stage, CHUNKED + b"a\r\n0123456789\r\n0\r\n\r\n") == b"0123456789"


async def test_the_declared_length_is_known_before_anything_is_read() -> None:
    lengths: list[int | None] = []

    async def answer(request: Request) -> Reply:
        lengths.append(request.body.length)
        return reply_with(await request.body.whole(99) or b"")

    async with serving(answer) as stage:
        await said(stage, LENGTH_10 + b"0123456789")
        await said(stage, CHUNKED + b"0\r\n\r\n")
        await said(stage, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await said(stage, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert lengths == [10, None, 0, 0]


async def test_no_body_reads_as_empty() -> None:
    async with serving(echo_pieces) as stage:
        assert await said(stage, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b""
    async with serving(echo) as stage:
        assert await said(stage, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b"None"


async def test_100_continue_is_said_when_the_body_is_waited_for_and_not_before() -> None:
    begun, wanted = asyncio.Event(), asyncio.Event()

    async def answer(request: Request) -> Reply:
        assert request.headers.get("expect") == "100-continue"
        begun.set()
        await wanted.wait()
        return await echo(request)

    async with talking(answer) as client:
        await client.send(EXPECTING)
        await begun.wait()
        assert client.nothing_came()
        wanted.set()
        assert await client.exactly(len(CONTINUE)) == CONTINUE
        await client.send(b"0123456789")
        response = await client.response()
        assert (response.body, response.get("Connection")) == (b"0123456789", None)


async def test_100_continue_is_not_said_to_who_did_not_ask_or_did_not_wait() -> None:
    async with serving(echo) as stage:
        assert await said(stage, EXPECTING + b"0123456789") == b"0123456789"
        assert await said(stage, LENGTH_10, b"0123456789") == b"0123456789"
        async with await stage.client() as client:
            await client.send(EXPECTING.replace(b"1.1", b"1.0") + b"01234")
            await client.send(b"56789")
            assert (await client.response()).body == b"0123456789"


async def test_a_body_that_is_not_wanted_is_not_asked_for_and_ends_the_connection() -> None:
    async def answer(request: Request) -> Reply:
        assert await request.body.whole(5) is None
        raise RequestError(413, "too long for me")

    async with talking(answer) as client:
        await client.send(EXPECTING)
        response = await client.response()
        assert (response.status, response.get("Connection")) == (413, "close")
        assert await client.rest() == b""


async def test_a_whole_body_that_nobody_reads_leaves_the_connection_usable() -> None:
    async def answer(request: Request) -> Reply:
        return reply_with(request.path.encode())

    async with talking(answer) as client:
        for _ in range(3):
            await client.send(LENGTH_10 + b"GET /evil ")
            assert (await client.response()).body == b"/"


async def test_the_rest_of_a_body_nobody_reads_is_taken_so_that_the_reply_arrives() -> None:
    async def answer(request: Request) -> Reply:
        return reply_with(b"no, thanks", status=403)

    async with talking(answer) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
        assert (await client.head()).status == 403
        async with meanwhile(client.send(b"x" * 1_000_000)) as sending:
            assert await client.rest() == b"no, thanks"
            await sending


async def failing(stage: Serving, client: RawClient, status: int) -> None:
    response = await client.response()
    assert (response.status, response.get("Connection")) == (status, "close")
    assert await client.rest() == b""
    record = await stage.record()
    assert (record.delivery.status, record.delivery.complete) == (status, True)


async def whole(request: Request) -> None:
    await request.body.whole(2**20)


async def in_pieces(request: Request) -> None:
    async for _ in request.body.pieces():
        pass


@pytest.mark.parametrize("read", [whole, in_pieces])
async def test_a_chunk_that_is_malformed_is_400(read: Reading) -> None:
    begun = asyncio.Event()

    async def answer(request: Request) -> Reply:
        begun.set()
        await read(request)
        return reply_with()

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(CHUNKED + b"3\r\nabc\r\n")
        await begun.wait()
        await client.send(b"zz\r\n")
        await failing(stage, client, 400)


@pytest.mark.parametrize("read", [whole, in_pieces])
async def test_a_body_that_the_client_ends_early_is_400(read: Reading) -> None:
    async def answer(request: Request) -> Reply:
        await read(request)
        return reply_with()

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(LENGTH_10 + b"0123")
        client.end()
        await failing(stage, client, 400)


async def test_a_body_that_takes_too_long_is_408() -> None:
    limits = Limits(body_deadline_s=0.05)
    async with serving(echo, limits=limits) as stage, await stage.client() as client:
        await client.send(LENGTH_10 + b"0123")
        await failing(stage, client, 408)


async def test_a_body_that_drips_is_408_although_it_never_stops() -> None:
    limits = Limits(body_grace_s=0.05, min_rate=10_000)
    async with talking(echo, limits=limits) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")

        async def drip() -> None:
            while True:
                await client.send(b"x")
                await asyncio.sleep(0.005)

        async with meanwhile(drip()):
            assert (await client.response()).status == 408


async def test_time_the_reader_takes_does_not_count_against_the_client() -> None:
    async def answer(request: Request) -> Reply:
        pieces = request.body.pieces()
        first = await anext(pieces)
        await asyncio.sleep(0.55)  # what the reader takes: more than the client may
        client_goes_on.set()
        return reply_with(b"|".join([first, *[piece async for piece in pieces]]))

    client_goes_on = asyncio.Event()
    limits = Limits(body_deadline_s=0.5)
    async with talking(answer, limits=limits) as client:
        await client.send(LENGTH_10 + b"0123")
        await client_goes_on.wait()
        await client.send(b"456789")
        assert (await client.response()).body == b"0123|456789"


async def test_a_body_nobody_reads_yet_holds_the_client_back() -> None:
    async def answer(request: Request) -> Reply:
        await wanted.wait()
        size = 0
        async for piece in request.body.pieces():
            size += len(piece)
        return reply_with(b"%d" % size)

    wanted = asyncio.Event()
    size = 32 * 2**20
    async with talking(answer) as client:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
        async with meanwhile(client.send(head + bytes(size))) as sending:
            await asyncio.wait([sending], timeout=0.2)
            assert not sending.done()
            wanted.set()
            await sending
        assert (await client.response()).body == b"%d" % size
