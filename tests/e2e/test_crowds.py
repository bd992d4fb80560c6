"""Many at once: one question costs one call, and no answer goes to whom it is not for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import aiohttp
import orjson
import pytest
from support.openai_backend import Fault, OpenAIBackend
from support.proxied import SHORT_GRACE, Proxied, proxied
from support.sdk_caller import Caller, chat, counted

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
    leading = asyncio.ensure_future(caller.ask(chat()))  # noqa: TID251 - awaited below
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
    assert Counter(proxy.verdicts) == {"COALESCED": 999, "MISS": 1}


async def test_a_crowd_outlives_its_first_caller(backend: OpenAIBackend) -> None:
    backend.hold()
    async with (
        proxied(backend.url, downstream=SHORT_GRACE) as proxy,
        Caller(proxy) as caller,
    ):
        first = asyncio.ensure_future(caller.ask(chat()))  # noqa: TID251 - cancelled below
        await backend.was_asked(1)
        asking = asyncio.gather(*(caller.ask(chat()) for _ in range(20)))
        await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 20)
        first.cancel()
        await proxy.counted(lambda: proxy.server.counts.hang_ups == 1)
        backend.release()

        assert {verdict for verdict, _ in await asking} == {"COALESCED"}
        assert len(backend.asked) == 1


# -- the storm ------------------------------------------------------------------------------------

CRAMPED = {
    "flights": {
        "max_flights": 8,
        "max_followers": 3,
        "max_flight_bytes": "2KiB",
        "lag_limit_bytes": "512B",
        "max_orphans": 1,
        "orphan_grace_s": 0.001,
    },
    "l1_memory": {"max_bytes": "20KiB"},
}
STALE = {
    "cache": {"ttl_s": 0.02, "stale_while_revalidate_s": 60, "stale_if_error_s": 60},
    "flights": {"max_refreshes": 4, "orphan_grace_s": 0.001},
}


@pytest.mark.parametrize(
    ("count", "settings"),
    [
        pytest.param(2000, {}, id="as it comes"),
        pytest.param(800, CRAMPED, id="cramped"),
        pytest.param(800, STALE, id="stale"),
    ],
)
async def test_in_a_storm_everybody_is_given_the_answer_to_their_own_question(
    count: int, settings: Json, backend: OpenAIBackend, http: aiohttp.ClientSession
) -> None:
    backend.mischief = Mischief(Random(1), backend)
    async with proxied(backend.url, **settings) as proxy:
        storm = Storm(Random(2), proxy, http)
        await asyncio.gather(*(storm.blow(each) for each in [count // 80] * 80))
        await proxy.landed()
        verdicts = Counter(proxy.verdicts)

    assert storm.seen["whole"] > count / 2
    assert storm.seen["hung up"] > 0
    assert storm.seen["error"] > 0
    assert verdicts["HIT"] + verdicts["STALE"] > 0
    assert verdicts["COALESCED"] > 0
    assert len(backend.asked) < count


class Mischief:
    """Half of all answers take their time; some break off, and after some comes an error."""

    def __init__(self, dice: Random, backend: OpenAIBackend) -> None:
        self._dice = dice
        self._backend = backend

    def __call__(self) -> str:
        thrown = self._dice.random()
        if thrown < 0.05:
            self._backend.faults.append(Fault(500, "So sorry."))
        if thrown > 0.95:
            return "break"
        return "dawdle" if thrown > 0.5 else ""


class Storm:
    """Callers with four credentials and thirty questions, who want answers in every form."""

    def __init__(self, dice: Random, proxy: Proxied, http: aiohttp.ClientSession) -> None:
        self.seen: Counter[str] = Counter()
        self._dice = dice
        self._http = http
        self._url = proxy.url + PATH

    async def blow(self, count: int) -> None:
        for _ in range(count):
            self.seen[await self._ask()] += 1

    async def _ask(self) -> str:
        dice = self._dice
        credential, text = f"sk-{dice.randrange(4)}", f"question {dice.randrange(30)}?"
        form: Json = dice.choice([{}, {"stream": True}, counted({"stream": True})])
        headers = {"Authorization": f"Bearer {credential}"}
        if dice.random() < 0.1:
            headers["Cache-Control"] = dice.choice(["no-cache", "no-store", "max-age=0"])
        patience_s = dice.uniform(0.001, 0.05) if dice.random() < 0.2 else 20
        try:
            async with asyncio.timeout(patience_s):
                async with self._http.post(
                    self._url, json=chat(text) | form, headers=headers
                ) as response:
                    body = await response.read()
        except TimeoutError:
            assert patience_s < 1
            return "hung up"
        except aiohttp.ClientError:
            return "broken"
        if response.status != 200:
            assert response.status in {500, 502}
            return "error"
        said, counts = read(body, response.content_type)
        assert said == f"You asked {text!r} as {credential} (0)."
        assert counts == ("stream" not in form or "stream_options" in form)
        return "whole"


def read(body: bytes, kind: str) -> tuple[str, bool]:
    """What a whole answer says, and whether it tells its token counts."""
    if kind == "application/json":
        document = orjson.loads(body)
        return document["choices"][0]["message"]["content"], bool(document["usage"])
    assert kind == "text/event-stream"
    *events, done, end = body.split(b"\n\n")
    assert (done, end) == (b"data: [DONE]", b"")
    chunks = [orjson.loads(event.removeprefix(b"data: ")) for event in events]
    assert len({chunk["id"] for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    said = "".join(delta.get("content") or "" for delta in deltas)
    return said, bool(chunks[-1].get("usage"))
