"""A request is sent again in one case only: a kept connection ended before a byte of an answer."""

from __future__ import annotations

import asyncio

import pytest
from support.asking import FedBody, ask, outbound

from proxy.model.errors import BrokenReply, FirstByteTimeout, NoReply


async def kept(up, upstream, count=1):
    """Have ``count`` idle connections in the pool."""
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(ask(upstream, outbound())) for _ in range(count)]
        for call in [await up.next_call() for _ in asking]:
            await call.reply(200)
    assert up.open_connections == count


@pytest.mark.parametrize("way", ["cut", "reset"])
async def test_a_kept_connection_that_ends_as_it_is_used_costs_no_request(up, reach, start, way):
    upstream = reach(up.url)
    await kept(up, upstream)
    asking = start(ask(upstream, outbound(path="/second", body=b"hello")))
    lost = await up.next_call()
    assert lost.connection.number == 1
    await getattr(lost, way)()
    again = await up.next_call()
    assert again.connection.number == 2
    assert (again.raw_head, again.body) == (lost.raw_head, b"hello")
    await again.reply(200, body=b"answer")
    assert await asking == b"answer"
    assert upstream.stale_retries == 1


async def test_it_goes_out_on_a_new_connection_though_others_are_kept(up, reach, start):
    upstream = reach(up.url)
    await kept(up, upstream, 3)
    asking = start(ask(upstream, outbound()))
    await (await up.next_call()).cut()
    again = await up.next_call()
    assert again.nth == 1
    await again.reply(200, body=b"answer")
    assert await asking == b"answer"


async def test_it_is_made_once(up, reach, start):
    upstream = reach(up.url)
    await kept(up, upstream)
    asking = start(upstream.send(outbound()))
    for _ in range(2):
        await (await up.next_call()).cut()
    with pytest.raises(NoReply):
        await asking
    assert up.calls == 3


async def test_it_is_not_made_after_the_first_byte_of_a_response(up, reach, start):
    upstream = reach(up.url)
    await kept(up, upstream)
    asking = start(upstream.send(outbound()))
    call = await up.next_call()
    await call.raw(b"H")
    await call.cut()
    with pytest.raises(BrokenReply):
        await asking
    assert up.calls == 2


async def test_it_is_not_made_after_a_timeout(up, reach, start):
    upstream = reach(up.url, first_byte_timeout_s=0.5)
    await kept(up, upstream)
    with pytest.raises(FirstByteTimeout):
        await upstream.send(outbound())
    assert up.calls == 2


async def test_it_is_not_made_with_a_body_that_is_gone(up, reach, start):
    upstream = reach(up.url)
    await kept(up, upstream)
    body = FedBody()
    asking = start(upstream.send(outbound(body=body)))
    body.feed(b"one")
    call = await up.next_call(whole=False)
    await call.received(3)
    await call.cut()
    with pytest.raises(NoReply):
        await asking
    assert up.calls == 2


async def test_it_is_made_with_a_streamed_body_that_is_empty(up, reach, start):
    upstream = reach(up.url)
    await kept(up, upstream)
    asking = start(ask(upstream, outbound("GET", body=FedBody(length=0))))
    await (await up.next_call()).cut()
    await (await up.next_call()).reply(200, body=b"answer")
    assert await asking == b"answer"


async def test_it_can_be_turned_off(up, reach, start):
    upstream = reach(up.url, retry_stale=False)
    await kept(up, upstream)
    asking = start(upstream.send(outbound()))
    await (await up.next_call()).cut()
    with pytest.raises(NoReply):
        await asking


@pytest.mark.parametrize(
    "unasked", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", b"HTTP/1.1 4", b"\r\n"]
)
async def test_what_comes_unasked_never_answers_the_next_request(up, reach, start, unasked):
    upstream = reach(up.url)
    await kept(up, upstream)
    await up.connections[0].send(unasked)
    # Another exchange with the loop: what was sent has arrived by its end.
    await ask_elsewhere(up, reach, start)
    asking = start(ask(upstream, outbound(path="/second")))
    call = await up.next_call()
    assert call.nth == 1
    await call.reply(200, body=b"right")
    assert await asking == b"right"


async def ask_elsewhere(up, reach, start):
    asking = start(ask(reach(up.url), outbound()))
    await (await up.next_call()).reply(200)
    await asking
