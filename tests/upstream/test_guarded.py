"""A backend behind a breaker: what opens it, what does not, and what closes it again."""

from __future__ import annotations

import asyncio

import pytest
from support.asking import outbound
from support.cranked import Clock

from proxy.model.errors import ConnectFailed, ConnectTimeout, Resting
from proxy.upstream import GuardedUpstream, HttpUpstream

SOON_S = 0.05  # a deadline that is meant to pass
KEY = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
ACCEPT = ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
UPGRADE = outbound(
    "GET",
    "/chat",
    headers=(KEY, ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Via", "1.1 sidecache")),
)


def guarded(inner: HttpUpstream, clock: Clock, statuses: frozenset[int] = frozenset()):
    return GuardedUpstream(
        inner, failures=2, probe_s=1.0, statuses=statuses, clock=clock, dice=lambda: 0.5
    )


async def opened(upstream: GuardedUpstream) -> None:
    for _ in range(2):
        with pytest.raises(ConnectFailed):
            await upstream.send(outbound())
    assert not upstream._breaker.closed


async def test_a_backend_that_is_busy_is_not_left_alone(up, reach, start) -> None:
    upstream = guarded(reach(up.url, max_connections=1, connect_timeout_s=SOON_S), Clock())
    answering = start(upstream.send(outbound()))
    await up.next_call()
    for _ in range(5):
        with pytest.raises(ConnectTimeout):
            await upstream.send(outbound())
    assert upstream._breaker.closed
    answering.cancel()


async def test_a_tunnel_that_opens_finds_out_that_the_backend_is_back(up, reach, start) -> None:
    clock = Clock()
    upstream = guarded(reach(up.url), clock)
    up.refuse()
    await opened(upstream)
    await up.listen()
    clock.turn(1.0)
    asking = start(upstream.tunnel(UPGRADE))
    call = await up.next_call()
    await call.switch("WebSocket", [ACCEPT], b"")
    tunnel = await asking
    assert upstream._breaker.closed
    tunnel.close()


async def test_tunnels_that_cannot_be_opened_count(up, reach) -> None:
    upstream = guarded(reach(up.url), Clock())
    up.refuse()
    for _ in range(2):
        with pytest.raises(ConnectFailed):
            await upstream.tunnel(UPGRADE)
    with pytest.raises(Resting):
        await upstream.tunnel(UPGRADE)


async def test_who_goes_while_finding_out_leaves_it_to_the_next(up, reach, start) -> None:
    clock = Clock()
    upstream = guarded(reach(up.url), clock)
    up.refuse()
    await opened(upstream)
    await up.listen()
    clock.turn(1.0)
    probe = start(upstream.send(outbound()))
    await up.next_call()
    with pytest.raises(Resting):
        await upstream.send(outbound())
    probe.cancel()
    await asyncio.wait([probe])
    assert not upstream._breaker.closed
    clock.turn(1.0)
    again = start(upstream.send(outbound()))
    call = await up.next_call()
    await call.reply(200, body=b"back")
    (await again).close()
    assert upstream._breaker.closed


async def test_a_status_counts_where_it_is_named(up, reach) -> None:
    up.answer_with(lambda call: call.reply(503))
    upstream = guarded(reach(up.url), Clock(), frozenset({503}))
    for _ in range(2):
        (await upstream.send(outbound())).close()
    assert not upstream._breaker.closed
    other = guarded(reach(up.url), Clock())
    for _ in range(9):
        (await other.send(outbound())).close()
    assert other._breaker.closed
