"""Bodies go up as they come, beside the wait for the answer; a part never passes for the whole."""

from __future__ import annotations

import asyncio

import pytest
from support.asking import FedBody, outbound, read
from support.scripted import ScriptedUpstream

from proxy.model.errors import BrokenReply, FirstByteTimeout, RequestError

SOON_S = 0.05  # a deadline that is meant to pass
MUCH = b"x" * 32 * 1024 * 1024  # more than the sockets between two processes hold


@pytest.mark.parametrize(
    ("length", "framing"), [(6, "Content-Length: 6"), (None, "Transfer-Encoding: chunked")]
)
async def test_a_body_goes_up_as_it_comes(up, reach, start, length, framing):
    upstream = reach(up.url)
    body = FedBody(length)
    asking = start(upstream.send(outbound(body=body)))
    call = await up.next_call(whole=False)
    assert framing.encode() in call.raw_head
    body.feed(b"abc")
    assert await call.received(3) == b"abc"
    body.feed(b"")
    body.feed(b"def")
    body.end()
    assert await call.whole() == b"abcdef"
    await call.reply(200, body=b"thanks")
    assert await read(await asking) == b"thanks"
    start(upstream.send(outbound()))
    assert (await up.next_call()).nth == 2


async def test_a_large_body_goes_up_whole_and_its_connection_is_kept(up, reach, start):
    upstream = reach(up.url)
    body = MUCH[: 4 * 1024 * 1024]
    asking = start(upstream.send(outbound(body=body)))
    call = await up.next_call()
    assert call.body == body
    await call.reply(200, body=b"thanks")
    assert await read(await asking) == b"thanks"
    assert upstream.in_use == 0


@pytest.mark.parametrize(("length", "fault"), [(None, 408), (6, 400)])
async def test_a_body_that_breaks_off_is_the_clients_error_and_never_ends_cleanly(
    up, reach, start, length, fault
):
    upstream = reach(up.url)
    body = FedBody(length)
    asking = start(upstream.send(outbound(body=body)))
    body.feed(b"abc")
    call = await up.next_call(whole=False)
    await call.received(3)
    body.fail(RequestError(fault, "The body came too slowly."))
    with pytest.raises(RequestError) as caught:
        await asking
    assert caught.value.status == fault
    await call.hung_up()
    assert not call.complete
    assert upstream.in_use == 0


@pytest.mark.parametrize("pieces", [[b"abc"], [b"abc", b"defg"], [b"abcdefg"]])
async def test_a_body_of_another_length_than_declared_is_not_passed_on(up, reach, start, pieces):
    body = FedBody(6)
    asking = start(reach(up.url).send(outbound(body=body)))
    for piece in pieces:
        body.feed(piece)
    body.end()
    with pytest.raises(RequestError):
        await asking
    call = await up.next_call(whole=False)
    await call.hung_up()
    assert not call.complete


async def test_a_fault_of_ours_while_sending_reaches_the_caller(up, reach, start):
    body = FedBody()
    asking = start(reach(up.url).send(outbound(body=body)))
    body.fail(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await asking
    await (await up.next_call(whole=False)).hung_up()


@pytest.mark.parametrize("body_of_reply", [b"", b"too large"])
async def test_an_early_answer_is_passed_on_and_ends_the_upload(up, reach, start, body_of_reply):
    upstream = reach(up.url)
    body = FedBody()
    asking = start(upstream.send(outbound(body=body)))
    body.feed(b"abc")
    call = await up.next_call(whole=False)
    await call.reply(413, body=body_of_reply)
    arrival = await asking
    assert arrival.head.status == 413
    assert await read(arrival) == body_of_reply
    await body.dropped.wait()
    await call.hung_up()
    assert not call.complete
    assert upstream.in_use == 0


async def test_an_early_answer_is_heard_while_the_backend_reads_nothing(reach, start):
    async with ScriptedUpstream(reads_bodies=False) as up:
        asking = start(reach(up.url).send(outbound(body=MUCH)))
        call = await up.next_call(whole=False)
        await call.reply(413, body=b"too large")
        assert await read(await asking) == b"too large"
        call.read_on()
        await call.hung_up()


async def test_both_directions_flow_at_once(up, reach, start):
    body = FedBody()
    asking = start(reach(up.url).send(outbound(body=body)))
    call = await up.next_call(whole=False)
    await call.head(200, chunked=True)
    chunks = (await asking).chunks()
    for piece in (b"one", b"two"):
        body.feed(piece)
        await call.received(len(call.body) + len(piece))
        await call.chunk(piece.upper())
        assert await anext(chunks) == piece.upper()
    body.end()
    await call.whole()
    await call.end()
    assert await anext(chunks, b"") == b""


async def test_an_upload_is_not_silence_though_the_answer_has_begun(up, reach, start):
    upstream = reach(up.url, idle_timeout_s=SOON_S)
    body = FedBody()
    asking = start(upstream.send(outbound(body=body)))
    await (await up.next_call(whole=False)).head(200, chunked=True)
    reading = start(read(await asking))
    with pytest.raises(FirstByteTimeout):  # more than the time for silence has passed
        await reach(up.url, first_byte_timeout_s=4 * SOON_S).send(outbound())
    assert not reading.done()
    body.end()
    with pytest.raises(BrokenReply, match="silent"):
        await reading


async def test_a_body_that_breaks_off_after_the_answer_has_begun_breaks_the_answer(
    up, reach, start
):
    body = FedBody()
    asking = start(reach(up.url).send(outbound(body=body)))
    call = await up.next_call(whole=False)
    await call.head(200, chunked=True)
    reading = start(read(await asking))
    body.fail(RequestError(408, "The body came too slowly."))
    with pytest.raises(BrokenReply, match="request's body"):
        await reading
    await call.hung_up()


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_backend_that_stops_reading_is_given_up(reach, start, streamed):
    async with ScriptedUpstream(reads_bodies=False) as up:
        body = FedBody()
        body.feed(MUCH)
        upstream = reach(up.url, idle_timeout_s=SOON_S)
        with pytest.raises(FirstByteTimeout, match="took nothing"):
            await upstream.send(outbound(body=body if streamed else MUCH))
        assert upstream.in_use == 0


async def test_an_upload_stops_when_the_backend_is_gone(up, reach, start):
    body = FedBody()
    asking = start(reach(up.url).send(outbound(body=body)))
    body.feed(b"abc")
    call = await up.next_call(whole=False)
    await call.received(3)
    await call.cut()
    await asyncio.wait({asking})
    body.feed(b"def")
    await body.dropped.wait()


async def test_an_upload_stops_when_the_backend_is_gone_though_its_answer_is_unread(
    up, reach, start
):
    body = FedBody()
    asking = start(reach(up.url).send(outbound(body=body)))
    call = await up.next_call(whole=False)
    await call.reply(413, body=b"too large")
    arrival = await asking
    await call.cut()
    # Another exchange with the loop: the end has arrived by its own.
    elsewhere = start(reach(up.url).send(outbound()))
    await (await up.next_call()).reply(200)
    await elsewhere
    body.feed(b"abc")
    await body.dropped.wait()
    assert await read(arrival) == b"too large"


async def test_a_slow_reader_is_not_a_silent_backend_though_it_was_sent_to_meanwhile(
    up, reach, start
):
    upstream = reach(up.url, idle_timeout_s=0.2)
    body = FedBody()
    asking = start(upstream.send(outbound(body=body)))
    call = await up.next_call(whole=False)
    await call.head(200, chunked=True)
    sending = start(call.chunk(MUCH))
    arrival = await asking
    with pytest.raises(FirstByteTimeout):  # time enough for reading to stop
        await reach(up.url, first_byte_timeout_s=SOON_S).send(outbound())
    body.end()
    await call.whole()
    with pytest.raises(FirstByteTimeout):  # more than the time for silence has passed
        await reach(up.url, first_byte_timeout_s=0.4).send(outbound())
    assert not sending.done()
    assert await anext(arrival.chunks())
    arrival.close()


async def test_cancelling_the_request_ends_the_upload(up, reach, start):
    upstream = reach(up.url)
    body = FedBody()
    asking = start(upstream.send(outbound(body=body)))
    body.feed(b"abc")
    call = await up.next_call(whole=False)
    await call.received(3)
    asking.cancel()
    await body.dropped.wait()
    await call.hung_up()
    assert upstream.in_use == 0
