"""``GET /profile``: one at a time, in three forms, and what it says when it cannot look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from proxy.admin.api import Admin
from proxy.admin.gate import Gate
from proxy.admin.profile import Profiles
from proxy.profiling.sampling import CannotSample, NotInstalled

RAW = "thread (1): MainThread;run (uvloop/__init__.py) 3\n"
Get = Callable[..., Awaitable[tuple[int, str, str]]]


@asynccontextmanager
async def profiling(sample: Callable[[float, int], Awaitable[str]]) -> AsyncIterator[Get]:
    gate = Gate(None, (), clock=lambda: 0.0)
    admin = Admin(lambda: True, gate, endpoints=[Profiles(sample, "it").endpoint])
    _, port = await admin.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:

            async def get(query: str = "") -> tuple[int, str, str]:
                async with session.get(f"http://127.0.0.1:{port}/profile?{query}") as reply:
                    return reply.status, reply.content_type, await reply.text()

            yield get
    finally:
        await admin.close()


async def seen(_seconds: float, _hz: int) -> str:
    return RAW


@pytest.mark.parametrize(
    ("query", "kind", "told"),
    [
        ("", "image/svg+xml", "What it does"),
        ("format=folded", "text/plain", "MainThread;run (uvloop/__init__.py) 3\n"),
        ("format=json&seconds=1&hz=3", "application/json", '"weights":[1.0]'),
    ],
)
async def test_it_comes_in_three_forms(query: str, kind: str, told: str) -> None:
    async with profiling(seen) as get:
        status, content_type, text = await get(query)
    assert (status, content_type) == (200, kind)
    assert told in text


@pytest.mark.parametrize("query", ["seconds=61", "seconds=0", "hz=0", "hz=501", "format=pdf"])
async def test_what_cannot_be_wished_for_is_refused(query: str) -> None:
    async with profiling(seen) as get:
        assert (await get(query))[0] == 400


async def test_two_do_not_look_at_once() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_seconds: float, _hz: int) -> str:
        begun.set()
        await go_on.wait()
        return RAW

    async with profiling(slow) as get, asyncio.TaskGroup() as group:
        first = group.create_task(get())
        await begun.wait()
        assert (await get())[0] == 409
        go_on.set()
        assert (await first)[0] == 200
        assert (await get())[0] == 200


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [(NotInstalled(), 501, "sidecache[profile]"), (CannotSample("no way"), 503, "no way")],
)
async def test_why_it_cannot_look_is_told(fault: Exception, status: int, told: str) -> None:
    async def fail(_seconds: float, _hz: int) -> str:
        raise fault

    async with profiling(fail) as get:
        answer = await get()
    assert answer[0] == status
    assert told in answer[2]
