"""What is done through every failure: each is told, and none is the end."""

from __future__ import annotations

import asyncio

from support.redis_links import redis_link
from support.redis_servers import needs_redis, server
from support.started import started

from proxy.link.persist import Unforeseen, persist
from proxy.model.errors import TierError

pytestmark = needs_redis


async def test_whatever_it_raises_is_told_and_it_is_done_again_until_redis_is_closed() -> None:
    failures: list[Exception] = [TierError("away"), RuntimeError("a bug")]
    told: list[TierError] = []
    again = asyncio.Event()

    async def work() -> None:
        if failures:
            raise failures.pop(0)
        again.set()
        raise TierError("the end")

    async with server() as redis, redis_link(redis.port) as link:
        task = started(persist(link.redis, work, told.append))
        async with asyncio.timeout(20):
            await again.wait()
            await link.redis.close()
            await task
    assert [type(each) for each in told] == [TierError, Unforeseen, TierError]
    assert isinstance(told[1].__cause__, RuntimeError)
