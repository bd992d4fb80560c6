"""A process that may have few descriptors: who is served stays served, and all others are told."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from support.raw_chat import STREAM, Listener, begin, question, stream
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream
from support.served import Served, served

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

BEGINNING = b"POST /v1/chat/completions HTTP/1.1\r\n"
TRIES = 100


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment in which a process has this event loop."""
    if request.param == "uvloop":
        return {}
    (tmp_path / "uvloop.py").write_text("raise ImportError('not for this test')\n")
    return {"PYTHONPATH": str(tmp_path)}


@asynccontextmanager
async def crowd(proxy: Served, number: int) -> AsyncIterator[list[RawClient]]:
    """So many connections, each with the beginning of a request, if it was taken."""
    clients: list[RawClient] = []
    try:
        for _ in range(number):
            with suppress(ConnectionError):
                clients.append(await RawClient.connect(proxy.address))
                await clients[-1].send(BEGINNING)
        yield clients
    finally:
        for client in clients:
            client.close()


@asynccontextmanager
async def streaming(up: ScriptedUpstream, proxy: Served) -> AsyncIterator[tuple[Call, Listener]]:
    """A stream that has begun; it has come to its end, whole, when the block is left."""
    async with await RawClient.connect(proxy.address) as client:
        await client.send(question(stream=True))
        call = await up.next_call()
        await begin(call, STREAM[:1])
        await client.head()
        listener = Listener(client)
        await listener.until(STREAM[0])
        yield call, listener
        for event in STREAM[1:]:
            await call.chunk(event)
        await call.end()
        assert await listener.end() == b"".join(STREAM)


async def fate(client: RawClient) -> str:
    """What became of a connection by now."""
    try:
        if client.nothing_came():
            return "held"
        said = await client.receive()
    except ConnectionResetError:
        return "reset"
    return "told" if said.startswith(b"HTTP/1.1 503 ") else "closed" if not said else "odd"


async def ready(proxy: Served) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{proxy.admin}/healthz") as reply:
        return reply.status


async def baseline(proxy: Served, before: int) -> None:
    """Wait until no more are open than ``before``, and the connection to the backend."""
    async with asyncio.timeout(20):
        while proxy.descriptors > before + 1:  # noqa: ASYNC110 - another process closes them
            await asyncio.sleep(0.05)


async def test_a_crowd_beyond_the_bound_is_turned_away_and_takes_no_descriptors(
    loop: dict[str, str],
) -> None:
    async with ScriptedUpstream() as up, served(up.url, descriptors=160, **loop) as proxy:
        (warned,) = [each for each in proxy.events if each.get("level") == "warning"]
        most = int(warned["max_connections"])
        assert 8 < most < 60
        assert warned["descriptors"] == 160
        before = proxy.descriptors
        async with streaming(up, proxy), crowd(proxy, TRIES) as clients:
            assert await ready(proxy) == 200
            held, fates = list(clients), list[str]()
            async with asyncio.timeout(10):
                while len(held) > most - 1:
                    became = [(await fate(client), client) for client in held]
                    fates += [each for each, _ in became if each != "held"]
                    held = [client for each, client in became if each == "held"]
            assert len(held) == most - 1
            assert fates.count("told") >= 16
            assert set(fates) <= {"told", "reset"}
            assert proxy.descriptors < 160
        await baseline(proxy, before)
        await answered(up, proxy)


async def test_without_descriptors_who_is_served_stays_served_and_nothing_spins(
    loop: dict[str, str],
) -> None:
    async with ScriptedUpstream() as up, served(up.url, descriptors=40, **loop) as proxy:
        before = proxy.descriptors
        async with streaming(up, proxy), crowd(proxy, TRIES) as clients:
            assert {await fate(client) for client in clients} <= {"held", "told", "reset", "closed"}
            used = proxy.cpu_s
            await asyncio.sleep(1.5)  # long enough for a spin to show
            assert proxy.cpu_s - used < 0.5
        await baseline(proxy, before)
        await answered(up, proxy)
        assert await ready(proxy) == 200
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0
    warned = [each["event"] for each in proxy.events if each.get("level") in {"warning", "error"}]
    assert len(warned) == (2 if loop else 1)  # that few fit in; and with asyncio's loop, once, this
    assert warned[-1].startswith("connections cannot be accepted") == bool(loop)


async def answered(up: ScriptedUpstream, proxy: Served) -> None:
    """Clients are served again, once those that wait to be accepted were found to have gone."""
    up.answer_with(stream)
    async with asyncio.timeout(20):
        while True:
            async with await RawClient.connect(proxy.address) as client:
                with suppress(ConnectionError, EOFError):
                    await client.send(question("another", stream=True))
                    if (await client.response()).status == 200:
                        return
            await asyncio.sleep(0.05)
