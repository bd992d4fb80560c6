"""Flights across replicas, in Redis: nothing depends on it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
from support.redis_servers import Server, cluster, needs_redis, server
from support.replicas import Replica, replica, until

from proxy.fleet.base import lock_name
from proxy.fleet.locks_redis import RedisLocks
from proxy.link import command
from proxy.link.place import read_place
from proxy.model.errors import BrokenReply, TierError
from proxy.model.message import Head, Headers

pytestmark = needs_redis


@pytest.fixture
async def redis() -> AsyncIterator[Server]:
    async with server() as alone:
        yield alone


@pytest.fixture
async def one(redis: Server) -> AsyncIterator[Replica]:
    async with replica(redis.port) as one:
        yield one


@pytest.fixture
async def other(redis: Server) -> AsyncIterator[Replica]:
    async with replica(redis.port) as other:
        yield other


def lock_of(one: Replica) -> str:
    """The key of the lock of what it asks."""
    assert isinstance(one.locks, RedisLocks)
    return one.locks.key(lock_name(one.errand.key, one.errand.asked))


@pytest.mark.heavy
async def test_replicas_meet_in_a_cluster_too() -> None:
    async with cluster() as nodes:
        place = read_place(f"redis+cluster://127.0.0.1:{nodes[0].port}")
        async with replica(place) as one, replica(place) as other:
            one.listen()
            call = await one.call()
            follower = other.listen()
            await one.followed()
            call.answer()
            call.send(b"a")
            await follower.until(b"a")
            call.end()
            assert await follower.end() == b"a"


@pytest.mark.parametrize("value", ["", "no such thing", "one:xyz", "one:00", ":" + "00" * 16])
async def test_a_lock_that_says_nothing_of_use_is_left_alone(
    redis: Server, one: Replica, value: str
) -> None:
    lock = lock_of(one)
    await redis.say("SET", lock, value)
    one.listen()
    await one.call()
    assert one.relay.counts.alone == 1
    assert (await redis.say("GET", lock)).strip() == value


async def test_with_redis_away_a_flight_asks_at_once_and_alone() -> None:
    async with replica(1, operation_s=0.05) as one:
        assert not one.relay.post.is_open
        sent = one.link.redis.sent
        one.listen()
        await one.call()
        assert one.link.redis.sent == sent
        assert [is_open for is_open, _ in one.told] == [False]


async def test_a_redis_that_dies_lets_those_ask_who_have_heard_nothing_yet(
    redis: Server, one: Replica, other: Replica
) -> None:
    leader = one.listen()
    call = await one.call()
    follower = other.listen()
    await one.followed()
    await redis.kill()
    own = await other.call()
    for each in (call, own):
        each.answer()
        each.send(b"whole")
        each.end()
    assert await leader.end() == await follower.end() == b"whole"


async def test_a_redis_that_hangs_breaks_off_what_comes_by_it_and_nothing_else(
    redis: Server,
) -> None:
    async with (
        replica(redis.port, operation_s=1.0, beat_s=0.05) as one,
        replica(redis.port, operation_s=1.0, silent_s=1.0) as other,
    ):
        leader = one.listen()
        call = await one.call()
        follower = other.listen()
        await one.followed()
        call.answer()
        call.send(b"half")
        await follower.until(b"half")
        redis.signal(signal.SIGSTOP)
        call.send(b" and half")
        await leader.until(b"half and half")
        with pytest.raises(BrokenReply):
            await follower.end()
        call.end()
        assert await leader.end() == b"half and half"
        redis.signal(signal.SIGCONT)


async def test_a_redis_that_hangs_for_a_moment_breaks_nothing_off(redis: Server) -> None:
    async with (
        replica(redis.port, operation_s=0.2, answer_s=20.0) as one,
        replica(redis.port, operation_s=0.2) as other,
    ):
        one.listen()
        call = await one.call()
        follower = other.listen()
        await one.followed()
        call.answer()
        call.send(b"a")
        await follower.until(b"a")
        redis.signal(signal.SIGSTOP)
        late = one.link.redis.late
        call.send(b"b")
        await until(lambda: one.link.redis.late > late)
        redis.signal(signal.SIGCONT)
        call.send(b"c")
        call.end()
        assert await follower.end() == b"abc"


async def test_who_has_lost_his_mailbox_is_told_no_more_and_breaks_off(
    redis: Server,
) -> None:
    async with (
        replica(redis.port, beat_s=0.05) as one,
        replica(redis.port, silent_s=1.0) as other,
    ):
        one.listen()
        call = await one.call()
        follower = other.listen()
        await one.followed()
        call.answer()
        call.send(b"a")
        await follower.until(b"a")
        await redis.say("DEL", "sidecache:{fleet}:post:" + other.relay.post.owner)
        call.send(b"b")
        await one.followed(by=0)
        with pytest.raises(BrokenReply, match="silent"):
            await follower.end()


@pytest.mark.parametrize("keys", [{}, {3: b"k" * 32, 1: b"j" * 32}])
async def test_with_keys_nothing_of_an_answer_is_in_clear_in_redis(
    redis: Server, keys: dict[int, bytes]
) -> None:
    async with (
        replica(redis.port, keys=keys) as one,
        replica(redis.port, keys=dict(reversed(keys.items()))) as other,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", redis.port)
        writer.write(b"MONITOR\r\n")
        await reader.readuntil(b"\n")
        one.listen()
        call = await one.call()
        follower = other.listen()
        await one.followed()
        call.answer(Head(200, "OK", Headers([("X-Secret", "canary")])))
        call.send(b"canary")
        call.end()
        assert await follower.end() == b"canary"
        assert follower.boarding.head.headers.get("x-secret") == "canary"
        await redis.say("PING")
        seen = await reader.readuntil(b'"PING"')
        assert b"XADD" in seen
        assert (b"canary" in seen) is not bool(keys)
        writer.close()


async def test_who_has_just_waited_for_redis_in_vain_does_not_wait_for_a_lock(
    redis: Server,
) -> None:
    async with replica(redis.port, operation_s=0.2) as one:
        redis.signal(signal.SIGSTOP)
        try:
            with pytest.raises(TierError):
                await one.link.redis.ask(command.get("sidecache:"))
            assert one.link.redis.doubtful
            late = one.link.redis.late
            one.listen()
            await one.call()
            assert one.link.redis.late == late
        finally:
            redis.signal(signal.SIGCONT)
        await until(lambda: not one.link.redis.doubtful)
