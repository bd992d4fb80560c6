"""A load as caches meet it: few questions are asked often, many seldom (Zipf)."""

from __future__ import annotations

import asyncio
from bisect import bisect
from itertools import accumulate
from random import Random
from typing import Self

import aiohttp
from aiohttp import web


class ZipfBackend:
    """A chat backend that answers at once; how long an answer is depends on its question."""

    def __init__(self, longest: int = 4000) -> None:
        self.calls = 0
        self.url = ""
        self._longest = longest
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.calls += 1
        asked = await request.json()
        number = int(asked["messages"][0]["content"].rpartition(" ")[2])
        text = "x" * (number * 7919 % self._longest)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }
        usage = {"prompt_tokens": 10, "completion_tokens": len(text) // 4, "total_tokens": 10}
        document = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
        return web.json_response(document | {"choices": [choice], "usage": usage})


def questions(count: int, of: int, *, skew: float = 0.9, seed: int = 1) -> list[int]:
    """``count`` numbers below ``of``, the lower the more often."""
    sums = list(accumulate(1 / (number + 1) ** skew for number in range(of)))
    dice = Random(seed)
    return [bisect(sums, dice.random() * sums[-1]) for _ in range(count)]


async def ask_all(
    url: str, numbers: list[int], *, at_once: int = 8, per_second: float | None = None
) -> None:
    """Ask each of ``numbers`` in turn, a few at a time; so many a second, or as fast as may be."""
    loop = asyncio.get_running_loop()
    began, left = loop.time(), iter(enumerate(numbers))
    async with aiohttp.ClientSession() as session:

        async def go_on() -> None:
            for place, number in left:
                if per_second is not None:
                    await asyncio.sleep(began + place / per_second - loop.time())
                said = {"role": "user", "content": f"What is the meaning of {number}"}
                body = {"model": "m", "messages": [said]}
                async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
                    assert reply.status == 200
                    await reply.read()

        await asyncio.gather(*(go_on() for _ in range(at_once)))
