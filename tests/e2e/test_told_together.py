"""Who waits for an answer that others wait for: told before being woken, and no worse for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.raw_chat import COUNTED, DOCUMENT, JSON, STREAM, Listener, begin, question, stream
from support.raw_client import RawClient, RawResponse
from support.scene import Scene, scene
from support.scripted import Call
from support.started import started

from proxy.model.outcome import Record, Verdict

CLOSE = "Connection: close\r\n"  # who says this is woken to be answered


async def crowd(s: Scene, *asked: dict[str, Any]) -> tuple[RawClient, Call, list[RawClient]]:
    """Who asks first, what the backend is asked, and all others, who wait with him."""
    joined = s.proxy.flights.counts.joined_before_head
    leader = await s.ask(**asked[0])
    call = await s.up.next_call()
    followers = []
    for number, each in enumerate(asked, 1):
        followers.append(await s.ask(**each))
        here = joined + number
        await s.proxy.counted(lambda: s.proxy.flights.counts.joined_before_head == here)  # noqa: B023 - awaited here
    return leader, call, followers


async def answer(call: Call, *, streamed: bool) -> None:
    if streamed:
        await stream(call)
    else:
        await call.reply(200, [*JSON, ("X-Request-Id", "r1"), ("X-Other", "o")], DOCUMENT)


def fields(response: RawResponse) -> list[tuple[str, str]]:
    """Those that do not differ from one to the next."""
    apart = {"connection", "server-timing", "date"}
    return [(name, value) for name, value in response.headers if name.lower() not in apart]


async def records(s: Scene, number: int) -> list[Record]:
    await s.proxy.counted(lambda: len(s.proxy.records) == number)
    return s.proxy.records


@pytest.mark.parametrize("streamed", [False, True])
async def test_it_is_told_what_is_told_to_who_is_woken(streamed: bool) -> None:
    async with scene() as s:
        alike, woken = {"stream": streamed}, {"stream": streamed, "headers": CLOSE}
        _, call, clients = await crowd(s, alike, woken, alike)
        answering = asyncio.gather(
            answer(call, streamed=streamed), *[client.response() for client in clients]
        )
        first, other, last = (await answering)[1:]
        assert other.get("Connection") == "close"
        assert first.get("Connection") is last.get("Connection") is None
        assert fields(first) == fields(other) == fields(last)
        assert first.get("X-Cache") == "COALESCED"
        assert first.get("X-Request-Id") is None
        assert ("stored" in (first.get("Cache-Status") or "")) is not streamed
        assert first.chunks == last.chunks
        assert {first.body, other.body, last.body} == {b"".join(STREAM) if streamed else DOCUMENT}


@pytest.mark.parametrize("streamed", [False, True])
async def test_another_request_may_follow_on_the_connection(streamed: bool) -> None:
    async with scene() as s:
        leader, call, clients = await crowd(s, *[{"stream": streamed}] * 3)
        await asyncio.gather(
            answer(call, streamed=streamed),
            *[client.response() for client in (leader, *clients)],
        )
        for client in clients:
            await client.send(question(stream=streamed))
            again = await client.response()
            assert again.get("X-Cache") == "HIT"
            assert again.body == (b"".join(STREAM) if streamed else DOCUMENT)


@pytest.mark.parametrize("streamed", [False, True])
async def test_each_has_a_record_and_times_of_his_own(streamed: bool) -> None:
    async with scene() as s:
        leader, call, clients = await crowd(s, *[{"stream": streamed}] * 4)
        heard = (
            await asyncio.gather(
                answer(call, streamed=streamed),
                *[client.response() for client in (leader, *clients)],
            )
        )[1:]
        made = await records(s, 5)
        assert sorted(record.outcome.verdict for record in made) == [
            *[Verdict.COALESCED] * 4, Verdict.MISS,
        ]  # fmt: skip
        size = len(b"".join(STREAM)) if streamed else len(DOCUMENT)
        told = {response.get("Server-Timing") for response in heard}
        for record in made:
            outcome, delivery = record.outcome, record.delivery
            assert outcome.laps is not None
            assert outcome.upstream_s is not None
            assert (delivery.status, delivery.sent, delivery.complete) == (200, size, True)
            assert delivery.duration_s >= outcome.upstream_s
            upstream = f"upstream;dur={outcome.upstream_s * 1e3:.3f}"
            assert any(upstream in (each or "") for each in told)
            assert outcome.stored
        assert len({id(record.outcome.laps) for record in made}) == 5
        assert len(told) == 5


async def test_each_hears_why_it_was_a_miss_to_him() -> None:
    async with scene() as s:
        asking = started(s.whole())
        await (await s.up.next_call()).reply(200, JSON, DOCUMENT)
        await asking
        reasons = ["no-cache", "max-age=0", "no-cache", "max-age=0"]
        leader, call, clients = await crowd(
            s, *[{"headers": f"Cache-Control: {reason}\r\n"} for reason in reasons]
        )
        _, *heard = await asyncio.gather(
            call.reply(200, JSON, DOCUMENT),
            *[client.response() for client in (leader, *clients)],
        )
        told = [each.get("X-Cache-Reason") for each in heard]
        assert told == ["no-cache", "no-cache", "max-age", "no-cache", "max-age"]
        assert {each.body for each in heard} == {DOCUMENT}


async def test_each_hears_it_in_the_form_he_asked_for() -> None:
    async with scene() as s:
        counted = {"stream": True, "stream_options": {"include_usage": True}}
        leader, call, clients = await crowd(s, counted, counted, {"stream": True}, {})
        _, first, *others = await asyncio.gather(
            stream(call, COUNTED), *[client.response() for client in (leader, *clients)]
        )
        alike, again, without, document = others
        assert {each.get("X-Cache") for each in others} == {"COALESCED"}
        assert first.body == alike.body == again.body == b"".join(COUNTED)
        assert without.body == b"".join(STREAM)
        assert b'"Because."' in document.body


async def test_what_comes_with_the_head_is_told_with_it_and_the_rest_as_it_comes() -> None:
    async with scene() as s:
        leader, call, clients = await crowd(s, *[{"stream": True}] * 3)
        await begin(call, STREAM[:2])
        listeners = []
        for client in (leader, *clients):
            assert (await client.head()).status == 200
            listeners.append(Listener(client))
        for listener in listeners:
            await listener.until(STREAM[1])
        for event in STREAM[2:]:
            await call.chunk(event)
        await call.end()
        assert {await listener.end() for listener in listeners} == {b"".join(STREAM)}


async def test_one_who_hangs_up_while_all_wait_is_one_less_to_tell() -> None:
    async with scene() as s:
        leader, call, (gone, *clients) = await crowd(s, *[{"stream": True}] * 3)
        gone.reset()
        await s.proxy.counted(lambda: s.proxy.server.counts.hang_ups == 1)
        _, *heard = await asyncio.gather(
            stream(call), *[client.response() for client in (leader, *clients)]
        )
        assert {response.body for response in heard} == {b"".join(STREAM)}
        made = await records(s, 4)
        assert made[0].delivery.error == "ClientGone"
        assert sorted(record.delivery.complete for record in made) == [False, True, True, True]


async def test_a_stream_that_breaks_off_after_the_first_words_breaks_off_for_all() -> None:
    async with scene() as s:
        leader, call, clients = await crowd(s, *[{"stream": True}] * 3)
        await begin(call, STREAM[:2])
        for client in (leader, *clients):
            await client.head()
        await call.reset()
        for client in (leader, *clients):
            assert await client.was_reset()
        made = await records(s, 4)
        assert {record.delivery.complete for record in made} == {False}


@pytest.mark.parametrize("status", [404, 500])
async def test_an_error_is_told_to_all_who_wait_to_the_byte(status: int) -> None:
    async with scene() as s:
        leader, call, clients = await crowd(s, *[{}] * 3)
        said = b'{"error": {"message": "no"}}'
        _, *heard = await asyncio.gather(
            call.reply(status, JSON, said),
            *[client.response() for client in (leader, *clients)],
        )
        assert {(response.status, response.body) for response in heard} == {(status, said)}
        assert [response.get("X-Cache") for response in heard] == ["MISS", *["COALESCED"] * 3]
