"""What becomes of callers, and of the cache, when the backend or another caller goes away."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from support.raw_chat import (
    COUNTED,
    DOCUMENT,
    EVENTS,
    JSON,
    STREAM,
    Listener,
    begin,
    question,
    stream,
)
from support.scene import scene
from support.started import started

COUNTS = {"include_usage": True}


async def broken(listener: Listener) -> bytes:
    """What was heard of a body before its connection was reset; fails if it came to an end."""
    with pytest.raises(ConnectionResetError):
        await listener.end()
    return listener.heard


# -- answers that break off -----------------------------------------------------------------------


async def test_who_heard_a_part_hears_it_break_off_and_so_does_who_joined_and_nothing_is_kept() -> (
    None
):
    async with scene() as s:
        leading = started(s.listen())
        call = await s.up.next_call()
        await begin(call, STREAM[:3])
        head, leader = await leading
        await leader.until(STREAM[2])
        joined, follower = await s.listen()
        await follower.until(STREAM[2])
        await call.reset()

        assert await broken(leader) == b"".join(STREAM[:3])
        assert await broken(follower) == b"".join(STREAM[:3])
        assert (head.get("X-Cache"), joined.get("X-Cache")) == ("MISS", "COALESCED")
        assert s.proxy.store.memory.entries == 0

        again = started(s.whole(stream=True))
        await stream(await s.up.next_call())
        assert (await again).body == b"".join(STREAM)
        assert (await s.whole(stream=True)).get("X-Cache") == "HIT"


@pytest.mark.parametrize("wanted", [{}, {"stream_options": COUNTS}])
async def test_a_follower_who_wants_another_form_is_not_told_that_a_broken_answer_is_whole(
    wanted: dict[str, Any],
) -> None:
    async with scene() as s:
        leading = started(s.listen(stream_options=COUNTS))
        call = await s.up.next_call()
        await begin(call, COUNTED[:3])
        _, leader = await leading
        _, follower = await s.listen(**wanted)
        document = await s.ask()  # waits for the end, to be told all at once
        await s.proxy.counted(lambda: s.proxy.flights.counts.joined_after_head == 2)
        await follower.until(COUNTED[2])
        await call.cut()

        assert await broken(leader) == b"".join(COUNTED[:3])
        assert await broken(follower) == b"".join(COUNTED[:3])
        failed = await document.response()
        assert failed.status == 502
        assert orjson.loads(failed.body)["error"]["code"] == "http_response_incomplete"


@pytest.mark.parametrize("heard", [3, 5])
async def test_a_stream_that_only_the_connections_end_ends_is_not_kept_unless_it_is_done(
    heard: int,
) -> None:
    async with scene() as s:
        for _ in range(2):
            asking = started(s.whole(stream=True))
            call = await s.up.next_call()
            await call.head(200, EVENTS, close_delimited=True)
            for event in STREAM[:heard]:
                await call.chunk(event)
            await call.end()
            reply = await asking
            assert reply.get("X-Cache") == "MISS"
            assert reply.body == b"".join(STREAM[:heard])

        assert s.proxy.store.memory.entries == 0


async def test_a_stream_that_only_the_connections_end_ends_is_kept_when_it_is_done() -> None:
    async with scene() as s:
        asking = started(s.whole(stream=True))
        call = await s.up.next_call()
        await call.head(200, EVENTS, close_delimited=True)
        for event in STREAM:
            await call.chunk(event)
        await call.end()
        await asking

        assert (await s.whole(stream=True)).get("X-Cache") == "HIT"


async def test_a_reset_never_passes_for_the_end_of_a_stream_that_has_no_length() -> None:
    async with scene() as s:
        leading = started(s.listen())
        call = await s.up.next_call()
        await call.head(200, EVENTS, close_delimited=True)
        for event in STREAM:
            await call.chunk(event)
        _, leader = await leading
        await leader.until(STREAM[-1])
        await call.reset()

        assert await broken(leader) == b"".join(STREAM)
        assert s.proxy.store.memory.entries == 0


async def test_a_document_shorter_than_declared_is_an_error_and_not_kept() -> None:
    async with scene() as s:
        for _ in range(2):
            asking = [started(s.whole()) for _ in range(3)]
            call = await s.up.next_call()
            await s.proxy.counted(lambda: sum(len(f.seats) for f in s.proxy.flights._up) == 3)
            await call.head(200, JSON, length=len(DOCUMENT))
            await call.chunk(DOCUMENT[:-10])
            await call.cut()
            told = await asyncio.gather(*asking)
            assert [reply.status for reply in told] == [502] * 3

        assert s.up.calls == 2
        assert s.proxy.store.memory.entries == 0


async def test_a_document_that_dawdles_and_then_breaks_off_is_never_whole_to_anybody() -> None:
    async with scene() as s:
        client = await s.ask()
        call = await s.up.next_call()
        await call.head(200, JSON, length=len(DOCUMENT))
        await call.chunk(DOCUMENT[:20])
        head = await client.head()  # after a while it is passed on as it comes
        assert head.get("Content-Length") == str(len(DOCUMENT))
        assert await client.exactly(20) == DOCUMENT[:20]
        await call.cut()

        assert await client.was_reset()
        assert s.proxy.store.memory.entries == 0


async def test_a_document_whose_last_chunk_is_missing_is_an_error() -> None:
    async with scene() as s:
        client = await s.ask()
        call = await s.up.next_call()
        await call.head(200, JSON, chunked=True)
        await call.chunk(DOCUMENT)
        await call.cut()

        assert (await client.response()).status == 502
        assert s.proxy.store.memory.entries == 0


async def test_a_stream_that_falls_silent_is_given_up() -> None:
    async with scene(upstream={"idle_timeout_s": 0.05}) as s:
        leading = started(s.listen())
        call = await s.up.next_call()
        await begin(call, STREAM[:3])
        _, leader = await leading

        assert await broken(leader) == b"".join(STREAM[:3])
        await call.hung_up()


async def test_an_old_http_client_is_not_told_that_a_broken_stream_is_whole() -> None:
    async with scene() as s:
        client = await s.client()
        await client.send(question(stream=True, version="1.0"))
        call = await s.up.next_call()
        await begin(call, STREAM[:3])
        await client.until(STREAM[2])
        await call.reset()

        assert await client.was_reset()


async def test_the_last_event_reaches_those_who_want_no_counts_even_without_an_empty_line() -> None:
    events = [*COUNTED[:-1], b"data: [DONE]"]
    async with scene() as s:
        leading = started(s.listen(stream_options=COUNTS))
        call = await s.up.next_call()
        await begin(call, events[:2])
        _, leader = await leading
        _, follower = await s.listen()
        await follower.until(events[1])
        for event in events[2:]:
            await call.chunk(event)
        await call.end()

        assert await leader.end() == b"".join(events)
        assert (await follower.end()).rstrip() == b"".join([*STREAM[:-1], b"data: [DONE]"])


# -- connections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
async def test_a_kept_connection_that_ends_as_it_is_used_again_goes_unnoticed(path: str) -> None:
    async with scene() as s:
        client = await s.client()
        for number in range(2):
            await client.send(
                question(f"{number}?").replace(b"/v1/chat/completions", path.encode())
            )
            call = await s.up.next_call()
            if number:
                assert call.nth == 2
                await call.cut()
                call = await s.up.next_call()
            await call.reply(200, JSON, DOCUMENT)
            assert (await client.response()).body == DOCUMENT

        assert len(s.up.connections) == 2
        assert s.up.calls == 3


async def test_a_new_connection_that_ends_without_an_answer_is_an_error_to_all_who_wait() -> None:
    async with scene() as s:
        asking = [started(s.whole()) for _ in range(3)]
        call = await s.up.next_call()
        await s.proxy.counted(lambda: s.proxy.flights.counts.joined_before_head == 2)
        await call.cut()

        assert [reply.status for reply in await asyncio.gather(*asking)] == [502] * 3
        assert s.up.calls == 1  # it may have done what it was asked: nobody asks twice by himself


async def test_one_who_hangs_up_takes_nothing_from_another_who_listens() -> None:
    async with scene() as s:
        client = await s.ask(stream=True)
        call = await s.up.next_call()
        await begin(call, STREAM[:2])
        await client.head()
        _, follower = await s.listen()
        await follower.until(STREAM[1])
        client.reset()
        await s.proxy.counted(lambda: s.proxy.server.counts.hang_ups == 1)
        for event in STREAM[2:]:
            await call.chunk(event)
        await call.end()

        assert await follower.end() == b"".join(STREAM)
        assert (await s.whole(stream=True)).get("X-Cache") == "HIT"
        assert s.up.calls == 1


async def test_a_stream_that_all_have_left_is_heard_to_its_end_and_kept() -> None:
    async with scene() as s:
        client = await s.ask(stream=True)
        call = await s.up.next_call()
        await begin(call, STREAM[:2])
        await client.head()
        client.reset()
        await s.proxy.counted(lambda: s.proxy.server.counts.hang_ups == 1)
        for event in STREAM[2:]:
            await call.chunk(event)
        await call.end()
        await s.proxy.landed()

        assert (await s.whole(stream=True)).get("X-Cache") == "HIT"
        assert s.proxy.flights.counts.kept_orphans == 1


async def test_a_stream_that_all_have_left_is_called_off_when_its_time_is_up() -> None:
    async with scene(flights={"orphan_budget_s": 0.05}) as s:
        client = await s.ask(stream=True)
        call = await s.up.next_call()
        await begin(call, STREAM[:2])
        await client.head()
        client.reset()
        await call.hung_up()
        await s.proxy.landed()

        assert s.proxy.store.memory.entries == 0
        assert s.proxy.flights.counts.cancelled_orphans == 1


async def test_a_stream_that_is_passed_on_ends_with_its_only_reader() -> None:
    async with scene() as s:
        client = await s.ask(stream=True, store=True)
        call = await s.up.next_call()
        await begin(call, STREAM[:2])
        await client.head()
        client.reset()

        await call.hung_up()


async def test_an_answer_that_comes_too_late_for_a_follower_is_asked_for_by_himself() -> None:
    async with scene(flights={"wait_timeout_s": 0.05}) as s:
        leader = await s.ask()
        call = await s.up.next_call()
        follower = await s.ask()
        own = await s.up.next_call()
        await own.reply(200, JSON, DOCUMENT)
        alone = await follower.response()
        await call.reply(200, JSON, DOCUMENT)
        first = await leader.response()

        assert alone.get("X-Cache") == "MISS"
        assert "collapsed=?0" in (alone.get("Cache-Status") or "")
        assert "stored" in (first.get("Cache-Status") or "")
