"""Restarting replicas one after the other, behind a load balancer, while clients go on asking."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from random import Random

import aiohttp
import orjson
import pytest
from aiohttp import web
from support.balancer import Balancer, Target
from support.served import Served, served

CLIENTS = 64
RESTARTS = 20
SETTINGS = {
    "SIDECACHE_DOWNSTREAM__DRAIN_DELAY_S": "1",
    "SIDECACHE_LOG__REQUESTS": "false",  # nobody reads them as they come
}


class Backend:
    """A backend that takes its time, and answers with what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        application = web.Application()
        application.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        host, port = self._runner.addresses[0]
        self.url = f"http://{host}:{port}"

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        text = asked["messages"][0]["content"]
        if not asked.get("stream"):
            await asyncio.sleep(0.4)
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
            return web.json_response({**_ABOUT, "object": "chat.completion", "choices": [choice]})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in [*text.split(" "), None]:
            await asyncio.sleep(0.12)
            await response.write(_event(word))
        await response.write(b"data: [DONE]\n\n")
        return response


_ABOUT = {"id": "c1", "created": 1, "model": "m"}


def _event(word: str | None) -> bytes:
    delta = {} if word is None else {"content": f"{word} "}
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if word is None else None}
    about = {**_ABOUT, "object": "chat.completion.chunk", "choices": [choice]}
    return b"data: %b\n\n" % orjson.dumps(about)


@dataclass
class Clients:
    """Who asks on and on, each on a connection that it keeps, and looks at each reply."""

    url: str
    numbers: count[int] = field(default_factory=count)
    over: bool = False
    whole: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    async def go_on(self, number: int) -> None:
        dice, kind = Random(number), "stream" if number % 3 == 0 else "json"
        async with aiohttp.ClientSession() as http:
            while not self.over:
                try:
                    await self._ask(http, kind, dice)
                except (aiohttp.ClientError, OSError, ValueError, LookupError) as error:
                    self.faults.append(f"{kind}: {type(error).__name__}: {error}")

    async def _ask(self, http: aiohttp.ClientSession, kind: str, dice: Random) -> None:
        number = dice.randrange(10) if dice.random() < 0.1 else next(self.numbers)
        text = f"{kind} {number} " + "and so on " * 3 + "to the end"
        asked = {"model": "m", "messages": [{"role": "user", "content": text}]}
        asked |= {"stream": True} if kind == "stream" else {}
        async with http.post(f"{self.url}/v1/chat/completions", json=asked) as reply:
            body = await reply.read()
        if reply.status != 200:
            self.faults.append(f"{kind}: {reply.status} {body[:200]!r}")
        elif _told(kind, body) != text:
            self.faults.append(f"{kind}: it ended cleanly after {body[-200:]!r}")
        else:
            self.whole[kind] += 1
            self.verdicts[reply.headers["X-Cache"]] += 1


def _told(kind: str, body: bytes) -> str:
    if kind == "json":
        return str(orjson.loads(body)["choices"][0]["message"]["content"])
    events = body.removesuffix(b"\n\n").split(b"\n\n")
    if events[-1] != b"data: [DONE]":
        return "cut short"
    deltas = (orjson.loads(event[6:])["choices"][0]["delta"] for event in events[:-1])
    return "".join(delta.get("content", "") for delta in deltas).strip()


@dataclass
class Replica:
    """A process of the proxy, and what the balancer knows of it."""

    process: Served
    target: Target
    held: AsyncExitStack

    @classmethod
    async def start(cls, upstream: str, balancer: Balancer) -> Replica:
        held = AsyncExitStack()
        process = await held.enter_async_context(served(upstream, **SETTINGS))
        target = Target(process.address, process.admin)
        balancer.targets.append(target)
        await balancer.until_ready(target)
        return cls(process, target, held)

    async def stop(self, balancer: Balancer) -> None:
        self.process.signal(signal.SIGTERM)
        status = await self.process.ended()
        balancer.targets.remove(self.target)
        await self.held.aclose()
        assert status == 0
        assert self.process.events[-1]["event"] == "stopped"


@pytest.mark.heavy
@pytest.mark.timeout(600)  # several at once share few cores
async def test_twenty_rolling_restarts_fail_no_request_and_cut_no_stream() -> None:
    backend = Backend()
    await backend.start()
    async with Balancer() as balancer:
        clients = Clients(balancer.url)
        replicas = [await Replica.start(backend.url, balancer) for _ in range(2)]
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(clients.go_on(number))
            try:
                for _ in range(RESTARTS):
                    # The next one is started while the last one is still ending.
                    replicas.append(await Replica.start(backend.url, balancer))
                    old = replicas.pop(0)
                    group.create_task(old.stop(balancer))
            finally:
                clients.over = True
        for replica in replicas:
            await replica.stop(balancer)
    await backend.close()

    assert clients.faults == []
    assert balancer.unserved == 0
    assert min(clients.whole.values()) > 300
