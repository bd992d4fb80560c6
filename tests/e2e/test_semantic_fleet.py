"""Two replicas that share one index in Redis: what one was told, the other finds in other words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import Any

from support.proxied import Proxied, proxied
from support.redis_servers import Server
from support.scene import Scene
from support.scripted import ScriptedUpstream
from support.vector_servers import vector_redis
from support.worded import (
    ALIKE,
    ALIKE_TOO,
    ASKED,
    HIT,
    NGRAM,
    answering,
    asked_once,
    learned,
    numbered,
    ready,
    told,
)

Json = dict[str, Any]

MARGIN_S = 5.0


class Fleet:
    """Two scenes before one backend, and the Redis they share."""

    def __init__(self, up: ScriptedUpstream, redis: Server, one: Proxied, other: Proxied) -> None:
        self.up = up
        self.redis = redis
        self.one = Scene(up, one)
        self.other = Scene(up, other)


@asynccontextmanager
async def fleet(*, redis_s: float = 10.0) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(vector_redis())
        up = await stack.enter_async_context(ScriptedUpstream())
        given: Json = {
            "l2_redis": {
                "url": f"redis://127.0.0.1:{redis.port}/0",
                "timeout_s": redis_s,
                "connect_timeout_s": redis_s,
            },
            "cache": {"scope": {"secret": "the same for all replicas"}},
            "semantic": {**NGRAM, "index": {"kind": "redis-vectors", "timeout_s": redis_s}},
        }
        one, other = [
            await stack.enter_async_context(proxied({"url": up.url, "id": "b"}, **given))
            for _ in range(2)
        ]
        both = Fleet(up, redis, one, other)
        for s in (both.one, both.other):
            stack.callback(s.leave)
            await ready(s.proxy)
        answering(both.one, numbered)
        yield both


async def shared(f: Fleet) -> None:
    """Return once the one has written all it has to the Redis."""
    await learned(f.one.proxy)
    behind = f.one.proxy.store.behind
    assert behind is not None
    await behind.flush()


async def test_what_one_was_answered_the_other_finds_in_other_words() -> None:
    async with fleet() as f:
        first = await asked_once(f.one)
        await shared(f)
        reply = await f.other.whole(text=ALIKE)
        assert (told(reply), reply.body) == (HIT, first.body)
        assert reply.get("X-Cache-Tier") == "l2_redis"
        assert told(await f.one.whole(text=ALIKE_TOO)) == HIT
        assert f.up.calls == 1


async def test_another_caller_of_another_replica_finds_nothing() -> None:
    async with fleet() as f:
        await asked_once(f.one)
        await shared(f)
        reply = await f.other.whole(text=ALIKE, headers="X-Cache-Namespace: b\r\n")
        assert reply.get("X-Cache") == "MISS"
        assert f.up.calls == 2


async def test_a_redis_that_is_killed_costs_hits_and_no_request() -> None:
    async with fleet(redis_s=0.2) as f:
        await asked_once(f.one)
        await f.redis.kill()
        for s in (f.one, f.other):
            for text in (ALIKE, ALIKE_TOO, ASKED, "Where can I find my invoices?"):
                began = monotonic()
                reply = await s.whole(text=text)
                assert reply.status == 200
                assert monotonic() - began < MARGIN_S
            await learned(s.proxy)
