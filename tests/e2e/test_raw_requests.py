"""Requests in every shape HTTP allows: one question is one question, however it is sent."""

from __future__ import annotations

import gzip

import orjson
import pytest
from support.raw_chat import DOCUMENT, JSON, PATH, STREAM, Listener, begin, question, stream
from support.scene import scene
from support.scripted import Call


async def answer(call: Call) -> None:
    await call.reply(200, JSON, DOCUMENT)


def split_head(request: bytes) -> tuple[bytes, bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    return head, body


async def test_a_request_that_comes_byte_by_byte_is_the_same_question() -> None:
    async with scene() as s:
        s.up.answer_with(answer)
        assert (await s.whole()).get("X-Cache") == "MISS"
        client = await s.client()
        for byte in question():
            await client.send(bytes([byte]))

        assert (await client.response()).get("X-Cache") == "HIT"


async def test_requests_that_come_all_at_once_are_answered_in_turn() -> None:
    async with scene() as s:
        client = await s.client()
        await client.send(question("one", stream=True) + question("two") + question("one"))
        await stream(await s.up.next_call())
        assert (await client.response()).body == b"".join(STREAM)
        await answer(await s.up.next_call())
        assert (await client.response()).body == DOCUMENT
        await answer(await s.up.next_call())  # a stream without counts makes no document
        assert (await client.response()).body == DOCUMENT
        await client.send(question("two") * 3)

        for _ in range(3):
            assert (await client.response()).get("X-Cache") == "HIT"


async def test_a_body_in_chunks_is_the_same_question() -> None:
    async with scene() as s:
        s.up.answer_with(answer)
        await s.whole()
        _, body = split_head(question())
        client = await s.client()
        await client.send(
            f"POST {PATH} HTTP/1.1\r\nHost: proxy\r\nContent-Type: application/json\r\n"
            "Authorization: Bearer sk-one\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for at in range(0, len(body), 7):
            piece = body[at : at + 7]
            await client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await client.send(b"0\r\n\r\n")

        assert (await client.response()).get("X-Cache") == "HIT"
        assert s.up.calls == 1


async def test_a_client_that_asks_first_is_invited_to_send_its_body() -> None:
    async with scene() as s:
        s.up.answer_with(answer)
        head, body = split_head(question(headers="Expect: 100-continue\r\n"))
        client = await s.client()
        await client.send(head + b"\r\n\r\n")
        assert (await client.head()).status == 100
        await client.send(body)
        assert (await client.response()).get("X-Cache") == "MISS"

        assert (await s.whole()).get("X-Cache") == "HIT"
        assert s.up.history[0].field("expect") == ""


async def test_members_in_another_order_and_other_space_are_the_same_question() -> None:
    async with scene() as s:
        s.up.answer_with(answer)
        await s.whole(temperature=0.5)
        head, body = split_head(question())
        reordered = orjson.dumps(
            dict(reversed(orjson.loads(body).items())) | {"temperature": 0.5},
            option=orjson.OPT_INDENT_2,
        )
        length = b"Content-Length: %d" % len(body)
        client = await s.client()
        head = head.replace(length, b"Content-Length: %d" % len(reordered))
        await client.send(head + b"\r\n\r\n" + reordered)

        assert (await client.response()).get("X-Cache") == "HIT"


async def test_headers_that_name_one_attempt_do_not_make_another_question() -> None:
    async with scene() as s:
        s.up.answer_with(answer)
        await s.whole()
        inert = "X-Request-Id: 7\r\ntraceparent: 00-1-2-01\r\nUser-Agent: curl\r\n"
        assert (await s.whole(headers=inert)).get("X-Cache") == "HIT"
        assert (await s.whole(headers="X-Tenant: blue\r\n")).get("X-Cache") == "MISS"


async def test_a_body_too_large_to_be_looked_at_is_passed_on_whole() -> None:
    async with scene(cache={"max_request_bytes": "64KiB"}) as s:
        s.up.answer_with(answer)
        for chunked in (False, True):
            request = question("x" * 100_000)
            head, body = split_head(request)
            if chunked:
                length = b"Content-Length: %d" % len(body)
                head = head.replace(length, b"Transfer-Encoding: chunked")
                request = head + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            client = await s.client()
            await client.send(request)
            reply = await client.response()

            assert reply.get("X-Cache") == "BYPASS"
            assert reply.get("X-Cache-Reason") == "too-large"
            assert s.up.history[-1].body == body


async def test_a_compressed_body_is_passed_on_as_it_came() -> None:
    async with scene() as s:
        s.up.answer_with(answer)
        head, body = split_head(question())
        packed = gzip.compress(body)
        length = b"Content-Length: %d" % len(body)
        head = head.replace(length, b"Content-Length: %d\r\nContent-Encoding: gzip" % len(packed))
        client = await s.client()
        await client.send(head + b"\r\n\r\n" + packed)

        assert (await client.response()).get("X-Cache") == "BYPASS"
        assert s.up.history[0].body == packed
        assert s.up.history[0].field("content-encoding") == "gzip"


@pytest.mark.parametrize("alive", ["", "Connection: keep-alive\r\n"])
async def test_an_old_http_client_is_answered_from_the_cache_as_well(alive: str) -> None:
    async with scene() as s:
        s.up.answer_with(stream)
        await s.whole(stream=True)
        client = await s.client()
        await client.send(question(stream=True, version="1.0", headers=alive))
        reply = await client.response()
        assert reply.get("X-Cache") == "HIT"
        assert reply.body == b"".join(STREAM)
        assert reply.get("Transfer-Encoding") is None
        if not alive:
            assert await client.rest() == b""


async def test_only_posts_are_questions() -> None:
    async with scene() as s:
        s.up.answer_with(lambda call: call.head(200, [("Allow", "POST")], length=0))
        for method in (b"GET", b"HEAD", b"OPTIONS", b"DELETE"):
            client = await s.client()
            await client.send(method + b" " + PATH.encode() + b" HTTP/1.1\r\nHost: p\r\n\r\n")
            reply = await client.response(head_only=method == b"HEAD")
            assert reply.get("X-Cache") == "BYPASS"

        assert [call.method for call in s.up.history] == ["GET", "HEAD", "OPTIONS", "DELETE"]


async def test_a_client_that_says_no_more_is_still_answered() -> None:
    async with scene() as s:
        s.up.answer_with(answer)
        client = await s.ask()
        client.end()

        assert (await client.response()).body == DOCUMENT
        assert await client.rest() == b""


async def test_a_request_cut_short_reaches_nobody() -> None:
    async with scene() as s:
        client = await s.client()
        await client.send(question()[:-5])
        client.end()
        reply = await client.response()

        assert reply.status == 400
        assert s.up.calls == 0


async def test_a_stream_is_replayed_at_the_pace_the_operator_wants() -> None:
    async with scene(cache={"replay_chunk_delay_s": 0.001}) as s:
        s.up.answer_with(stream)
        await s.whole(stream=True)
        paced = await s.whole(stream=True)
        assert paced.get("X-Cache") == "HIT"
        assert paced.body == b"".join(STREAM)
        client = await s.ask(stream=True)
        client.reset()  # and nothing is left behind


async def test_more_questions_than_connections_to_the_backend_are_asked_in_turn() -> None:
    async with scene(upstream={"max_connections": 2}) as s:
        s.up.answer_with(answer)
        clients = [await s.ask(text=str(number)) for number in range(20)]

        assert [(await client.response()).status for client in clients] == [200] * 20
        assert s.up.calls == 20
        assert len(s.up.connections) <= 2  # one will do, if each is answered before the next comes


async def test_what_is_only_passed_on_comes_as_it_comes() -> None:
    async with scene() as s:
        client = await s.client()
        await client.send(question(stream=True).replace(b"/chat/completions", b"/responses"))
        call = await s.up.next_call()
        await begin(call, STREAM[:1])
        assert (await client.head()).get("X-Cache") == "BYPASS"
        listener = Listener(client)
        await listener.until(STREAM[0])
        await call.chunk(STREAM[1])
        await listener.until(STREAM[1])
        await call.end()

        assert await listener.end() == b"".join(STREAM[:2])
