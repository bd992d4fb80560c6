"""What a purge frees is the system's again, and settings of several workers share the machine."""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp
import pytest
from support.raw_chat import JSON, question
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream
from support.served import Served, served

from proxy.host.heap import trimmer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

ANSWERS, ANSWER_BYTES = 1_600, 60_000  # below the size from which an allocator maps each by itself
MB = 10**6


async def fill(proxy: Served) -> None:
    """Have so many answers stored."""

    async def some(first: int) -> None:
        async with await RawClient.connect(proxy.address, limit_s=60) as client:
            for number in range(first, ANSWERS, 8):
                await client.send(question(f"question {number}"))
                assert (await client.response()).status == 200

    await asyncio.gather(*(some(first) for first in range(8)))


@pytest.mark.heavy
@pytest.mark.skipif(trimmer() is None, reason="needs glibc")
async def test_what_a_purge_frees_is_given_back() -> None:
    said = "x" * ANSWER_BYTES
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": said},
        "finish_reason": "stop",
    }
    document = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    body = json.dumps(document | {"choices": [choice]}).encode()

    async def answer(call: Call) -> None:
        await call.reply(200, JSON, body)

    quiet = {"SIDECACHE_LOG__REQUESTS": "false"}
    async with ScriptedUpstream(limit_s=60) as up, served(up.url, **quiet) as proxy:
        up.answer_with(answer)
        async with await RawClient.connect(proxy.address) as client:
            await client.send(question("first"))
            await client.response()
        before = proxy.forget_peak()
        await fill(proxy)
        full = proxy.forget_peak()
        assert full - before > ANSWERS * ANSWER_BYTES
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{proxy.admin}/purge", json={"kind": "all"}) as reply:
                assert reply.status == 200, await reply.text()
            async with asyncio.timeout(20):
                while proxy.forget_peak() - before > 30 * MB:  # noqa: ASYNC110 - another process's
                    await asyncio.sleep(0.2)
            async with http.get(f"{proxy.admin}/metrics") as reply:
                trims = [
                    line for line in (await reply.text()).splitlines() if "trims_total " in line
                ]
    assert float(trims[-1].split()[1]) >= 2  # in slices
