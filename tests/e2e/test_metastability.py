"""A backend asked for twice what it bears, from an empty cache: it works on, and recovers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from support.proxied import Proxied, proxied
from support.raw_chat import DOCUMENT, PATH
from support.started import started

Json = dict[str, Any]
BEARS = 6  # calls at once
TAKES_S = 0.4
BEARS_PER_S = BEARS / TAKES_S


class Strained:
    """A backend with so many places, whose calls take longer the more there are than those.

    ``done`` is the work it has done, in seconds of one place. It is counted as it is done, so that
    a busy machine, which makes every call take longer, does not count against it.
    """

    def __init__(self) -> None:
        self.now = self.most = 0
        self.url = ""
        self._places = asyncio.Semaphore(BEARS)
        self._pace = self._done = self._since = 0.0

    @property
    def done(self) -> float:
        now = asyncio.get_running_loop().time()
        self._done += self._pace * (now - self._since)
        self._since = now
        return self._done

    async def _answer(self, request: web.Request) -> web.Response:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await request.read()
            async with self._places:
                # What waits takes of what it has to work with, as a full KV cache does.
                pace = min(1.0, BEARS / self.now)
                with self._working(pace):
                    await asyncio.sleep(TAKES_S / pace)
            return web.Response(body=DOCUMENT, content_type="application/json")
        finally:
            self.now -= 1

    @contextmanager
    def _working(self, pace: float) -> Iterator[None]:
        _ = self.done
        self._pace += pace
        yield
        _ = self.done
        self._pace -= pace

    async def serve(self) -> AsyncIterator[Strained]:
        application = web.Application()
        application.router.add_post(PATH, self._answer)
        runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site.port}"
        yield self
        await runner.cleanup()


@pytest.fixture
async def strained() -> AsyncIterator[Strained]:
    async for backend in Strained().serve():
        yield backend


class Load:
    """Questions that nobody has asked before, so many a second, whatever becomes of the others."""

    def __init__(self, proxy: Proxied, http: aiohttp.ClientSession) -> None:
        self._url = proxy.url + PATH
        self._http = http
        self._asked = 0
        self._asking: list[asyncio.Task[None]] = []
        self.statuses: Counter[int] = Counter()
        self.took_s: list[float] = []

    async def blow(self, per_s: float, seconds: float, scopes: int = 1) -> None:
        """Ask for so long."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(int(per_s * seconds)):
            await asyncio.sleep(max(0.0, began + number / per_s - loop.time()))
            self._asking.append(started(self._ask(f"sk-{number % scopes}")))

    async def over(self) -> Load:
        """Wait until all is answered."""
        await asyncio.gather(*self._asking)
        return self

    async def _ask(self, credential: str) -> None:
        self._asked += 1
        content = f"question {self._asked}"
        body = {"model": "m", "messages": [{"role": "user", "content": content}]}
        head = {"Content-Type": "application/json", "Authorization": f"Bearer {credential}"}
        loop = asyncio.get_running_loop()
        began = loop.time()
        asked = self._http.post(self._url, data=orjson.dumps(body), headers=head)
        async with asked as reply:
            await reply.read()
        self.statuses[reply.status] += 1
        if reply.status == 200:
            self.took_s.append(loop.time() - began)


async def _strain(strained: Strained, overload: Json, seconds: float) -> tuple[float, Load, Load]:
    """The share of what it bears that was done under twice that; what came, then and after."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        proxied(strained.url, overload=overload) as proxy,
    ):
        storm, calm = Load(proxy, http), Load(proxy, http)
        await storm.blow(2 * BEARS_PER_S, 0.6, scopes=3)  # until the first have been answered
        loop = asyncio.get_running_loop()
        began, before = loop.time(), strained.done
        await storm.blow(2 * BEARS_PER_S, seconds, scopes=3)
        done = (strained.done - before) / (loop.time() - began) / BEARS
        await storm.over()
        await calm.blow(BEARS_PER_S / 2, 1.5)
        return done, storm, await calm.over()


async def test_twice_what_the_backend_bears_is_half_turned_away_and_leaves_no_trace(
    strained: Strained,
) -> None:
    done, storm, calm = await _strain(strained, {"max_calls": BEARS, "queue_s": 0.5}, 2.4)
    assert strained.most <= BEARS
    assert done >= 0.9
    assert storm.statuses.keys() <= {200, 429, 503}
    assert storm.statuses[503] + storm.statuses[429] >= 0.3 * storm.statuses.total()
    assert max(storm.took_s) <= 0.5 + 2 * TAKES_S
    assert calm.statuses.keys() == {200}
    assert sorted(calm.took_s)[int(0.99 * len(calm.took_s))] <= 2 * TAKES_S


@pytest.mark.heavy
async def test_without_a_bound_that_fits_the_same_backend_does_far_less(strained: Strained) -> None:
    done, _, _ = await _strain(strained, {"max_calls": 10 * BEARS}, 5.0)
    assert strained.most > BEARS
    assert done < 0.7


@pytest.mark.heavy
async def test_what_the_backend_bears_is_found_out(strained: Strained) -> None:
    overload = {"max_calls": 10 * BEARS, "adaptive": True, "min_calls": 3, "queue_s": 0.5}
    done, _, calm = await _strain(strained, overload, 20.0)
    assert strained.most <= 4 * BEARS  # while it learns
    assert done >= 0.7
    assert calm.statuses.keys() == {200}
