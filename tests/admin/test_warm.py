"""Asking ahead: bounded in time, in bytes and in number, and never a failure of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from support.cranked import Clock
from support.serving import OUTCOME, reply_with

from proxy.admin.api import Admin
from proxy.admin.gate import Gate
from proxy.admin.warm import Warm
from proxy.model.errors import RequestError
from proxy.model.message import Request
from proxy.model.outcome import Outcome, Record, Reply
from proxy.model.pieces import Coming

Json = dict[str, Any]


class Scene:
    def __init__(self, url: str, warm: Warm, records: list[Record]) -> None:
        self._url = url
        self.warm = warm
        self.records = records

    async def post(self, *paths: str, **more: Any) -> list[Json]:
        asked = {"requests": [{"path": path} for path in paths], **more}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
            session.post(f"{self._url}/warm", json=asked) as reply,
        ):
            assert reply.status == 200, await reply.text()
            return list((await reply.json())["results"])


class Attending:
    """Answers requests, and knows how many are with it."""

    def __init__(self, answer: Callable[[Request], Awaitable[Reply]]) -> None:
        self.answer = answer
        self.under_way = 0


@asynccontextmanager
async def scene(
    answer: Callable[[Request], Awaitable[Reply]], clock: Clock | None = None, **limits: Any
) -> AsyncIterator[Scene]:
    records: list[Record] = []
    attending = Attending(answer)
    warm = Warm(lambda: attending, records.append, clock or Clock(), **limits)
    admin = Admin(lambda: True, Gate(None, [], clock=Clock()), endpoints=[warm.endpoint])
    host, port = await admin.start("127.0.0.1", 0)
    try:
        yield Scene(f"http://{host}:{port}", warm, records)
    finally:
        await admin.close()
        assert attending.under_way == 0


async def test_no_more_are_asked_at_a_time_than_was_said() -> None:
    under_way, most, gate = 0, 0, asyncio.Event()

    async def answer(_request: Request) -> Reply:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 3:
            gate.set()
        await gate.wait()
        under_way -= 1
        return reply_with()

    async with scene(answer) as s:
        told = await s.post(*(f"/{n}" for n in range(9)), concurrency=3)

    assert most == 3
    assert [each["status"] for each in told] == [200] * 9
    assert sorted(record.request.path for record in s.records) == [f"/{n}" for n in range(9)]
    assert s.warm.sent == 9


async def test_what_takes_too_long_is_given_up_and_its_body_let_go() -> None:
    closed: list[str] = []

    async def never() -> AsyncIterator[bytes]:
        yield b"some"
        await asyncio.Event().wait()

    async def answer(request: Request) -> Reply:
        if request.path == "/silent":
            await asyncio.Event().wait()
        return reply_with(Coming(never(), lambda: closed.append(request.path)))

    async with scene(answer, each_s=0.5) as s:
        body, silent = await s.post("/slow", "/silent", concurrency=2)

    assert (body["status"], body["error"]) == (200, "timeout")
    assert (silent["status"], silent["error"]) == (None, "timeout")
    assert set(closed) == {"/slow"}
    told = {each.request.path: each.delivery for each in s.records}
    assert (told["/slow"].status, told["/slow"].sent, told["/slow"].complete) == (200, 4, False)
    assert (told["/silent"].status, told["/silent"].complete) == (499, False)


async def test_of_a_long_answer_only_so_much_is_heard() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100

    async def answer(_request: Request) -> Reply:
        return reply_with(Coming(endless(), lambda: None))

    async with scene(answer, most_bytes=1000) as s:
        (told,) = await s.post("/long")

    assert told["error"] == "too-long"
    assert s.records[0].delivery.sent == 1100


async def test_once_all_of_it_takes_too_long_no_more_is_begun() -> None:
    clock = Clock()

    async def answer(_request: Request) -> Reply:
        clock.turn(6.0)
        return reply_with()

    async with scene(answer, clock, all_s=10.0) as s:
        told = await s.post("/1", "/2", "/3", concurrency=1)

    assert [each["error"] for each in told] == [None, None, "timeout"]
    assert len(s.records) == 2


@pytest.mark.parametrize("error", [RequestError(400, "no"), KeyError("a bug")])
async def test_what_fails_is_told_and_recorded_and_the_rest_goes_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: Request) -> Reply:
        if request.path == "/bad":
            raise error
        return reply_with()

    async with scene(answer) as s:
        bad, good = await s.post("/bad", "/good")

    assert (bad["status"], bad["error"]) == (None, type(error).__name__)
    assert good["status"] == 200
    assert {record.delivery.status for record in s.records} == {500, 200}
    assert bool(caplog.records) == isinstance(error, KeyError)


async def test_what_is_only_known_in_the_end_is_told() -> None:
    def final(outcome: Outcome) -> Outcome:
        return outcome._replace(stored=True, detail="stream")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"all"

    async def answer(_request: Request) -> Reply:
        return reply_with(pieces())._replace(final=final)

    async with scene(answer) as s:
        (told,) = await s.post("/")

    assert (told["stored"], told["detail"], told["outcome"]) == (True, "stream", "miss")
    assert s.records[0].outcome == final(OUTCOME)
