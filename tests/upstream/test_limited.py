"""A backend behind the limiter: what has a place, how long, and what becomes of who has none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.asking import outbound
from support.cranked import Clock, settle

from proxy.model.errors import BrokenReply, ConnectFailed, NoReply, Overloaded, Resting
from proxy.model.message import Duplex
from proxy.overload import Gradient, Limiter, Limits
from proxy.upstream import GuardedUpstream, HttpUpstream, LimitedUpstream

UPGRADE = outbound(
    "GET",
    "/chat",
    headers=(
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Via", "1.1 sidecache"),
    ),
)
ACCEPT = ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")


def limited(inner: HttpUpstream | GuardedUpstream, calls: int = 1, **more: object):
    limiter = Limiter(Limits(calls=calls, queued=0), clock=Clock(), **more)
    return LimitedUpstream(inner, limiter), limiter


def guarded(inner: HttpUpstream, clock: Clock) -> GuardedUpstream:
    return GuardedUpstream(
        inner, failures=2, probe_s=1.0, statuses=frozenset(), clock=clock, dice=lambda: 0.5
    )


async def test_a_call_has_its_place_until_its_response_was_read(up, reach, start) -> None:
    upstream, limiter = limited(reach(up.url))
    asking = start(upstream.send(outbound()))
    call = await up.next_call()
    with pytest.raises(Overloaded):
        await upstream.send(outbound())
    await call.head(200, chunked=True)
    arrival = await asking
    with pytest.raises(Overloaded):
        await upstream.send(outbound())
    await call.chunk(b"all")
    await call.end()
    assert [piece async for piece in arrival.chunks()] == [b"all"]
    assert limiter.under_way == 0
    arrival.close()
    assert limiter.under_way == 0


async def test_a_response_that_is_let_go_of_or_breaks_off_leaves_its_place(up, reach, start):
    upstream, limiter = limited(reach(up.url))
    asking = start(upstream.send(outbound()))
    call = await up.next_call()
    await call.head(200, chunked=True)
    (await asking).close()
    assert limiter.under_way == 0
    asking = start(upstream.send(outbound()))
    call = await up.next_call()
    await call.head(200, chunked=True)
    arrival = await asking
    await call.reset()
    with pytest.raises(BrokenReply):
        _ = [piece async for piece in arrival.chunks()]
    assert limiter.under_way == 0


async def test_a_call_that_fails_or_is_given_up_leaves_its_place(up, reach, start) -> None:
    upstream, limiter = limited(reach(up.url))
    asking = start(upstream.send(outbound()))
    call = await up.next_call()
    await call.reset()
    with pytest.raises(NoReply):
        await asking
    assert limiter.under_way == 0
    asking = start(upstream.send(outbound()))
    await up.next_call()
    asking.cancel()
    await settle()
    assert limiter.under_way == 0


async def test_a_tunnel_has_its_place_until_it_is_closed(up, reach, start) -> None:
    upstream, limiter = limited(reach(up.url))
    opening = start(upstream.tunnel(UPGRADE))
    call = await up.next_call()
    await call.switch("WebSocket", [ACCEPT], b"hello")
    tunnel = await opening
    assert isinstance(tunnel, Duplex)
    assert tunnel.head.status == 101
    assert await tunnel.receive() == b"hello"
    await tunnel.send(b"bye")
    assert (limiter.under_way, limiter.lasting) == (1, 1)
    with pytest.raises(Overloaded):
        await upstream.tunnel(UPGRADE)
    tunnel.close()
    tunnel.close()
    assert (limiter.under_way, limiter.lasting) == (0, 0)


async def test_a_tunnel_that_is_refused_or_fails_leaves_its_place(up, reach, start) -> None:
    upstream, limiter = limited(reach(up.url))
    opening = start(upstream.tunnel(UPGRADE))
    call = await up.next_call()
    await call.reply(403, body=b"no")
    refusal = await opening
    assert not isinstance(refusal, Duplex)
    assert [piece async for piece in refusal.chunks()] == [b"no"]
    assert (refusal.length, refusal.delimited) == (2, True)
    assert limiter.under_way == 0
    up.refuse()
    with pytest.raises(ConnectFailed):
        await upstream.tunnel(UPGRADE)
    assert limiter.under_way == 0


async def test_being_turned_away_says_nothing_of_the_backend(up, reach, start) -> None:
    upstream, _ = limited(inner := guarded(reach(up.url), Clock()))
    asking = start(upstream.send(outbound()))
    call = await up.next_call()
    for _ in range(5):
        with pytest.raises(Overloaded):
            await upstream.send(outbound())
    assert inner.closed
    await call.reply(200)
    (await asking).close()


async def test_nobody_needs_a_place_to_be_told_that_the_backend_is_left_alone(
    up, reach, start
) -> None:
    clock = Clock()
    inner = guarded(reach(up.url), clock)
    upstream, limiter = limited(inner)
    held = await limiter.enter("")
    up.refuse()
    for _ in range(2):
        with pytest.raises(ConnectFailed):
            await inner.send(outbound())
    with pytest.raises(Resting):
        await upstream.send(outbound())
    with pytest.raises(Resting):
        await upstream.tunnel(UPGRADE)
    await up.listen()
    clock.turn(1.0)
    probe = start(upstream.send(outbound()))
    await (await up.next_call()).reply(200)
    (await probe).close()
    assert inner.closed
    with pytest.raises(Overloaded):
        await upstream.send(outbound())
    held.leave()


async def test_whose_call_it_is_and_whether_somebody_waits_decides(up, reach, start) -> None:
    upstream, limiter = limited(reach(up.url), calls=2)
    limiter.adopt(Limits(calls=2, queued=4, share=0.5), None)
    first = start(upstream.send(replace(outbound(), caller="a")))
    second = start(upstream.send(replace(outbound(), caller="b")))
    calls = [await up.next_call(), await up.next_call()]
    more = start(upstream.send(replace(outbound(), caller="a")))
    with pytest.raises(Overloaded):
        await upstream.send(replace(outbound(), caller="b", awaited=False))
    await settle()
    assert limiter.queued == 1
    for call in calls:
        await call.reply(200)
    for asking in (first, second):
        (await asking).close()
    await (await up.next_call()).reply(200)
    (await more).close()


async def test_how_soon_the_backend_answers_is_told_to_what_finds_out_what_it_bears(
    up, reach
) -> None:
    clock = Clock()
    upstream, limiter = limited(reach(up.url), calls=50, adaptive=Gradient(2, 50, clock=clock))
    up.answer_with(lambda call: call.reply(200))
    assert limiter.limit == 2
    for _ in range(40):
        clock.turn(0.5)
        (await upstream.send(outbound())).close()
    assert limiter.limit > 2
