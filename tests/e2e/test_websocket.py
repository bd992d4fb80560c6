"""WebSockets through the proxy: it carries their bytes and has no opinion on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType, web
from support.proxied import SHORT_GRACE, Proxied, proxied

REALTIME = "/v1/realtime?model=m"


class SocketBackend:
    """Echoes what it hears; ``close 4001`` makes it hang up with that code, ``die`` without any."""

    def __init__(self) -> None:
        self.heard: list[bytes | str] = []
        self.closed: asyncio.Queue[int | None] = asyncio.Queue()  # how clients hung up
        self.requests: list[web.Request] = []

    async def converse(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if request.headers.get("Authorization") == "Bearer sk-revoked":
            return web.json_response({"error": {"message": "Go away."}}, status=401)
        ws = web.WebSocketResponse(protocols=["realtime"], max_msg_size=0)
        await ws.prepare(request)
        await ws.send_str("welcome")
        async for message in ws:
            self.heard.append(message.data)
            if message.type is WSMsgType.BINARY:
                await ws.send_bytes(message.data)
            elif message.data.startswith("close "):
                code = int(message.data.removeprefix("close "))
                await ws.close(code=code, message=b"as you wish")
            elif message.data == "die":
                assert request.transport is not None
                request.transport.abort()
            else:
                await ws.send_str(message.data)
        self.closed.put_nowait(ws.close_code)
        return ws


@pytest.fixture
def spoken_to() -> SocketBackend:
    return SocketBackend()


@pytest.fixture
async def proxy(spoken_to: SocketBackend) -> AsyncIterator[Proxied]:
    application = web.Application()
    application.router.add_get("/v1/realtime", spoken_to.converse)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with proxied(f"http://127.0.0.1:{site.port}", downstream=SHORT_GRACE) as proxy:
        yield proxy
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session:
        yield session


async def test_both_sides_hear_each_other_in_text_and_in_bytes(
    proxy: Proxied, http: aiohttp.ClientSession, spoken_to: SocketBackend
) -> None:
    async with http.ws_connect(proxy.url + REALTIME, protocols=["realtime"]) as ws:
        assert ws.protocol == "realtime"
        assert await ws.receive_str() == "welcome"
        await ws.send_str("Grüße")
        assert await ws.receive_str() == "Grüße"
        await ws.send_bytes(bytes(range(256)))
        assert await ws.receive_bytes() == bytes(range(256))
        await ws.ping(b"there?")

    assert await spoken_to.closed.get() == WSCloseCode.OK
    assert spoken_to.requests[0].query_string == "model=m"
    await proxy.counted(lambda: proxy.verdicts == ["BYPASS"])


@pytest.mark.parametrize("code", [1000, 1008, 4001])
async def test_the_backends_close_code_reaches_the_client(
    code: int, proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(proxy.url + REALTIME) as ws:
        await ws.receive_str()
        await ws.send_str(f"close {code}")
        last = await ws.receive()

    assert last.type is WSMsgType.CLOSE
    assert (last.data, last.extra) == (code, "as you wish")


async def test_the_clients_close_code_reaches_the_backend(
    proxy: Proxied, http: aiohttp.ClientSession, spoken_to: SocketBackend
) -> None:
    async with http.ws_connect(proxy.url + REALTIME) as ws:
        await ws.receive_str()
        await ws.close(code=4002)

    assert await spoken_to.closed.get() == 4002


async def test_a_frame_of_eight_megabytes_goes_there_and_back(
    proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    large = bytes(range(256)) * 32768
    async with http.ws_connect(proxy.url + REALTIME, max_msg_size=0) as ws:
        await ws.receive_str()
        await ws.send_bytes(large)
        assert await ws.receive_bytes() == large


async def test_compression_is_agreed_between_the_two_ends(
    proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(proxy.url + REALTIME, compress=15) as ws:
        assert ws.compress
        await ws.receive_str()
        await ws.send_str("a" * 100_000)
        assert await ws.receive_str() == "a" * 100_000


async def test_the_backends_refusal_to_switch_is_passed_on(
    proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(proxy.url + REALTIME, headers={"Authorization": "Bearer sk-revoked"})

    assert refused.value.status == 401


async def test_a_backend_that_dies_is_no_proper_end(
    proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(proxy.url + REALTIME) as ws:
        await ws.receive_str()
        await ws.send_str("die")
        last = await ws.receive()

    assert last.type in {WSMsgType.CLOSED, WSMsgType.ERROR}
    assert ws.close_code == WSCloseCode.ABNORMAL_CLOSURE


async def test_a_client_that_vanishes_is_missed_by_the_backend(
    proxy: Proxied, http: aiohttp.ClientSession, spoken_to: SocketBackend
) -> None:
    async with http.ws_connect(proxy.url + REALTIME) as ws:
        await ws.receive_str()
        ws._response.connection.transport.abort()
        assert await spoken_to.closed.get() in {None, WSCloseCode.ABNORMAL_CLOSURE}


async def test_fifty_conversations_at_once_stay_apart(
    proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    async def converse(number: int) -> list[str]:
        async with http.ws_connect(proxy.url + REALTIME) as ws:
            await ws.receive_str()
            said = []
            for turn in range(20):
                await ws.send_str(f"{number}: {turn}")
                said.append(await ws.receive_str())
            return said

    heard = await asyncio.gather(*(converse(number) for number in range(50)))
    assert heard == [[f"{number}: {turn}" for turn in range(20)] for number in range(50)]
