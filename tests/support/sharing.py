"""Proxies as processes of their own that share what they keep, and the backend behind them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from support.raw_chat import DOCUMENT, JSON, question
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream
from support.served import Served, served

SECRET = {"SIDECACHE_CACHE__SCOPE__SECRET": "the same for all replicas"}


def on_disk(folder: Path) -> dict[str, str]:
    """Settings of a proxy that keeps answers in this folder."""
    return {
        "SIDECACHE_L2_DISK__ENABLED": "true",
        "SIDECACHE_L2_DISK__DIRECTORY": str(folder / "kept"),
        "SIDECACHE_L2_DISK__READ_TIMEOUT_S": "5",  # however busy this machine is
    }


def in_redis(url: str | int) -> dict[str, str]:
    """The same of one that shares them in Redis, which has time, however busy this machine is."""
    return SECRET | {
        "SIDECACHE_L2_REDIS__URL": url if isinstance(url, str) else f"redis://127.0.0.1:{url}",
        "SIDECACHE_L2_REDIS__TIMEOUT_S": "1",
        "SIDECACHE_L2_REDIS__CONNECT_TIMEOUT_S": "5",
    }


class Replica:
    """A proxy, by the process it is."""

    def __init__(self, process: Served) -> None:
        self.process = process
        self.admin = process.admin

    async def ask(self, text: str, *, stored: bool = False) -> str:
        """What X-Cache says of the answer; with ``stored``, nobody but the cache is asked."""
        wish = "Cache-Control: only-if-cached\r\n" if stored else ""
        async with await RawClient.connect(self.process.address, limit_s=20) as client:
            await client.send(question(text, headers=wish))
            return (await client.response()).get("X-Cache") or ""


@asynccontextmanager
async def replica(up: ScriptedUpstream, settings: dict[str, str]) -> AsyncIterator[Replica]:
    """A proxy that is killed when the block ends, if it has not ended."""
    async with served(up.url, SIDECACHE_LOG__REQUESTS="false", **settings) as process:
        yield Replica(process)


@asynccontextmanager
async def tagging() -> AsyncIterator[ScriptedUpstream]:
    """A backend that never says the same twice; its answers are tagged with the question."""
    number = itertools.count()

    async def answer(call: Call) -> None:
        text = orjson.loads(call.body)["messages"][-1]["content"]
        said = DOCUMENT.replace(b"Because.", b"Because of %d." % next(number))
        await call.reply(200, [*JSON, ("Cache-Tag", text)], said)

    async with ScriptedUpstream(limit_s=20) as up:
        up.answer_with(answer)
        yield up
