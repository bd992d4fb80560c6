"""Bodies larger than the proxy may ever hold: they flow through it, at the slower side's pace."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from support.raw_chat import event
from support.sdk_caller import chat
from support.served import Served, served
from support.started import started

MIB = 2**20
SIZE = 64 * MIB
PIECE = bytes(range(256)) * 1024  # 256 KiB
ALLOWED = 40 * MIB  # what the process may grow by; far less than what flows through it

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")


class Stores:
    """Takes uploads and gives downloads, once it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.sent = asyncio.Event()
        self.received = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        await self.go.wait()
        digest = hashlib.sha256()
        async for piece in request.content.iter_any():
            digest.update(piece)
        self.received = digest.hexdigest()
        return web.Response(text="taken")

    async def give(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if "sized" in request.query:
            response.content_length = SIZE
        await response.prepare(request)
        for _ in range(SIZE // len(PIECE)):
            await response.write(PIECE)
        self.sent.set()
        return response

    async def talk(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        size = (await request.json())["max_tokens"]
        for _ in range(size // 65_536):
            await response.write(event(content="x" * 65_536))
        await self.go.wait()
        await response.write(b"data: [DONE]\n\n")
        return response


@asynccontextmanager
async def stores() -> AsyncIterator[tuple[Stores, Served, aiohttp.ClientSession]]:
    store = Stores()
    application = web.Application(client_max_size=2 * SIZE)
    application.router.add_post("/v1/files", store.take)
    application.router.add_get("/v1/files/content", store.give)
    application.router.add_post("/v1/chat/completions", store.talk)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with (
            served(f"http://127.0.0.1:{site.port}") as proxy,
            aiohttp.ClientSession(proxy.url) as http,
        ):
            yield store, proxy, http
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module")
def digest() -> str:
    whole = hashlib.sha256()
    for _ in range(SIZE // len(PIECE)):
        whole.update(PIECE)
    return whole.hexdigest()


async def test_a_large_upload_waits_for_the_backend_and_is_never_held_whole(digest: str) -> None:
    gone = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(SIZE // len(PIECE)):
            yield PIECE
        gone.set()

    async with stores() as (store, proxy, http):
        before = proxy.forget_peak()
        uploading = started(http.post("/v1/files", data=pieces()))
        with pytest.raises(TimeoutError):  # nobody takes it yet, so it cannot have gone
            await asyncio.wait_for(gone.wait(), 0.5)
        store.go.set()
        async with await uploading as response:
            assert await response.text() == "taken"

        assert store.received == digest
        assert proxy.peak_bytes - before < ALLOWED


@pytest.mark.parametrize("sized", ["?sized", ""])
async def test_a_large_download_waits_for_the_client_and_is_never_held_whole(
    sized: str, digest: str
) -> None:
    async with stores() as (store, proxy, http):
        before = proxy.forget_peak()
        heard = hashlib.sha256()
        async with http.get(f"/v1/files/content{sized}") as response:
            with pytest.raises(TimeoutError):  # nobody reads it yet, so it cannot have been sent
                await asyncio.wait_for(store.sent.wait(), 0.5)
            async for piece in response.content.iter_any():
                heard.update(piece)

        assert heard.hexdigest() == digest
        assert proxy.peak_bytes - before < ALLOWED


async def test_a_stream_too_long_to_be_kept_is_heard_whole_and_never_held_whole() -> None:
    async with stores() as (store, proxy, http):
        store.go.set()
        before = proxy.forget_peak()
        size, last = 0, b""
        async with http.post(
            "/v1/chat/completions", json=chat(stream=True, max_tokens=SIZE)
        ) as response:
            assert response.headers["X-Cache"] == "MISS"
            async for piece in response.content.iter_any():
                size += len(piece)
                last = (last + piece)[-14:]

        assert size > SIZE
        assert last == b"data: [DONE]\n\n"
        assert proxy.peak_bytes - before < ALLOWED


async def test_a_crowd_of_late_and_slow_readers_holds_one_answer_and_not_one_each() -> None:
    size = 12 * MIB  # short enough to be kept for those who come late
    asked = chat(stream=True, max_tokens=size)
    async with stores() as (store, proxy, http):
        before = proxy.forget_peak()
        async with contextlib.AsyncExitStack() as crowd:
            first = await crowd.enter_async_context(http.post("/v1/chat/completions", json=asked))
            heard = await first.content.readexactly(size)
            for _ in range(20):  # they do not read yet
                asking = http.post("/v1/chat/completions", json=asked)
                late = await crowd.enter_async_context(asking)
                assert late.headers["X-Cache"] == "COALESCED"
                crowd.push_async_callback(_hears, late, heard)
            grown = proxy.peak_bytes - before
            store.go.set()
        assert grown < ALLOWED


async def _hears(response: aiohttp.ClientResponse, expected: bytes) -> None:
    assert (await response.read()).startswith(expected)
