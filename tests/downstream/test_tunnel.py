"""Connections that switch protocols: bytes both ways, to the end of either side."""

from __future__ import annotations

import asyncio

import pytest
from support.meanwhile import meanwhile
from support.serving import reply_with, serving, talking

from proxy.downstream.limits import Limits
from proxy.model.decision import Why
from proxy.model.errors import BrokenReply, ConnectFailed
from proxy.model.message import Duplex, Head, Headers, Request
from proxy.model.outcome import Reply, Verdict

WEBSOCKET = (
    b"GET /v1/realtime HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: abc\r\n\r\n"
)
OTHER = WEBSOCKET.replace(b"websocket", b"my-protocol")
SWITCHED = [
    ("Upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("Sec-WebSocket-Accept", "xyz"),
]


class FarSide:
    """A Duplex whose other end is the test. Implements ``Duplex``."""

    def __init__(self, headers: list[tuple[str, str]] | None = None) -> None:
        self.head = Head(101, "Switching Protocols", Headers(headers or SWITCHED))
        self.says: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.hears: asyncio.Queue[bytes] = asyncio.Queue()
        self.takes = asyncio.Event()
        self.takes.set()
        self.closed = asyncio.Event()

    async def receive(self) -> bytes:
        said = await self.says.get()
        if isinstance(said, Exception):
            raise said
        return said

    async def send(self, data: bytes) -> None:
        await self.takes.wait()
        self.hears.put_nowait(data)

    def close(self) -> None:
        self.closed.set()

    async def heard(self, count: int) -> bytes:
        data = b""
        async with asyncio.timeout(10):
            while len(data) < count:
                data += await self.hears.get()
        return data

    async def tunnel(self, request: Request) -> Duplex | Reply:
        return self


async def within(event: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await event.wait()


@pytest.mark.parametrize("request_bytes", [WEBSOCKET, OTHER])
async def test_bytes_go_both_ways_until_the_upstream_ends(request_bytes: bytes) -> None:
    far = FarSide()
    async with serving(tunnel=far.tunnel) as stage, await stage.client() as client:
        await client.send(request_bytes)
        response = await client.head()
        assert (response.status, response.headers) == (101, SWITCHED)
        await client.send(b"\x81\x00GET / HTTP/1.1\r\n\r\n")
        assert await far.heard(20) == b"\x81\x00GET / HTTP/1.1\r\n\r\n"
        far.says.put_nowait(b"pong")
        assert await client.exactly(4) == b"pong"
        far.says.put_nowait(b"bye")
        far.says.put_nowait(b"")
        assert await client.rest() == b"bye"
        await within(far.closed)
        record = await stage.record()
    assert stage.requests[0].headers.get("upgrade") in {"websocket", "my-protocol"}
    assert (record.outcome.verdict, record.outcome.why) == (Verdict.BYPASS, Why.UPGRADE)
    assert (record.delivery.status, record.delivery.sent) == (101, 7)
    assert record.delivery.complete
    assert stage.server.counts.tunnels == 1


async def test_bytes_sent_right_behind_the_request_go_first() -> None:
    far = FarSide()
    async with talking(tunnel=far.tunnel) as client:
        await client.send(WEBSOCKET + b"early")
        await client.head()
        await client.send(b"late")
        assert await far.heard(9) == b"earlylate"


async def test_bytes_the_parser_dropped_behind_another_upgrade_make_it_400() -> None:
    far = FarSide()
    async with talking(tunnel=far.tunnel) as client:
        await client.send(OTHER + b"early")
        assert (await client.response()).status == 400
        assert await client.rest() == b""


async def test_a_client_that_ends_its_side_hears_what_the_upstream_still_says() -> None:
    far = FarSide()
    limits = Limits(half_close_grace_s=0.1)
    async with serving(tunnel=far.tunnel, limits=limits) as stage, await stage.client() as client:
        await client.send(WEBSOCKET)
        await client.head()
        await client.send(b"close")
        client.end()
        assert await far.heard(5) == b"close"
        far.says.put_nowait(b"closed")
        assert await client.rest() == b"closed"
        await within(far.closed)
        assert (await stage.record()).delivery.complete


async def test_a_client_that_resets_ends_the_tunnel_at_once() -> None:
    far = FarSide()
    async with serving(tunnel=far.tunnel) as stage:
        client = await stage.client()
        await client.send(WEBSOCKET)
        await client.head()
        client.reset()
        await within(far.closed)
        record = await stage.record()
    assert (record.delivery.complete, record.delivery.error) == (False, "ClientGone")


async def test_an_upstream_that_breaks_resets_the_client() -> None:
    far = FarSide()
    async with serving(tunnel=far.tunnel) as stage, await stage.client() as client:
        await client.send(WEBSOCKET)
        await client.head()
        far.says.put_nowait(BrokenReply("it broke"))
        assert await client.was_reset()
        await within(far.closed)
        assert (await stage.record()).delivery.error == "BrokenReply"


async def test_an_upstream_that_does_not_take_bytes_resets_the_client() -> None:
    class Refusing(FarSide):
        async def send(self, data: bytes) -> None:
            raise BrokenReply("it broke")

    far = Refusing()
    async with serving(tunnel=far.tunnel) as stage, await stage.client() as client:
        await client.send(WEBSOCKET + b"x")
        assert await client.was_reset()
        await within(far.closed)
        assert (await stage.record()).delivery.error == "BrokenReply"


async def test_a_slow_upstream_holds_the_client_back_and_loses_nothing() -> None:
    far = FarSide()
    far.takes.clear()
    data = bytes(range(256)) * 2**16  # 16 MiB
    async with talking(tunnel=far.tunnel) as client:
        await client.send(WEBSOCKET)
        await client.head()
        async with meanwhile(client.send(data)) as sending:
            await asyncio.wait([sending], timeout=0.2)
            assert not sending.done()
            far.takes.set()
            assert await far.heard(len(data)) == data
            await sending


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    far = FarSide()
    limits = Limits(stall_s=0.1)
    async with (
        serving(tunnel=far.tunnel, limits=limits) as stage,
        await stage.client(receive_buffer=4096) as client,
    ):
        await client.send(WEBSOCKET)
        far.says.put_nowait(bytes(32 * 2**20))
        await within(far.closed)
        assert (await stage.record()).delivery.error == "ReaderStalled"
        assert await client.was_reset()


async def test_a_tunnel_may_be_silent_for_any_time() -> None:
    far = FarSide()
    limits = Limits(idle_s=0.03, half_close_grace_s=0.03)
    async with talking(tunnel=far.tunnel, limits=limits) as client:
        await client.send(WEBSOCKET)
        await client.head()
        await asyncio.sleep(0.15)  # for the other clocks to run out
        far.says.put_nowait(b"still here")
        assert await client.exactly(10) == b"still here"


async def test_a_refused_upgrade_is_an_ordinary_reply_and_the_last() -> None:
    async def tunnel(request: Request) -> Duplex | Reply:
        return reply_with(b"no", status=403)

    async with serving(tunnel=tunnel) as stage, await stage.client() as client:
        await client.send(WEBSOCKET + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        response = await client.response()
        assert (response.status, response.body) == (403, b"no")
        assert response.get("Connection") == "close"
        assert await client.rest() == b""
        assert (await stage.record()).delivery.status == 403
    assert len(stage.requests) == 1


async def test_an_upstream_that_cannot_be_reached_is_502() -> None:
    async def tunnel(request: Request) -> Duplex | Reply:
        raise ConnectFailed("nobody there")

    async with talking(tunnel=tunnel) as client:
        await client.send(WEBSOCKET)
        assert (await client.response()).status == 502


async def test_a_head_that_cannot_be_sent_is_502() -> None:
    far = FarSide([("X-A", "a\r\nb")])
    async with serving(tunnel=far.tunnel) as stage, await stage.client() as client:
        await client.send(WEBSOCKET)
        assert (await client.response()).status == 502
        await within(far.closed)
        assert (await stage.record()).delivery.error == "ProtocolViolation"


async def test_an_upgrade_with_a_body_is_an_ordinary_request() -> None:
    request_bytes = WEBSOCKET.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc")
    async with serving() as stage, await stage.client() as client:
        await client.send(request_bytes)
        assert (await client.response()).status == 200
    assert "upgrade" not in stage.requests[0].headers
