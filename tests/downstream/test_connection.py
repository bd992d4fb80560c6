"""How connections are kept, timed, and ended, by either side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.meanwhile import meanwhile
from support.serving import reply_with, serving, talking

from proxy.downstream.limits import Limits
from proxy.model.decision import Why
from proxy.model.message import Request
from proxy.model.outcome import Reply, Verdict

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


class Waiting:
    """An answer that does not come until it is told to; knows whether it was called off."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.called_off = asyncio.Event()

    async def answer(self, request: Request) -> Reply:
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.called_off.set()
            raise
        return reply_with()


class Stream:
    """A body whose pieces come when they are told to; knows when it is closed."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed = asyncio.Event()

    async def _body(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self.pieces.get():
                yield piece
        finally:
            self.closed.set()

    async def answer(self, request: Request) -> Reply:
        return reply_with(self._body())


async def within(event: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await event.wait()


async def test_a_first_request_may_take_longer_than_connections_are_kept_without_one() -> None:
    async with talking(limits=Limits(idle_s=0.02)) as client:
        await asyncio.sleep(0.1)
        await client.send(GET)
        assert (await client.response()).status == 200


# -- clients that leave ------------------------------------------------------------------------


async def test_a_client_that_resets_calls_its_request_off_at_once() -> None:
    waiting = Waiting()
    async with serving(waiting.answer) as stage:
        client = await stage.client()
        await client.send(GET)
        await within(waiting.begun)
        client.reset()
        await within(waiting.called_off)
        record = await stage.record()
    assert (record.delivery.status, record.delivery.sent) == (499, 0)
    assert (record.delivery.complete, record.delivery.error) == (False, "ClientGone")
    assert (record.outcome.verdict, record.outcome.why) == (Verdict.ERROR, Why.CLIENT_GONE)
    assert record.request.path == "/x"
    assert stage.no_more_records()
    assert stage.server.counts.hang_ups == 1


async def test_a_client_that_closes_calls_its_request_off_within_the_grace() -> None:
    waiting = Waiting()
    async with serving(waiting.answer, limits=Limits(half_close_grace_s=0.05)) as stage:
        client = await stage.client()
        await client.send(GET)
        await within(waiting.begun)
        client.close()
        await within(waiting.called_off)
        assert (await stage.record()).delivery.error == "ClientGone"


async def test_a_client_that_ends_its_side_still_hears_a_reply_that_comes_in_time() -> None:
    waiting = Waiting()
    async with serving(waiting.answer) as stage, await stage.client() as client:
        await client.send(GET + GET)
        await within(waiting.begun)
        client.end()
        waiting.go_on.set()
        assert (await client.response()).body == b"hello"
        assert (await client.response()).body == b"hello"
        assert await client.rest() == b""
        assert (await stage.record()).delivery.complete


async def test_a_client_that_ends_its_side_with_its_request_hears_the_reply() -> None:
    async with talking() as client:
        await client.send(GET)
        client.end()
        assert (await client.response()).body == b"hello"
        assert await client.rest() == b""


async def test_a_client_that_takes_pieces_after_ending_its_side_is_heard_to_the_end() -> None:
    stream = Stream()
    async with serving(stream.answer, limits=Limits(half_close_grace_s=0.3)) as stage:
        async with await stage.client() as client:
            await client.send(GET)
            await client.head()
            client.end()
            for _ in range(10):  # some of them after its end was noticed
                stream.pieces.put_nowait(b"x")
                await client.until(b"x\r\n")
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.7)  # for two graces to pass in silence
            stream.pieces.put_nowait(b"last")
            stream.pieces.put_nowait(b"")
            assert await client.rest() == b"4\r\nlast\r\n0\r\n\r\n"
        assert (await stage.record()).delivery.complete


async def test_a_client_that_closes_mid_stream_is_noticed_without_a_further_piece() -> None:
    stream = Stream()
    async with serving(stream.answer, limits=Limits(half_close_grace_s=0.05)) as stage:
        client = await stage.client()
        await client.send(GET)
        await client.head()
        client.close()
        await within(stream.closed)
        record = await stage.record()
    assert (record.delivery.status, record.delivery.error) == (200, "ClientGone")


async def test_a_client_that_closes_mid_stream_is_noticed_by_the_pieces_it_does_not_take() -> None:
    stream = Stream()
    async with serving(stream.answer, limits=Limits(half_close_grace_s=60)) as stage:
        client = await stage.client()
        await client.send(GET)
        await client.head()
        client.close()
        while not stream.closed.is_set():
            stream.pieces.put_nowait(b"token")
            await asyncio.sleep(0.001)
        assert not (await stage.record()).delivery.complete


async def test_a_client_that_resets_mid_stream_closes_the_body_at_once() -> None:
    stream = Stream()
    async with serving(stream.answer) as stage:
        client = await stage.client()
        await client.send(GET)
        stream.pieces.put_nowait(b"one")
        await client.until(b"one")
        client.reset()
        await within(stream.closed)
        record = await stage.record()
    assert (record.delivery.sent, record.delivery.complete) == (3, False)
    assert record.delivery.error == "ClientGone"


async def test_a_client_that_leaves_while_its_body_is_awaited_calls_its_request_off() -> None:
    begun = asyncio.Event()
    ended = asyncio.Event()

    async def answer(request: Request) -> Reply:
        begun.set()
        try:
            await request.body.whole(100)
        finally:
            ended.set()
        return reply_with()

    async with serving(answer) as stage:
        client = await stage.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        await within(begun)
        client.reset()
        await within(ended)
        assert not (await stage.record()).delivery.complete


async def test_an_idle_connection_that_the_client_ends_is_closed() -> None:
    async with talking() as client:
        await client.send(GET)
        await client.response()
        client.end()
        assert await client.rest() == b""


async def test_what_a_client_still_sends_does_not_reset_the_last_reply() -> None:
    async def answer(request: Request) -> Reply:
        return reply_with(close=True)

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(GET)
        await stage.record()
        for _ in range(100):
            await client.send(GET)
        assert (await client.response()).body == b"hello"
        assert await client.rest() == b""
    assert len(stage.requests) == 1


async def test_a_client_that_never_takes_its_leave_is_left_after_a_while() -> None:
    async with serving(limits=Limits(linger_s=0.05)) as stage, await stage.client() as client:
        await client.send(b"nonsense\r\n\r\n")
        assert (await client.response()).status == 400
        await stage.until_open(0)


# -- clients that take their time ---------------------------------------------------------------


@pytest.mark.parametrize("beginning", [b"", b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost"])
async def test_a_first_head_that_does_not_come_in_time_ends_the_connection(
    beginning: bytes,
) -> None:
    async with talking(limits=Limits(header_deadline_s=0.25)) as client:
        if beginning:
            await client.send(beginning)
        if beginning.startswith(b"GET"):
            assert (await client.response()).status == 408
        assert await client.rest() == b""


async def test_a_head_that_drips_is_408_although_it_never_stops() -> None:
    async with serving(limits=Limits(header_deadline_s=0.3)) as stage:
        async with await stage.client() as client:
            await client.send(GET)
            await client.response()

            async def drip() -> None:
                await client.send(b"GET / HTTP/1.1\r\n")
                while True:
                    await client.send(b"X: 1\r\n")
                    await asyncio.sleep(0.02)

            async with meanwhile(drip()):
                response = await client.response()
        assert (response.status, response.get("Connection")) == (408, "close")
        assert stage.server.counts.timeouts == 1


async def test_a_head_in_pieces_is_bounded_as_a_whole() -> None:
    async with talking(limits=Limits(head_bytes=1000, line_bytes=500, field_bytes=500)) as client:
        await client.send(b"GET / HTTP/1.1\r\n")
        for _ in range(10):
            await client.send(b"X: %b\r\n" % (b"a" * 200))
        assert (await client.response()).status == 431


async def test_an_idle_connection_is_closed_after_its_time_and_a_busy_one_is_not() -> None:
    waiting = Waiting()
    limits = Limits(idle_s=0.05)
    async with talking(waiting.answer, limits=limits) as client:
        await client.send(GET)
        await asyncio.sleep(0.15)  # for three idle times to pass
        waiting.go_on.set()
        assert (await client.response()).get("Connection") is None
        assert await client.rest() == b""


async def test_a_reader_that_does_not_read_is_cut_off() -> None:
    stalled = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(65536)
        finally:
            stalled.set()

    async def answer(request: Request) -> Reply:
        return reply_with(endless())

    async with (
        serving(answer, limits=Limits(stall_s=0.1)) as stage,
        await stage.client(receive_buffer=4096) as client,
    ):
        await client.send(GET)
        await within(stalled)
        record = await stage.record()
        assert await client.was_reset()
    assert (record.delivery.complete, record.delivery.error) == (False, "ReaderStalled")
    assert stage.server.counts.stalled == 1


async def test_a_reader_that_never_takes_the_end_of_a_reply_is_cut_off_too() -> None:
    async def answer(request: Request) -> Reply:
        return reply_with(bytes(16 * 2**20), close=True)

    async with (
        serving(answer, limits=Limits(stall_s=0.1)) as stage,
        await stage.client(receive_buffer=4096) as client,
    ):
        await client.send(GET)
        assert not (await stage.record()).delivery.complete
        assert await client.was_reset()


LAST_GET = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
SHORT_OF_HELD_BACK = bytes(60_000)  # the transport takes it, the small buffers of the kernel do not


@pytest.mark.parametrize(("asked", "ends"), [(LAST_GET, False), (GET, True)])
async def test_a_reader_that_leaves_the_end_of_a_whole_reply_untaken_is_cut_off(
    asked: bytes, ends: bool
) -> None:
    async def answer(request: Request) -> Reply:
        return reply_with(SHORT_OF_HELD_BACK)

    limits = Limits(stall_s=0.05, send_buffer=4096)
    async with (
        serving(answer, limits=limits) as stage,
        await stage.client(receive_buffer=4096) as client,
    ):
        await client.send(asked)
        assert (await stage.record()).delivery.complete
        if ends:
            client.end()
        await stage.until_open(0)
        assert await client.was_reset()
    assert stage.server.counts.stalled == 1


async def test_a_reader_that_ends_its_side_gets_what_it_still_takes() -> None:
    async def answer(request: Request) -> Reply:
        return reply_with(SHORT_OF_HELD_BACK)

    limits = Limits(send_buffer=4096)
    async with (
        serving(answer, limits=limits) as stage,
        await stage.client(receive_buffer=4096) as client,
    ):
        await client.send(GET)
        assert (await stage.record()).delivery.complete
        client.end()
        assert (await client.response()).body == SHORT_OF_HELD_BACK
        assert await client.rest() == b""


async def test_a_reader_that_takes_its_time_over_the_end_of_a_reply_gets_it() -> None:
    async def answer(request: Request) -> Reply:
        return reply_with(SHORT_OF_HELD_BACK)

    limits = Limits(stall_s=0.2, send_buffer=4096, min_rate=1)
    async with (
        serving(answer, limits=limits) as stage,
        await stage.client(receive_buffer=4096) as client,
    ):
        await client.send(LAST_GET)
        await client.head()
        taken = 0
        while taken < len(SHORT_OF_HELD_BACK):
            taken += len(await client.receive())
            await asyncio.sleep(0.02)
        assert await client.rest() == b""
    assert stage.server.counts.stalled == 0


async def test_a_reader_that_is_slow_but_reads_gets_it_all() -> None:
    size = 8 * 2**20

    async def answer(request: Request) -> Reply:
        return reply_with(bytes(size))

    async with serving(answer, limits=Limits(stall_s=0.2, min_rate=1)) as stage:
        async with await stage.client(receive_buffer=65536) as client:
            await client.send(GET)
            await client.head()
            taken = 0
            while taken < size:
                taken += len(await client.receive())
                await asyncio.sleep(0.0005)
        assert taken == size
        assert (await stage.record()).delivery.complete


# -- too many of them ---------------------------------------------------------------------------


async def test_connections_beyond_the_bound_are_answered_503_and_make_room_again() -> None:
    async with serving(limits=Limits(connections=2)) as stage:
        one, two = await stage.client(), await stage.client()
        for client in (one, two):
            await client.send(GET)
            await client.response()
        async with await stage.client() as third:
            await third.send(GET)
            response = await third.response()
            assert (response.status, response.get("Connection")) == (503, "close")
            assert response.get("Retry-After") == "1"
            assert await third.rest() == b""
        one.close()
        await stage.until_open(1)
        async with await stage.client() as fourth:
            await fourth.send(GET)
            assert (await fourth.response()).status == 200
        two.close()
    assert stage.server.counts.turned_away == 1
    assert stage.server.counts.accepted == 4
    assert len(stage.requests) == 3


async def test_a_crowd_beyond_the_bound_is_told_so_only_in_part_and_else_reset() -> None:
    async with serving(limits=Limits(connections=1)) as stage:
        first = await stage.client()
        await first.send(GET)
        await first.response()
        crowd = [await stage.client() for _ in range(60)]
        await stage.until_open(1 + 32)  # those that are told linger
        fates = [await client.was_reset() for client in crowd[32:]]
        assert all(fates)
        for client in crowd[:32]:
            assert (await client.response()).status == 503
        await first.send(GET)
        assert (await first.response()).status == 200
        for client in (first, *crowd):
            client.close()
    assert stage.server.counts.turned_away == 60
    assert stage.server.counts.bugs == 0


async def test_every_pipelined_request_is_answered_also_after_one_that_came_in_two_parts() -> None:
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
    async with serving() as stage, await stage.client() as client:
        await client.send(head)
        while not stage.requests:  # noqa: ASYNC110 - what is waited for happens on this very loop
            await asyncio.sleep(0)
        await client.send(b"{}" + (head + b"{}") * 500)
        for _ in range(501):
            assert (await client.response()).status == 200
