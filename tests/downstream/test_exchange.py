"""From an answer, or the lack of one, to a response and a record."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from support.raw_client import RawClient
from support.serving import NOON, OUTCOME, reply_with, serving

from proxy.downstream.limits import Limits
from proxy.downstream.request import Origin
from proxy.downstream.server import Server
from proxy.downstream.service import Attending, LastWord
from proxy.model.decision import Why
from proxy.model.errors import (
    ConnectFailed,
    FirstByteTimeout,
    LoopDetected,
    RequestError,
    UpstreamError,
)
from proxy.model.message import Request
from proxy.model.outcome import Record, Reply, Verdict

GET = b"GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_a_request_is_recorded_once_with_its_outcome_and_delivery() -> None:
    async def answer(request: Request) -> Reply:
        return reply_with(b"hello", status=203)

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(GET)
        await client.response()
        record = await stage.record()
        assert stage.no_more_records()
    assert record.request is stage.requests[0]
    assert record.outcome is OUTCOME
    assert (record.delivery.status, record.delivery.sent) == (203, 5)
    assert (record.delivery.complete, record.delivery.error) == (True, "")
    assert 0 <= record.delivery.duration_s < 10
    assert stage.server.counts.requests == 1


@pytest.mark.parametrize(
    ("error", "status", "token"),
    [
        (ConnectFailed("no route to it"), 502, "connection_refused"),
        (FirstByteTimeout("it took too long"), 504, "connection_read_timeout"),
        (LoopDetected("seen before"), 508, "proxy_loop_detected"),
        (RequestError(408, "too slow"), 408, "http_request_error"),
    ],
)
async def test_each_error_becomes_its_status_and_the_connection_goes_on(
    error: UpstreamError | RequestError, status: int, token: str
) -> None:
    async def answer(request: Request) -> Reply:
        raise error

    async with serving(answer) as stage, await stage.client() as client:
        for _ in range(2):
            await client.send(GET)
            response = await client.response()
            assert response.status == status
            assert response.get("Proxy-Status") == f"sidecache; error={token}"
            assert response.get("Cache-Control") == "no-store"
            assert json.loads(response.body)["error"]["message"] == str(error)
        record = await stage.record()
    assert record.outcome.verdict is Verdict.ERROR
    assert record.delivery.status == status
    assert record.delivery.complete
    assert stage.server.counts.bugs == 0


async def test_a_bug_becomes_500_and_is_logged_without_what_it_choked_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = "sk-" + "secret"

    async def answer(request: Request) -> Reply:
        raise KeyError(secret)

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(GET)
        response = await client.response()
        await client.send(GET)
        assert (await client.response()).status == 500
        record = await stage.record()
    assert response.status == 500
    assert response.get("Proxy-Status") == "sidecache; error=proxy_internal_error"
    assert record.outcome.why is Why.INTERNAL
    assert stage.server.counts.bugs == 2
    assert "answering failed: KeyError" in caplog.text
    assert "test_exchange.py" in caplog.text
    assert secret not in caplog.text


@pytest.mark.parametrize(
    ("target", "path"), [(b"//a?b", "//a"), (b"ftp://a/b", "/"), (b"/a?b#c", "/a")]
)
async def test_a_request_that_is_refused_unseen_is_recorded_and_counted_as_such(
    target: bytes, path: str
) -> None:
    async with serving() as stage, await stage.client() as client:
        await client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
        assert (await client.response()).status == 400
        record = await stage.record()
        assert stage.no_more_records()
    assert (record.request.method, record.request.path) == ("GET", path)
    assert record.outcome.why is Why.BAD_REQUEST
    assert (record.delivery.status, record.delivery.complete) == (400, True)
    counts = stage.server.counts
    assert (counts.refused, counts.requests, counts.malformed) == (1, 0, 0)
    assert not stage.requests


async def test_what_could_not_be_parsed_is_recorded_without_a_word_of_it() -> None:
    async with serving() as stage, await stage.client() as client:
        await client.send(b"nonsense\r\n\r\n")
        answer = await client.response()
        assert answer.status == 400
        record = await stage.record()
        assert stage.no_more_records()
    assert (record.request.method, record.request.path) == ("-", "-")
    assert record.outcome.why is Why.BAD_REQUEST
    assert (record.delivery.status, record.delivery.complete) == (400, True)
    assert record.delivery.sent > len(answer.body)
    counts = stage.server.counts
    assert (counts.refused, counts.requests, counts.malformed) == (0, 0, 1)
    assert counts.received == 1


async def test_a_bug_is_an_answer_and_a_record_like_any_other() -> None:
    async def answer(request: Request) -> Reply:
        raise ValueError(request.path)

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(GET)
        assert (await client.response()).status == 500
        record = await stage.record()
        assert (record.outcome.verdict, record.outcome.why) == (Verdict.ERROR, Why.INTERNAL)
        assert record.delivery.status == 500
        counts = stage.server.counts
        assert (counts.received, counts.bugs) == (1, 1)


async def test_a_last_word_that_nobody_is_left_to_hear_is_recorded_all_the_same() -> None:
    class Gone:
        def write(self, data: bytes) -> None:
            raise ConnectionResetError

    async with serving() as stage:
        service = stage.server._service
        word = LastWord(408, "http_request_error", "The head of the request came too slowly.")
        with pytest.raises(ConnectionError):
            service.part(Gone(), Origin("192.0.2.1", "http"), word, told=True)  # type: ignore[arg-type] # a line, as far as it is asked
        record = await stage.record()
        delivery = record.delivery
        assert (delivery.status, delivery.sent, delivery.complete) == (408, 0, False)
        assert record.request.peer == "192.0.2.1"


async def test_what_goes_wrong_in_recording_does_not_concern_the_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer(request: Request) -> Reply:
        return reply_with()

    def record(record: Record) -> None:
        raise OSError("disk full")

    server = Server(Attending(answer, answer, Limits()), record, clock=lambda: NOON)
    address = await server.start("127.0.0.1", 0)
    async with await RawClient.connect(address) as client:
        for _ in range(2):
            await client.send(GET)
            assert (await client.response()).status == 200
    await server.close(1)
    assert server.counts.bugs == 2
    assert "recording failed: OSError" in caplog.text


async def test_the_proxy_calls_itself_by_its_pseudonym() -> None:
    async def answer(request: Request) -> Reply:
        raise ConnectFailed("gone")

    attending = Attending(answer, answer, Limits(), "edge")
    server = Server(attending, lambda record: None, clock=lambda: NOON)
    address = await server.start("127.0.0.1", 0)
    async with await RawClient.connect(address) as client:
        await client.send(GET)
        response = await client.response()
    await server.close(1)
    assert response.get("Proxy-Status") == "edge; error=connection_refused"


async def test_nothing_a_client_sends_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = b"canary-7319"
    requests = [
        b"GET /%b HTTP/1.1\r\nHost: a\r\nAuthorization: %b\r\n\r\n" % (secret, secret),
        b"%b\r\n\r\n" % secret,
        b"GET / HTTP/1.1\r\nHost: %b b\r\n\r\n" % secret,
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n" % secret,
        b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (secret * 9999),
    ]
    async with serving() as stage:
        for request in requests:
            async with await stage.client() as client:
                await client.send(request)
                assert secret not in await client.receive()
        await asyncio.sleep(0)
    assert secret.decode() not in caplog.text
