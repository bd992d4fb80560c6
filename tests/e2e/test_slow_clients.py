"""Clients that take their time are cut off within their deadlines, and leave nothing behind."""

from __future__ import annotations

import asyncio
import resource
import ssl as tls
import sys
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from support.raw_chat import DOCUMENT, JSON, STREAM, begin, question
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream
from support.served import Served, served

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

PEM = Path(__file__).parents[1] / "support" / "tls"
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n"
BODY = HEAD + b"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{"
DEADLINE_S = 1.0
LATE_S = 5.0  # a busy machine
DEADLINES = {
    "SIDECACHE_DOWNSTREAM__LIMITS__HEADER_DEADLINE_S": str(DEADLINE_S),
    "SIDECACHE_DOWNSTREAM__LIMITS__BODY_DEADLINE_S": str(DEADLINE_S),
}

QUIET = {"SIDECACHE_LOG__REQUESTS": "false"}


async def drip(client: RawClient) -> float:
    """Send byte by byte until that ends; how long it took."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        try:
            await client.send(b"x")
            async with asyncio.timeout(0.1):
                if await client.receive() == b"":
                    break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - began


async def say_nothing(client: RawClient) -> float:
    """Wait for the end; how long it took."""
    began = time.monotonic()
    with suppress(ConnectionError):
        await client.rest()
    return time.monotonic() - began


async def closed_all(proxy: Served, before: int) -> None:
    async with asyncio.timeout(20):
        while proxy.descriptors > before:  # noqa: ASYNC110 - another process closes them
            await asyncio.sleep(0.05)


async def test_endless_heads_and_dripping_bodies_are_all_cut_off_while_others_are_served() -> None:
    async def answer(call: Call) -> None:
        await call.reply(200, JSON, DOCUMENT)

    async with ScriptedUpstream() as up, served(up.url, **DEADLINES) as proxy:
        up.answer_with(answer)
        async with AsyncExitStack() as stack:
            async with await RawClient.connect(proxy.address) as client:
                await client.send(question())
                assert (await client.response()).get("X-Cache") == "MISS"
            before = proxy.descriptors
            slow: list[Awaitable[float]] = []
            for begins, number in ((HEAD, 150), (BODY, 50)):
                for _ in range(number):
                    client = await RawClient.connect(proxy.address, limit_s=30)
                    stack.push_async_exit(client)
                    await client.send(begins)
                    slow.append(drip(client) if number == 50 else say_nothing(client))
            cutting = asyncio.gather(*slow)
            async with await RawClient.connect(proxy.address) as client:
                for _ in range(50):
                    await client.send(question())
                    assert (await client.response()).get("X-Cache") == "HIT"
            lasted = await cutting
            assert max(lasted) < DEADLINE_S + LATE_S
        await closed_all(proxy, before)


async def test_handshakes_that_never_end_are_cut_off() -> None:
    files = {"SIDECACHE_TLS__CERT_FILE": "server.pem", "SIDECACHE_TLS__KEY_FILE": "server.key"}
    secure = {name: str(PEM / file) for name, file in files.items()}
    async with ScriptedUpstream() as up, served(up.url, **secure, **DEADLINES) as proxy:
        host, _, port = proxy.url.partition("://")[2].rpartition(":")
        before = proxy.descriptors
        async with AsyncExitStack() as stack:
            silent = [
                await stack.enter_async_context(
                    await RawClient.connect((host, int(port)), limit_s=30)
                )
                for _ in range(50)
            ]
            lasted = await asyncio.gather(*(say_nothing(client) for client in silent))
            assert max(lasted) < DEADLINE_S + LATE_S
        await closed_all(proxy, before)
        theirs = tls.create_default_context(cafile=str(PEM / "authority.pem"))
        theirs.check_hostname = False
        async with asyncio.timeout(10):
            _, writer = await asyncio.open_connection(host, int(port), ssl=theirs)
            writer.close()
            await writer.wait_closed()


@pytest.mark.heavy
@pytest.mark.parametrize(("alike", "most_kb"), [(False, 60), (True, 30)])
async def test_a_thousand_idle_streams_take_little_memory(alike: bool, most_kb: int) -> None:
    number = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * number:
        pytest.skip("needs more file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def answer(call: Call) -> None:
        await begin(call, STREAM[:1])

    try:
        async with ScriptedUpstream(limit_s=60) as up, served(up.url, **QUIET) as proxy:
            up.answer_with(answer)
            async with AsyncExitStack() as stack:

                async def idle(text: str) -> None:
                    client = await RawClient.connect(proxy.address, limit_s=60)
                    stack.push_async_exit(client)
                    await client.send(question(text, stream=True))
                    await client.until(STREAM[0])

                for count in range(20):  # what is loaded late
                    await idle(f"warm {0 if alike else count}")
                before = proxy.forget_peak()
                for count in range(number):
                    await idle("warm 0" if alike else f"{count}")
                took = proxy.forget_peak() - before
            assert took / number < most_kb * 1000
            assert up.calls == (1 if alike else number + 20)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
