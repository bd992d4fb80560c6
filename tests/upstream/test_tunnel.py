"""A switched connection carries bytes both ways; one that did not switch is a plain response."""

from __future__ import annotations

import pytest
from support.asking import outbound
from support.scripted import ScriptedUpstream

from proxy.model.errors import (
    BrokenReply,
    ConnectFailed,
    FirstByteTimeout,
    NoReply,
    ProtocolViolation,
)

SOON_S = 0.05  # a deadline that is meant to pass
MUCH = b"x" * 32 * 1024 * 1024  # more than the sockets between two processes hold
KEY = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
ACCEPT = ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")


def upgrade(protocol="websocket"):
    fields = (KEY, ("Connection", "Upgrade"), ("Upgrade", protocol), ("Via", "1.1 sidecache"))
    return outbound("GET", "/chat", headers=fields)


async def opened(up, upstream, start, after=b""):
    asking = start(upstream.tunnel(upgrade()))
    call = await up.next_call()
    await call.switch("WebSocket", [ACCEPT], after)
    return await asking, call


async def received(tunnel, size):
    data = bytearray()
    while len(data) < size:
        piece = await tunnel.receive()
        assert piece
        data += piece
    return bytes(data)


async def test_the_offer_and_its_acceptance_arrive(up, reach, start):
    tunnel, call = await opened(up, reach(up.url + "/base"), start)
    assert call.target == "/base/chat"
    assert call.headers == [
        ("Host", f"127.0.0.1:{up.port}"),
        KEY,
        ("Via", "1.1 sidecache"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
    ]
    assert tunnel.head.status == 101
    assert tunnel.head.headers.pairs == (
        ("Connection", "Upgrade"),
        ("Upgrade", "WebSocket"),
        ACCEPT,
    )
    tunnel.close()


async def test_bytes_flow_both_ways(up, reach, start):
    tunnel, call = await opened(up, reach(up.url), start)
    await tunnel.send(b"ping")
    assert await call.received_raw(4) == b"ping"
    await call.raw(b"pong")
    assert await tunnel.receive() == b"pong"
    await tunnel.send(b"\x00\xff")
    assert await call.received_raw(6) == b"ping\x00\xff"


@pytest.mark.parametrize("after", [b"first words", b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 200_000])
async def test_nothing_right_behind_the_head_is_lost(up, reach, start, after):
    tunnel, call = await opened(up, reach(up.url), start, after)
    await call.raw(b" and more")
    assert await received(tunnel, len(after) + 9) == after + b" and more"


async def test_silence_in_a_tunnel_is_no_fault(up, reach, start):
    upstream = reach(up.url, idle_timeout_s=SOON_S)
    tunnel, call = await opened(up, upstream, start, b"hello")
    assert await tunnel.receive() == b"hello"
    receiving = start(tunnel.receive())
    with pytest.raises(FirstByteTimeout):  # more than that time has passed
        await reach(up.url, first_byte_timeout_s=4 * SOON_S).send(outbound())
    await call.raw(b"still here")
    assert await receiving == b"still here"
    await call.cut()
    assert await tunnel.receive() == b""


async def test_the_backends_end_is_the_end(up, reach, start):
    upstream = reach(up.url)
    tunnel, call = await opened(up, upstream, start, b"bye")
    await call.cut()
    assert [await tunnel.receive() for _ in range(3)] == [b"bye", b"", b""]
    with pytest.raises(BrokenReply):
        await tunnel.send(b"anyone?")
    tunnel.close()
    tunnel.close()
    assert upstream.in_use == 0


async def test_a_reset_is_not_an_end(up, reach, start):
    tunnel, call = await opened(up, reach(up.url), start)
    receiving = start(tunnel.receive())
    await call.reset()
    with pytest.raises(BrokenReply):
        await receiving


async def test_closing_ends_both_sides(up, reach, start):
    upstream = reach(up.url)
    tunnel, call = await opened(up, upstream, start)
    receiving = start(tunnel.receive())
    tunnel.close()
    await call.hung_up()
    assert await receiving == b""
    assert upstream.in_use == 0


async def test_closing_the_upstream_ends_its_tunnels(up, reach, start):
    upstream = reach(up.url)
    tunnel, call = await opened(up, upstream, start)
    await upstream.close()
    await call.hung_up()
    assert await tunnel.receive() == b""
    with pytest.raises(ConnectFailed):
        await upstream.tunnel(upgrade())


async def test_a_slow_receiver_makes_the_backend_wait(up, reach, start):
    tunnel, call = await opened(up, reach(up.url), start)
    sending = start(call.raw(MUCH))
    begun = await tunnel.receive()
    with pytest.raises(FirstByteTimeout):  # time enough to send it all
        await reach(up.url, first_byte_timeout_s=0.3).send(outbound())
    assert not sending.done()
    assert begun + await received(tunnel, len(MUCH) - len(begun)) == MUCH
    await sending


async def test_a_backend_that_takes_nothing_breaks_the_tunnel(reach, start):
    async with ScriptedUpstream(reads_bodies=False) as up:
        tunnel, _ = await opened(up, reach(up.url, idle_timeout_s=SOON_S), start)
        with pytest.raises(BrokenReply, match="took nothing"):
            await tunnel.send(MUCH)


async def test_an_offer_that_is_declined_is_answered_as_usual(up, reach, start):
    upstream = reach(up.url)
    asking = start(upstream.tunnel(upgrade()))
    call = await up.next_call()
    await call.head(426, [("A", "b")], chunked=True)
    arrival = await asking
    assert (arrival.head.status, arrival.head.headers.pairs) == (426, (("A", "b"),))
    await call.chunk(b"no")
    await call.end()
    assert b"".join([piece async for piece in arrival.chunks()]) == b"no"
    assert upstream.in_use == 0
    start(upstream.tunnel(upgrade()))
    assert (await up.next_call()).nth == 1


async def test_a_protocol_that_was_not_offered_is_a_violation(up, reach, start):
    upstream = reach(up.url)
    asking = start(upstream.tunnel(upgrade("a, b")))
    call = await up.next_call()
    await call.switch("c")
    with pytest.raises(ProtocolViolation):
        await asking
    await call.hung_up()
    assert upstream.in_use == 0


async def test_a_connection_that_ends_instead_is_no_reply(up, reach, start):
    asking = start(reach(up.url).tunnel(upgrade()))
    await (await up.next_call()).cut()
    with pytest.raises(NoReply):
        await asking


async def test_tunnels_take_no_places_from_requests(up, reach, start):
    upstream = reach(up.url, max_connections=1)
    await opened(up, upstream, start)
    asking = start(upstream.send(outbound()))
    await (await up.next_call()).reply(200)
    assert (await asking).head.status == 200
