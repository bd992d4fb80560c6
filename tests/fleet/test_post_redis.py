"""Mailboxes in a real Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import monotonic

import pytest
from support.post_contract import Box, PostContract
from support.redis_links import PATIENT_S, Link
from support.redis_servers import Server, needs_redis, server
from support.replicas import until

from proxy.fleet.post_redis import RedisPost
from proxy.model.errors import TierError

pytestmark = needs_redis

BOX = "sidecache:{fleet}:post:"


class RedisBox(Box):
    """A mailbox with somebody who reads it."""

    def __init__(self, port: int, operation_s: float) -> None:
        super().__init__()
        self.link = Link(port, operation_s=operation_s)
        self.clock_ahead = 0.0
        self.post: RedisPost = RedisPost(
            self.link.redis,
            prefix="sidecache:",
            clock=lambda: monotonic() + self.clock_ahead,
            report=lambda trouble: self.told.append((trouble is None, str(trouble or ""))),
        )


@pytest.fixture
async def redis() -> AsyncIterator[Server]:
    async with server() as alone:
        yield alone


@asynccontextmanager
async def box(port: int, *, operation_s: float = PATIENT_S) -> AsyncIterator[RedisBox]:
    own = RedisBox(port, operation_s)
    await own.link.redis.start()
    await own.post.start(own)
    try:
        yield own
    finally:
        await own.post.close()
        await own.link.redis.close()


class TestRedisPost(PostContract):
    @pytest.fixture(autouse=True)
    def _given(self, redis: Server) -> None:
        self.redis = redis

    def box(self) -> AbstractAsyncContextManager[Box]:
        return box(self.redis.port)


async def test_letters_come_in_their_order_and_the_box_is_gone_with_its_owner(
    redis: Server,
) -> None:
    async with box(redis.port) as one, box(redis.port) as other:
        assert one.post.is_open
        letters = [b"%d" % number for number in range(500)] + [b"\x00\xff"]
        for letter in letters:
            assert await one.post.send(other.post.owner, letter)
        await other.got(*letters)
        assert one.letters == []
        assert (one.post.sent, other.post.received) == (501, 501)
        assert one.post.sent_bytes == sum(map(len, letters))
    assert await redis.say("KEYS", "*") == "\n"
    assert one.told == [(True, "")]


async def test_who_has_no_box_gets_none_made_by_others(redis: Server) -> None:
    async with box(redis.port) as one:
        assert not await one.post.send("gone", b"letter")
        assert await redis.say("EXISTS", BOX + "gone") == "0\n"


async def test_what_was_read_is_dropped_and_the_box_dies_soon_after_its_owner(
    redis: Server,
) -> None:
    async with box(redis.port) as one:
        own = BOX + one.post.owner
        assert 0 < int(await redis.say("PTTL", own)) <= 10_000
        for number in range(3):
            await one.post.send(one.post.owner, b"%d" % number)
        await one.got(b"0", b"1", b"2")
        one.clock_ahead = 2.0  # time to renew, once something comes
        await one.post.send(one.post.owner, b"3")
        async with asyncio.timeout(20):
            while await redis.say("XLEN", own) != "1\n":  # the last that was read marks the place
                pass


async def test_a_box_that_was_lost_is_made_again(redis: Server) -> None:
    async with box(redis.port) as one:
        await redis.say("DEL", BOX + one.post.owner)
        async with asyncio.timeout(20):
            while not await one.post.send(one.post.owner, b"letter"):
                pass
        await one.got(b"letter")


async def test_a_redis_that_was_away_is_used_again(redis: Server) -> None:
    async with box(redis.port, operation_s=0.5) as one:
        await redis.kill()
        await until(lambda: not one.post.is_open)
        assert one.cuts >= 1
        with pytest.raises(TierError):
            await one.post.send(one.post.owner, b"letter")
        await redis.start()
        async with asyncio.timeout(20):
            while not one.post.is_open:
                one.link.clock.turn(2.0)
                await asyncio.sleep(0.005)  # a probe is under way, in real time
        assert await one.post.send(one.post.owner, b"letter")
        await one.got(b"letter")
        assert [is_open for is_open, _ in one.told] == [True, False, True]


async def test_with_redis_away_or_hanging_it_starts_all_the_same(redis: Server) -> None:
    async with box(1, operation_s=0.05) as nowhere:
        assert not nowhere.post.is_open
    redis.signal(signal.SIGSTOP)
    async with box(redis.port, operation_s=0.05) as hanging:
        assert not hanging.post.is_open
        assert [is_open for is_open, _ in hanging.told] == [False]
    redis.signal(signal.SIGCONT)


async def test_a_redis_that_does_not_allow_it_is_told_once_and_left_alone(redis: Server) -> None:
    await redis.say("ACL", "SETUSER", "default", "-xadd")
    async with box(redis.port) as one:
        assert not one.post.is_open
        ((is_open, why),) = one.told
        assert not is_open
        assert "xadd" in why.lower()
        assert one.link.redis.standing == "on"
