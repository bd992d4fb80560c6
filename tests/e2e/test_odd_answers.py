"""Answers that are not what was asked for, or not for everybody: passed on, kept only if right."""

from __future__ import annotations

import gzip

import pytest
from support.raw_chat import DOCUMENT, JSON, STREAM, question, stream
from support.scene import scene
from support.scripted import Call
from support.started import started

COUNTS = {"include_usage": True}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
async def test_a_compressed_answer_goes_on_as_it_came_and_is_not_kept(path: str) -> None:
    packed = gzip.compress(DOCUMENT)

    async def answer(call: Call) -> None:
        await call.reply(200, [*JSON, ("Content-Encoding", "gzip")], packed)

    async with scene() as s:
        s.up.answer_with(answer)
        for _ in range(2):
            client = await s.client()
            await client.send(question().replace(b"/v1/chat/completions", path.encode()))
            reply = await client.response()
            assert reply.get("Content-Encoding") == "gzip"
            assert reply.body == packed

        assert s.up.calls == 2


async def test_what_the_backend_compresses_for_a_client_that_asked_for_it_is_left_alone() -> None:
    async with scene() as s:
        client = await s.client()
        await client.send(b"GET /v1/models HTTP/1.1\r\nHost: p\r\nAccept-Encoding: gzip\r\n\r\n")
        call = await s.up.next_call()
        assert call.field("accept-encoding") == "gzip"
        await call.reply(200, [("Content-Encoding", "gzip")], gzip.compress(b"[]"))

        assert gzip.decompress((await client.response()).body) == b"[]"


async def test_a_document_in_answer_to_who_wants_a_stream_is_the_answer_to_all_who_ask_alike() -> (
    None
):
    async with scene() as s:
        leader = await s.ask(stream=True)
        call = await s.up.next_call()
        follower = await s.ask(stream=True)
        await s.proxy.counted(lambda: s.proxy.flights.counts.joined_before_head == 1)
        await call.reply(200, JSON, DOCUMENT)
        alike = [await leader.response(), await follower.response(), await s.whole(stream=True)]
        other = await s.whole(stream=True, stream_options=COUNTS)

        assert [reply.body for reply in alike] == [DOCUMENT] * 3
        assert [reply.get("X-Cache") for reply in alike] == ["MISS", "COALESCED", "HIT"]
        assert other.get("Content-Type") == "text/event-stream; charset=utf-8"
        assert other.body.endswith(b"data: [DONE]\n\n")
        assert (await s.whole()).body == DOCUMENT
        assert s.up.calls == 1


async def test_a_backend_that_tells_no_counts_when_asked_for_them_is_cached_all_the_same() -> None:
    async with scene() as s:
        asking = started(s.whole(stream=True, stream_options=COUNTS))
        await stream(await s.up.next_call(), STREAM)
        await asking
        s.up.answer_with(stream)
        again = await s.whole(stream=True, stream_options=COUNTS)

        assert again.get("X-Cache") == "HIT"


@pytest.mark.parametrize(
    "headers",
    [[("Set-Cookie", "session=1")], [("Vary", "User-Agent")], [("Cache-Control", "private")]],
)
async def test_an_answer_for_one_caller_only_reaches_no_other(
    headers: list[tuple[str, str]],
) -> None:
    async with scene(cache={"scope": {"by": "shared"}}) as s:
        leader = await s.ask()
        call = await s.up.next_call()
        follower = await s.ask()
        await s.proxy.counted(lambda: s.proxy.flights.counts.joined_before_head == 1)
        await call.reply(200, [*JSON, *headers], DOCUMENT)
        own = await s.up.next_call()
        await own.reply(200, [*JSON, *headers], DOCUMENT)

        assert [(await each.response()).status for each in (leader, follower)] == [200, 200]
        assert s.proxy.store.memory.entries == 0


async def test_an_informational_response_is_no_answer() -> None:
    async with scene() as s:
        client = await s.ask()
        call = await s.up.next_call()
        await call.head(103, [("Link", "</style.css>; rel=preload")])
        await call.reply(200, JSON, DOCUMENT)

        assert (await client.response()).body == DOCUMENT
        assert (await s.whole()).get("X-Cache") == "HIT"


async def test_an_answer_that_is_no_http_is_a_502() -> None:
    async with scene() as s:
        client = await s.ask()
        call = await s.up.next_call()
        await call.raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")

        assert (await client.response()).status == 502


async def test_a_request_that_has_been_here_before_is_refused() -> None:
    async with scene() as s:
        reply = await s.whole(headers="Via: 1.1 sidecache\r\n")

        assert reply.status == 508
        assert s.up.calls == 0


async def test_a_backend_that_refuses_a_body_before_it_is_whole_is_heard() -> None:
    async with scene() as s:
        client = await s.client()
        await client.send(
            b"POST /v1/files HTTP/1.1\r\nHost: p\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000
        )
        call = await s.up.next_call(whole=False)
        await call.received(1000)
        await call.reply(413, [("Connection", "close")], b"too much")

        assert (await client.response()).status == 413
