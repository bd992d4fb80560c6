"""Bodies come as they come, whole or known to be broken, and let go of their connection."""

from __future__ import annotations

import asyncio

import pytest
from support.asking import outbound, read

from proxy.model.errors import BrokenReply, FirstByteTimeout
from proxy.model.pieces import pour

SOON_S = 0.05  # a deadline that is meant to pass


async def begun(up, upstream, start, **framing):
    """A response whose head is here, and the call that makes its body."""
    asking = start(upstream.send(outbound()))
    call = await up.next_call()
    await call.head(200, **framing)
    return await asking, call


async def rest(chunks):
    return b"".join([piece async for piece in chunks])


async def test_pieces_come_one_by_one_as_they_are_sent(up, reach, start):
    arrival, call = await begun(up, reach(up.url), start, chunked=True)
    chunks = arrival.chunks()
    for piece in (b"data: 1\n\n", b"data: 2\n\n", b"x" * 30_000):
        await call.chunk(piece)
        received = b""
        while len(received) < len(piece):
            received += await anext(chunks)
        assert received == piece
    await call.end()
    assert await rest(chunks) == b""


async def test_pieces_that_arrive_together_come_together(up, reach, start):
    asking = start(reach(up.url).send(outbound()))
    call = await up.next_call()
    await call.raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n1;ext=1\r\nb\r\n1\r\nc\r\n0\r\nTrailer: x\r\n\r\n"
    )
    assert [piece async for piece in (await asking).chunks()] == [b"abc"]


@pytest.mark.parametrize("framing", [{"chunked": True}, {"length": 6}, {"close_delimited": True}])
async def test_a_whole_body_ends_quietly(up, reach, start, framing):
    upstream = reach(up.url)
    arrival, call = await begun(up, upstream, start, **framing)
    reading = start(rest(arrival.chunks()))
    await call.chunk(b"abc")
    await call.chunk(b"def")
    await call.end()
    assert await reading == b"abcdef"
    assert upstream.in_use == 0


@pytest.mark.parametrize(
    ("framing", "way"),
    [
        ({"chunked": True}, "cut"),
        ({"chunked": True}, "reset"),
        ({"length": 6}, "cut"),
        ({"length": 6}, "reset"),
        ({"close_delimited": True}, "reset"),
    ],
)
async def test_a_body_that_breaks_off_says_so(up, reach, start, framing, way):
    upstream = reach(up.url)
    arrival, call = await begun(up, upstream, start, **framing)
    chunks = arrival.chunks()
    await call.chunk(b"abc")
    assert await anext(chunks) == b"abc"
    await getattr(call, way)()
    with pytest.raises(BrokenReply, match="broke off"):
        await anext(chunks)
    assert upstream.in_use == 0


async def test_a_body_that_breaks_off_before_anyone_reads_says_so(up, reach, start):
    arrival, call = await begun(up, reach(up.url), start, length=6)
    await call.chunk(b"abc")
    await call.cut()
    with pytest.raises(BrokenReply):
        await rest(arrival.chunks())


@pytest.mark.parametrize("nonsense", [b"zz\r\n", b"1\r\nab\r\n", b"-1\r\n", b"1\nx"])
async def test_a_chunk_that_is_framed_wrongly_breaks_the_body(up, reach, start, nonsense):
    arrival, call = await begun(up, reach(up.url), start, chunked=True)
    reading = start(rest(arrival.chunks()))
    await call.raw(nonsense)
    with pytest.raises(BrokenReply, match="wrongly"):
        await reading
    await call.hung_up()


async def test_silence_within_a_body_breaks_it(up, reach, start):
    arrival, call = await begun(up, reach(up.url, idle_timeout_s=SOON_S), start, chunked=True)
    with pytest.raises(BrokenReply, match=r"silent for 0\.05 s"):
        await rest(arrival.chunks())
    await call.hung_up()


async def test_a_slow_reader_is_not_a_silent_backend(up, reach, start):
    upstream = reach(up.url, idle_timeout_s=0.2)
    asking = start(upstream.send(outbound()))
    call = await up.next_call()
    await call.head(200, chunked=True)
    sending = start(call.chunk(b"x" * 32 * 1024 * 1024))
    arrival = await asking
    with pytest.raises(FirstByteTimeout):  # more than that time has passed
        await reach(up.url, first_byte_timeout_s=0.4).send(outbound())
    assert not sending.done()  # the backend was made to wait
    assert await anext(arrival.chunks())
    arrival.close()


async def test_a_finished_body_gives_its_connection_back(up, reach, start):
    upstream = reach(up.url)
    arrival, call = await begun(up, upstream, start, chunked=True)
    await call.end()
    await rest(arrival.chunks())
    start(upstream.send(outbound()))
    assert (await up.next_call()).connection is call.connection


async def test_a_body_that_is_here_but_unread_gives_its_connection_back(up, reach):
    up.answer_with(lambda call: call.reply(200, body=b"small"))
    upstream = reach(up.url)
    for _ in range(2):
        arrival = await upstream.send(outbound())
        arrival.close()
        arrival.close()
        with pytest.raises(BrokenReply):
            await anext(arrival.chunks())
    assert len(up.connections) == 1


async def test_a_body_that_is_given_up_ends_its_connection(up, reach, start):
    upstream = reach(up.url)
    arrival, call = await begun(up, upstream, start, chunked=True)
    reading = start(rest(arrival.chunks()))
    await call.chunk(b"abc")
    arrival.close()
    await call.hung_up()
    with pytest.raises(BrokenReply, match="given up"):
        await reading
    assert upstream.in_use == 0


async def test_a_reader_that_is_cancelled_can_close(up, reach, start):
    upstream = reach(up.url)
    arrival, call = await begun(up, upstream, start, chunked=True)
    chunks = arrival.chunks()
    await call.chunk(b"abc")
    await anext(chunks)
    reading = start(rest(chunks))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    arrival.close()
    await call.hung_up()
    assert upstream.in_use == 0


async def test_a_response_after_which_the_backend_closes_is_not_kept(up, reach, start):
    upstream = reach(up.url)
    asking = start(upstream.send(outbound()))
    await (await up.next_call()).reply(200, [("Connection", "close")], b"whole")
    assert await rest((await asking).chunks()) == b"whole"
    start(upstream.send(outbound()))
    assert (await up.next_call()).nth == 1


@pytest.mark.parametrize(
    ("framing", "told"),
    [({"length": 3}, True), ({"chunked": True}, True), ({"close_delimited": True}, False)],
)
async def test_it_says_whether_its_end_is_told(up, reach, start, framing, told):
    asking = start(reach(up.url).send(outbound()))
    call = await up.next_call()
    await call.head(200, **framing)
    await call.chunk(b"abc")
    await call.end()
    arrival = await asking
    assert arrival.delimited is told
    assert await read(arrival) == b"abc"


async def test_one_without_a_body_has_ended(up, reach, start):
    asking = start(reach(up.url).send(outbound()))
    await (await up.next_call()).reply(200)
    assert (await asking).delimited


async def test_bytes_behind_a_whole_body_are_no_part_of_it_and_end_the_connection(up, reach, start):
    """It depended on whether they came in one piece with the head."""
    backend = reach(up.url)
    asking = start(backend.send(outbound()))
    call = await up.next_call()
    await call.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood and more")
    arrival = await asking
    assert [piece async for piece in arrival.chunks()] == [b"good"]
    again = start(backend.send(outbound()))
    other = await up.next_call()
    assert other.connection is not call.connection
    await other.reply(200, body=b"next")
    assert [piece async for piece in (await again).chunks()] == [b"next"]


class Heard:
    """Takes what is poured, so many pieces at a time."""

    def __init__(self, holds=1000):
        self.pieces = []
        self.holds = holds
        self.came = asyncio.Event()

    def __call__(self, piece):
        self.pieces.append(piece)
        self.came.set()
        return len(self.pieces) % self.holds != 0

    async def next(self):
        await self.came.wait()
        self.came.clear()
        return self.pieces[-1]


async def test_what_is_poured_is_handed_on_as_it_comes(up, reach, start):
    upstream = reach(up.url)
    arrival, call = await begun(up, upstream, start, chunked=True)
    heard = Heard()
    pouring = start(pour(arrival.chunks(), heard))
    for piece in (b"one", b"two", b"three"):
        await call.chunk(piece)
        assert await heard.next() == piece
    await call.end()
    assert not await pouring
    assert heard.pieces == [b"one", b"two", b"three"]
    assert upstream.in_use == 0


async def test_what_is_poured_stops_when_no_more_is_taken_and_goes_on_when_asked(up, reach, start):
    arrival, call = await begun(up, reach(up.url), start, chunked=True)
    heard, chunks = Heard(holds=1), arrival.chunks()
    await call.chunk(b"one")
    assert await pour(chunks, heard)
    await call.chunk(b"two")
    assert await pour(chunks, heard)
    await call.end()
    assert not await pour(chunks, heard)
    assert heard.pieces == [b"one", b"two"]


@pytest.mark.parametrize("holds", [1, 10**6])
async def test_nothing_is_lost_or_turned_round_of_a_body_that_comes_faster_than_it_is_read(
    up, reach, start, holds
):
    whole = b"".join(b"%07d\n" % number for number in range(100_000))
    arrival, call = await begun(up, reach(up.url), start, chunked=True)
    heard, chunks = Heard(holds), arrival.chunks()

    async def tell():
        for at in range(0, len(whole), 50_000):
            await call.chunk(whole[at : at + 50_000])
        await call.end()

    telling = start(tell())
    while await pour(chunks, heard):
        pass
    await telling
    assert b"".join(heard.pieces) == whole


@pytest.mark.parametrize(
    ("framing", "way"),
    [
        ({"chunked": True}, "cut"),
        ({"chunked": True}, "reset"),
        ({"length": 6}, "cut"),
        ({"length": 6}, "reset"),
        ({"close_delimited": True}, "reset"),
    ],
)
async def test_what_is_poured_and_breaks_off_says_so(up, reach, start, framing, way):
    upstream = reach(up.url)
    arrival, call = await begun(up, upstream, start, **framing)
    heard = Heard()
    pouring = start(pour(arrival.chunks(), heard))
    await call.chunk(b"abc")
    assert await heard.next() == b"abc"
    await getattr(call, way)()
    with pytest.raises(BrokenReply, match="broke off"):
        await pouring
    assert upstream.in_use == 0


async def test_what_is_poured_and_falls_silent_says_so(up, reach, start):
    upstream = reach(up.url, idle_timeout_s=SOON_S)
    arrival, _call = await begun(up, upstream, start, chunked=True)
    with pytest.raises(BrokenReply, match="silent"):
        await pour(arrival.chunks(), Heard())
    assert upstream.in_use == 0


async def test_a_close_delimited_body_can_be_poured(up, reach, start):
    arrival, call = await begun(up, reach(up.url), start, close_delimited=True)
    heard = Heard()
    pouring = start(pour(arrival.chunks(), heard))
    await call.chunk(b"abc")
    await call.end()
    assert not await pouring
    assert b"".join(heard.pieces) == b"abc"


async def test_who_takes_and_fails_is_told_and_the_backend_is_not_blamed(up, reach, start):
    upstream = reach(up.url)
    arrival, call = await begun(up, upstream, start, chunked=True)

    def take(_piece):
        raise ConnectionResetError("the client has gone")

    pouring = start(pour(arrival.chunks(), take))
    await call.chunk(b"abc")
    with pytest.raises(ConnectionResetError):
        await pouring
    assert upstream.traffic.errors == {}
    arrival.close()
    assert upstream.in_use == 0


async def test_a_response_that_is_given_up_while_it_is_poured_says_so(up, reach, start):
    upstream = reach(up.url)
    arrival, call = await begun(up, upstream, start, chunked=True)
    heard = Heard()
    pouring = start(pour(arrival.chunks(), heard))
    await call.chunk(b"abc")
    await heard.next()
    arrival.close()
    with pytest.raises(BrokenReply, match="given up"):
        await pouring
    assert upstream.in_use == 0


async def test_pouring_can_be_called_off_and_begun_again(up, reach, start):
    arrival, call = await begun(up, reach(up.url), start, chunked=True)
    heard, chunks = Heard(), arrival.chunks()
    first = start(pour(chunks, heard))
    await call.chunk(b"one")
    await heard.next()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await call.chunk(b"two")
    await call.end()
    assert not await pour(chunks, heard)
    assert heard.pieces == [b"one", b"two"]
