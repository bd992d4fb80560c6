"""Replies that are begun before the request's own task comes to send them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from support.raw_client import RawClient
from support.serving import OUTCOME, reply_with, serving

from proxy.model.message import Request
from proxy.model.outcome import Reply
from proxy.model.outlet import Draft

POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
TIMED = [("X-One", "1"), ("Server-Timing", "sidecache;dur=0.000")]
OWN = OUTCOME._replace(upstream_s=0.5)  # who is begun with may have another than the draft
EVENTS = [("Content-Type", "text/event-stream"), *TIMED]


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


def begun(request: Request, reply: Reply, body: bytes = b"") -> Draft:
    """Begin ``reply``, of whose body so much is there."""
    outlet = request.outlet
    assert outlet is not None
    draft = outlet.draft(reply, body)
    assert draft is not None
    assert outlet.begin(draft, "sidecache;dur=7.125", lambda: OWN)
    return draft


async def hung_up(client: RawClient) -> None:
    with pytest.raises((ConnectionResetError, EOFError)):
        await client.response()


async def test_a_reply_that_is_here_goes_out_whole_with_the_time_it_took() -> None:
    async def answer(request: Request) -> Reply:
        return begun(request, reply_with(b"hello", headers=TIMED)).reply

    async with serving(answer) as stage, await stage.client() as client:
        for _ in range(2):  # another request may follow
            await client.send(POST)
            response = await client.response()
            assert (response.status, response.body) == (200, b"hello")
            assert response.get("X-One") == "1"
            assert response.get("Server-Timing") == "sidecache;dur=7.125"
            assert response.get("Content-Length") == "5"
            assert response.get("Connection") is None
            record = await stage.record()
            assert (record.delivery.sent, record.delivery.complete) == (5, True)


async def test_it_is_the_very_head_that_is_sent_otherwise_but_for_the_time() -> None:
    at_once = [True, False]

    async def answer(request: Request) -> Reply:
        reply = reply_with(b"hello", headers=TIMED)
        return reply if not at_once.pop() else begun(request, reply).reply

    async with serving(answer) as stage, await stage.client() as client:
        said = []
        while at_once:
            await client.send(POST)
            said.append(await client.until(b"\r\n\r\nhello"))
    assert len(said) == 2
    assert said[1] == said[0].replace(b"dur=0.000", b"dur=7.125")


@pytest.mark.parametrize("length", [None, 11])
async def test_of_a_body_that_is_coming_the_task_sends_what_was_not_sent(
    length: int | None,
) -> None:
    async def answer(request: Request) -> Reply:
        reply = reply_with(pieces(), headers=EVENTS, length=length)
        draft = begun(request, reply, b"one two")
        return draft.reply._replace(body=pieces(b" ten"))

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(POST)
        response = await client.response()
        record = await stage.record()
    assert response.body == b"one two ten"
    assert (response.get("Content-Length") is None) is (length is None)
    assert (record.delivery.sent, record.delivery.complete) == (11, True)


async def test_a_reply_without_content_is_begun_without_any() -> None:
    async def answer(request: Request) -> Reply:
        return begun(request, reply_with(b"nothing", status=204, headers=TIMED)).reply

    async with serving(answer) as stage, await stage.client() as client:
        for _ in range(2):
            await client.send(POST)
            assert (await client.response()).status == 204
            assert (await stage.record()).delivery.sent == 0


async def test_once_a_reply_was_begun_no_other_can_be_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "sidecache")

    async def answer(request: Request) -> Reply:
        begun(request, reply_with(pieces(), headers=EVENTS), b"one")
        return reply_with(b"another", headers=TIMED)

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(POST)
        assert (await client.head()).status == 200
        assert await client.was_reset()
        record = await stage.record()
    assert not record.delivery.complete
    assert record.delivery.error == "ProtocolViolation"
    assert stage.server.counts.bugs == 1


@pytest.mark.parametrize(
    "request_",
    [
        b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /x HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
async def test_what_is_to_be_answered_in_a_way_of_its_own_is_not_begun(request_: bytes) -> None:
    async with serving() as stage, await stage.client() as client:
        await client.send(request_)
        await client.head()
        await stage.record()
    assert [request.outlet for request in stage.requests] == [None]


@pytest.mark.parametrize(
    "reply",
    [
        reply_with(b"untimed"),
        reply_with(b"x" * 65_537, headers=TIMED),
        reply_with(headers=[*TIMED, ("X-Bad", "a\r\nb")]),
        reply_with(headers=TIMED, close=True),
    ],
)
async def test_what_is_long_or_cannot_be_sent_so_is_left_to_the_task(reply: Reply) -> None:
    drafts: list[Draft | None] = []

    async def answer(request: Request) -> Reply:
        assert request.outlet is not None
        drafts.append(request.outlet.draft(reply, b""))
        return reply_with(b"by the task")

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(POST)
        assert (await client.response()).body == b"by the task"
    assert drafts == [None]


async def test_what_is_here_of_a_body_cannot_be_longer_than_was_declared() -> None:
    drafts: list[Draft | None] = []

    async def answer(request: Request) -> Reply:
        assert request.outlet is not None
        for length in (2, 3):
            declared = reply_with(pieces(), headers=TIMED, length=length)
            drafts.append(request.outlet.draft(declared, b"one"))
        return reply_with(b"by the task")

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(POST)
        await client.response()
    assert [draft is None for draft in drafts] == [True, False]


async def test_a_proxy_that_is_about_to_stop_begins_no_reply_as_it_has_to_say_so() -> None:
    closing: list[asyncio.Task[None]] = []

    async def answer(request: Request) -> Reply:
        assert request.outlet is not None
        closing.append(asyncio.ensure_future(stage.server.close(10)))  # noqa: TID251 - a test's own
        async with asyncio.timeout(10):
            while request.outlet.draft(reply_with(headers=TIMED), b""):  # noqa: ASYNC110 - as it is
                await asyncio.sleep(0)
        return reply_with()

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(POST)
        assert (await client.response()).get("Connection") == "close"
        await closing[0]


async def test_nothing_is_begun_for_a_client_that_has_gone() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()
    reached: list[bool] = []

    async def answer(request: Request) -> Reply:
        outlet = request.outlet
        assert outlet is not None
        draft = outlet.draft(reply_with(headers=TIMED), b"")
        assert draft is not None
        asked.set()
        try:
            await gone.wait()
        finally:
            reached.append(outlet.begin(draft, "sidecache;dur=1.000", lambda: OWN))
        raise AssertionError

    async with serving(answer) as stage:
        async with await stage.client() as client:
            await client.send(POST)
            await asked.wait()
            client.reset()
        record = await stage.record()
    assert reached == [False]
    assert (record.delivery.sent, record.delivery.error) == (0, "ClientGone")


async def test_after_the_request_is_over_its_outlet_leads_nowhere() -> None:
    async with serving() as stage, await stage.client() as client:
        await client.send(POST)
        await client.response()
        await stage.record()
        (request,) = stage.requests
        outlet = request.outlet
        assert outlet is not None
        draft = outlet.draft(reply_with(headers=TIMED), b"")
        assert draft is not None
        assert not outlet.begin(draft, "sidecache;dur=1.000", lambda: OWN)
        assert client.nothing_came()


@pytest.mark.parametrize("whole", [False, True])
async def test_who_hangs_up_before_the_task_goes_on_is_recorded_as_one_who_was_told(
    whole: bool,
) -> None:
    told = asyncio.Event()

    async def answer(request: Request) -> Reply:
        begun(request, reply_with(b"one" if whole else pieces(), headers=EVENTS), b"one")
        told.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(answer) as stage:
        async with await stage.client() as client:
            await client.send(POST)
            await told.wait()
            await client.until(b"one")
            client.reset()
        record = await stage.record()
    assert record.outcome is OWN
    assert (record.delivery.status, record.delivery.sent) == (200, 3)
    assert record.delivery.complete is whole
    # Who has it all may go: nobody has hung up on a reply.
    assert record.delivery.error == ("" if whole else "ClientGone")
    assert stage.server.counts.hang_ups == (not whole)


@pytest.mark.parametrize("whole", [False, True])
async def test_when_time_is_up_before_the_task_goes_on_nothing_that_was_told_is_taken_back(
    whole: bool,
) -> None:
    told = asyncio.Event()
    said = b"data: 1\n\n"

    async def answer(request: Request) -> Reply:
        begun(request, reply_with(said if whole else pieces(), headers=EVENTS), said)
        told.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(POST)
        await told.wait()
        closing = asyncio.ensure_future(stage.server.close(0))  # noqa: TID251 - a test's own
        heard = await client.rest()
        await closing
    assert said in heard
    assert (b"event: error" in heard) is not whole
