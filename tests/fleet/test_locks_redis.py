"""Locks in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.locks_contract import NAME, LocksContract
from support.redis_links import Link, refused
from support.redis_servers import Server, needs_redis, server

from proxy.fleet.locks_redis import RedisLocks

pytestmark = needs_redis


class TestRedisLocks(LocksContract):
    @pytest.fixture
    async def redis(self) -> AsyncIterator[Server]:
        async with server() as alone:
            yield alone

    @pytest.fixture
    async def link(self, redis: Server) -> AsyncIterator[Link]:
        link = Link(redis.port)
        await link.redis.start()
        yield link
        await link.redis.close()

    @pytest.fixture
    def locks(self, link: Link) -> RedisLocks:
        return RedisLocks(link.redis, "sidecache:", lease_s=0.5)

    async def test_the_key_says_which_question_and_form(self, locks: RedisLocks) -> None:
        assert locks.key(NAME) == "sidecache:{fleet}:flight:" + "6b" * 32 + ":2"


async def test_with_redis_away_nothing_can_be_said() -> None:
    link = Link(1, operation_s=0.05)
    locks = RedisLocks(link.redis, "sidecache:")
    await link.redis.start()
    assert locks.doubtful
    await refused(locks.holder(NAME))
    locks.close()
    await link.redis.close()
