"""Many at once: one question costs one call, and no answer goes to whom it is not for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from support.openai_backend import OpenAIBackend
from support.proxied import SHORT_GRACE, Proxied, proxied
from support.sdk_caller import Caller, chat, counted
from support.started import started

Json = dict[str, Any]
PATH = "/v1/chat/completions"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


async def test_two_hundred_calls_for_one_question_cost_one(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    backend.hold()
    asking = asyncio.gather(*(caller.ask(chat()) for _ in range(200)))
    await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 199)
    backend.release()
    told = await asking

    assert len(backend.asked) == 1
    assert Counter(verdict for verdict, _ in told) == {"COALESCED": 199, "MISS": 1}
    first = told[0][1]
    assert all(completion == first for _, completion in told)


async def test_a_hundred_streams_and_those_who_join_late_hear_the_same_live(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    async def begin() -> Any:
        stream = await caller.sdk.chat.completions.create(**chat(), stream=True)
        return stream, await anext(stream)

    async def finish(stream: Any, first: Any) -> list[Any]:
        return [first, *[chunk async for chunk in stream]]

    backend.hold()
    begun = await asyncio.gather(*(begin() for _ in range(50)))
    late = await asyncio.gather(*(begin() for _ in range(50)))
    assert proxy.flights.counts.joined_after_head >= 50
    assert not proxy.flights.counts.landed  # all of them have heard the beginning of it, live
    backend.release()
    heard = await asyncio.gather(*(finish(*each) for each in (*begun, *late)))

    assert len(backend.asked) == 1
    assert len(heard[0]) > 5
    assert all(chunks == heard[0] for chunks in heard)


async def test_one_call_serves_all_forms_of_an_answer_at_once(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    backend.hold()
    create = caller.sdk.chat.completions.create
    leading = await create(**counted(chat()), stream=True)
    first = await anext(leading)
    asking = asyncio.gather(
        *(caller.ask(chat()) for _ in range(5)),
        *(caller.hear(chat()) for _ in range(5)),
        *(caller.hear(counted(chat())) for _ in range(5)),
    )
    await proxy.counted(lambda: proxy.flights.counts.joined_after_head == 15)
    backend.release()
    chunks = [first, *[chunk async for chunk in leading]]
    told: list[tuple[str, Any]] = await asking

    assert {verdict for verdict, _ in told} == {"COALESCED"}
    assert len(backend.asked) == 1
    documents, streams, with_counts = ([what for _, what in told[at : at + 5]] for at in (0, 5, 10))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert [each.choices[0].message.content for each in documents] == [said] * 5
    assert [each.usage for each in documents] == [chunks[-1].usage] * 5
    assert streams == [chunks[:-1]] * 5
    assert with_counts == [chunks] * 5


async def test_those_who_want_a_stream_hear_a_document_that_is_coming_as_one(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    backend.hold()
    leading = started(caller.ask(chat()))
    await backend.was_asked(1)
    asking = asyncio.gather(*(caller.hear(counted(chat())) for _ in range(5)))
    await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 5)
    backend.release()
    _, document = await leading

    for verdict, chunks in await asking:
        assert verdict == "COALESCED"
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
        assert said == document.choices[0].message.content
        assert chunks[-1].usage == document.usage
    assert len(backend.asked) == 1


async def test_a_thousand_identical_requests_cost_one_call(
    backend: OpenAIBackend, proxy: Proxied, http: aiohttp.ClientSession
) -> None:
    async def ask() -> tuple[int, bytes]:
        async with http.post(proxy.url + PATH, json=chat()) as response:
            return response.status, await response.read()

    backend.hold()
    asking = asyncio.gather(*(ask() for _ in range(1000)))
    await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 999)
    backend.release()
    told = await asking

    assert len(backend.asked) == 1
    assert set(told) == {told[0]}
    assert told[0][0] == 200
    await proxy.counted(lambda: len(proxy.verdicts) == 1000)  # who is told is woken afterwards
    assert Counter(proxy.verdicts) == {"COALESCED": 999, "MISS": 1}


async def test_a_crowd_outlives_its_first_caller(backend: OpenAIBackend) -> None:
    backend.hold()
    async with (
        proxied(backend.url, downstream=SHORT_GRACE) as proxy,
        Caller(proxy) as caller,
    ):
        first = started(caller.ask(chat()))
        await backend.was_asked(1)
        asking = asyncio.gather(*(caller.ask(chat()) for _ in range(20)))
        await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 20)
        first.cancel()
        await proxy.counted(lambda: proxy.server.counts.hang_ups == 1)
        backend.release()

        assert {verdict for verdict, _ in await asking} == {"COALESCED"}
        assert len(backend.asked) == 1
