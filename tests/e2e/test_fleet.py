"""Two whole proxies before one backend: what is asked of both costs one call, heard live by all."""

from __future__ import annotations

import asyncio
import base64
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from support.proxied import Proxied, proxied
from support.raw_chat import DOCUMENT, JSON, STREAM, Listener, begin, question, stream
from support.raw_client import RawClient, RawResponse
from support.redis_servers import Server, needs_redis, server
from support.scripted import Call, ScriptedUpstream
from support.served import served

from proxy.model.purge import Kind, Purge

pytestmark = needs_redis

Json = dict[str, Any]


def shared(port: int, **more: Any) -> Json:
    """Settings of a replica that no machine is too slow for."""
    redis = {"url": f"redis://127.0.0.1:{port}/0", "timeout_s": 10.0, "connect_timeout_s": 10.0}
    return {
        "l2_redis": redis | more,
        "cache": {"scope": {"secret": "the same for all replicas"}},
    }


def patient(proxy: Proxied) -> None:
    """Have ``proxy`` wait for other replicas for as long as it takes."""
    assert proxy.relay is not None
    proxy.relay._answer_s = proxy.relay._silent_s = 20.0


class Fleet:
    """A backend, a Redis, and two proxies that share it; clients leave at the end."""

    def __init__(self, up: ScriptedUpstream, redis: Server, *proxies: Proxied) -> None:
        self.up = up
        self.redis = redis
        self.one, self.other = proxies
        self._clients: list[RawClient] = []

    async def ask(self, proxy: Proxied, **asked: Any) -> RawClient:
        client = await RawClient.connect(proxy.address)
        self._clients.append(client)
        await client.send(question(**asked))
        return client

    async def follow(self, **asked: Any) -> RawClient:
        """Ask the other what the one is asking, and return once it is followed."""
        client = await self.ask(self.other, **asked)
        relay = self.one.relay
        assert relay is not None
        await self.one.counted(lambda: len(relay._leader._guests) > 0)
        return client

    async def lead(self, **asked: Any) -> tuple[RawClient, Call]:
        """Ask the one, and what the backend gets of it."""
        client = await self.ask(self.one, **asked)
        return client, await self.up.next_call()

    def leave(self) -> None:
        for client in self._clients:
            client.close()


@asynccontextmanager
async def fleet(*options: str, **settings: Any) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(server(*options))
        up = await stack.enter_async_context(ScriptedUpstream())
        given = shared(redis.port) | settings
        proxies = [await stack.enter_async_context(proxied(up.url, **given)) for _ in range(2)]
        for each in proxies:
            patient(each)
        played = Fleet(up, redis, *proxies)
        stack.callback(played.leave)
        yield played


def told(response: RawResponse) -> tuple[str | None, str | None]:
    return response.get("X-Cache"), response.get("X-Cache-Reason")


async def test_a_stream_asked_of_two_replicas_is_one_call_and_heard_event_by_event() -> None:
    async with fleet() as f:
        leader, call = await f.lead(stream=True)
        follower = await f.follow(stream=True)
        await begin(call, STREAM[:1])
        assert told(await leader.head()) == ("MISS", "uri-miss")
        head = await follower.head()
        assert told(head) == ("COALESCED", "uri-miss")
        assert "collapsed" in (head.get("Cache-Status") or "")
        here, there = Listener(leader), Listener(follower)
        for before, event in pairwise(STREAM):
            await here.until(before)
            await there.until(before)  # while the backend holds the next one back
            await call.chunk(event)
        await call.end()
        assert await here.end() == await there.end() == b"".join(STREAM)

        again = await f.ask(f.other, stream=True)
        assert told(await again.response()) == ("HIT", "fresh")
        assert f.up.calls == 1


async def test_who_joins_in_the_middle_hears_what_came_before() -> None:
    async with fleet() as f:
        leader, call = await f.lead(stream=True)
        await begin(call, STREAM[:3])
        await leader.head()
        await Listener(leader).until(STREAM[2])
        follower = await f.follow(stream=True)
        await follower.head()
        there = Listener(follower)
        assert await there.until(STREAM[2]) == b"".join(STREAM[:3])
        for event in STREAM[3:]:
            await call.chunk(event)
        await call.end()
        assert await there.end() == b"".join(STREAM)
        assert f.up.calls == 1


async def test_a_document_asked_of_two_replicas_is_one_call() -> None:
    async with fleet() as f:
        leader, call = await f.lead()
        follower = await f.follow()
        await call.reply(200, [*JSON, ("X-Request-Id", "r1")], DOCUMENT)
        first, second = await leader.response(), await follower.response()
        assert first.body == second.body == DOCUMENT
        assert (first.get("X-Request-Id"), second.get("X-Request-Id")) == ("r1", None)
        assert second.get("Content-Length") == str(len(DOCUMENT))
        assert told(second) == ("COALESCED", "uri-miss")
        assert f.up.calls == 1


async def test_the_age_an_answer_came_with_counts_where_it_was_followed_too() -> None:
    async with fleet() as f:
        leader, call = await f.lead()
        follower = await f.follow()
        aged = [*JSON, ("Age", "100"), ("CDN-Cache-Control", "max-age=1000")]
        await call.reply(200, aged, DOCUMENT)
        assert (await leader.response()).get("Age") == "100"
        assert (await follower.response()).get("Age") is None
        stored = await (await f.ask(f.other)).response()
        assert told(stored) == ("HIT", "fresh")
        assert int(stored.get("Age") or 0) >= 100


async def test_callers_with_credentials_of_their_own_never_meet() -> None:
    async with fleet() as f:
        _, mine = await f.lead()
        client = await RawClient.connect(f.other.address)
        async with client:
            await client.send(question().replace(b"sk-one", b"sk-two"))
            theirs = await f.up.next_call()
            await theirs.reply(200, JSON, DOCUMENT)
            assert told(await client.response()) == ("MISS", "uri-miss")
        await mine.reply(200, JSON, DOCUMENT)


async def test_what_is_for_one_caller_is_asked_for_by_each() -> None:
    async with fleet() as f:
        leader, call = await f.lead()
        follower = await f.follow()
        await call.reply(200, [*JSON, ("Set-Cookie", "session=1")], DOCUMENT)
        own = await f.up.next_call()
        await own.reply(200, [*JSON, ("Set-Cookie", "session=2")], DOCUMENT)
        assert (await leader.response()).get("Set-Cookie") == "session=1"
        assert (await follower.response()).get("Set-Cookie") == "session=2"
        assert f.up.calls == 2


async def test_an_upstream_that_breaks_off_breaks_it_off_for_both() -> None:
    async with fleet() as f:
        leader, call = await f.lead(stream=True)
        follower = await f.follow(stream=True)
        await begin(call, STREAM[:2])
        for client in (leader, follower):
            await client.head()
            await Listener(client).until(STREAM[1])
        await call.reset()
        assert await leader.was_reset()
        assert await follower.was_reset()


async def test_an_upstream_that_does_not_answer_is_asked_once_for_both() -> None:
    async with fleet() as f:
        leader, call = await f.lead()
        follower = await f.follow()
        await call.reset()
        for client in (leader, follower):
            assert (await client.response()).status == 502
        assert f.up.calls == 1


async def test_what_was_purged_meanwhile_is_asked_for_anew() -> None:
    async with fleet() as f:
        leader, old = await f.lead()
        number = f.other.store.ledger.generation + 2**20
        f.other.store.ledger.enter(Purge(Kind.ALL), number, 0.0)
        follower = await f.ask(f.other)
        new = await f.up.next_call()
        await old.reply(200, JSON, DOCUMENT.replace(b"Because", b"Before"))
        await new.reply(200, JSON, DOCUMENT)
        assert b"Before" in (await leader.response()).body
        assert (await follower.response()).body == DOCUMENT


async def test_encrypted_replicas_share_flights_too() -> None:
    secret = base64.b64encode(b"0123456789abcdef" * 2).decode()
    async with fleet(storage={"encryption_keys": [{"id": 1, "secret": secret}]}) as f:
        _, call = await f.lead(stream=True)
        follower = await f.follow(stream=True)
        await stream(call)
        assert (await follower.response()).body == b"".join(STREAM)
        boxes = (await f.redis.say("KEYS", "*:post:*")).split()
        assert boxes
        for box in boxes:
            assert "Because" not in await f.redis.say("XRANGE", box, "-", "+")
        assert f.up.calls == 1


async def test_replicas_that_are_told_not_to_share_flights_ask_each_for_itself() -> None:
    async with (
        server() as redis,
        ScriptedUpstream() as up,
        proxied(up.url, **shared(redis.port, flights=False)) as one,
        await RawClient.connect(one.address) as client,
    ):
        assert one.relay is None
        await client.send(question())
        call = await up.next_call()
        assert await redis.say("KEYS", "*:post:*") == await redis.say("KEYS", "*:flight:*") == "\n"
        await call.reply(200, JSON, DOCUMENT)
        assert told(await client.response()) == ("MISS", "uri-miss")


async def test_a_redis_that_hangs_in_the_middle_is_felt_by_those_alone_who_hear_by_it() -> None:
    redis_settings = {"timeout_s": 0.5, "connect_timeout_s": 0.5}
    async with server() as redis:
        settings = shared(redis.port, **redis_settings)
        async with (
            ScriptedUpstream() as up,
            proxied(up.url, **settings) as one,
            proxied(up.url, **settings) as other,
        ):
            patient(other)
            assert one.relay is not None
            assert other.relay is not None
            one.relay._leader._beat_s, other.relay._silent_s = 0.05, 1.0
            f = Fleet(up, redis, one, other)
            leader, call = await f.lead(stream=True)
            follower = await f.follow(stream=True)
            await begin(call, STREAM[:2])
            here, there = Listener(leader), Listener(follower)
            for client, listener in ((leader, here), (follower, there)):
                await client.head()
                await listener.until(STREAM[1])
            redis.signal(signal.SIGSTOP)
            for event in STREAM[2:]:
                await call.chunk(event)
            await call.end()
            assert await here.end() == b"".join(STREAM)
            assert await follower.was_reset()
            redis.signal(signal.SIGCONT)
            f.leave()


async def test_a_leader_that_is_killed_breaks_off_what_it_told_and_leaves_nothing_behind() -> None:
    async with server() as redis, ScriptedUpstream() as up:
        settings = {
            "SIDECACHE_L2_REDIS__URL": f"redis://127.0.0.1:{redis.port}/0",
            "SIDECACHE_CACHE__SCOPE__SECRET": "the same for all replicas",
        }
        async with (
            served(up.url, **settings) as killed,
            proxied(up.url, **shared(redis.port)) as proxy,
            await RawClient.connect(killed.address) as leader,
            await RawClient.connect(proxy.address) as follower,
        ):
            assert proxy.relay is not None
            await leader.send(question(stream=True))
            call = await up.next_call()
            await begin(call, STREAM[:2])
            await leader.head()
            await Listener(leader).until(STREAM[1])
            proxy.relay._answer_s = 10.0
            await follower.send(question(stream=True))
            await follower.head()
            await Listener(follower).until(STREAM[1])

            killed.signal(signal.SIGKILL)
            await killed.ended()
            assert await follower.was_reset()

            proxy.relay._answer_s = 0.1  # nobody will answer
            up.answer_with(stream)
            async with await RawClient.connect(proxy.address) as next_client:
                await next_client.send(question(stream=True))
                whole = await next_client.response()
            assert told(whole) == ("MISS", "uri-miss")
            assert whole.body == b"".join(STREAM)
            async with asyncio.timeout(20):
                while await redis.say("KEYS", "sidecache:{fleet}:flight:*") != "\n":
                    pass


@pytest.mark.parametrize("asked", [{}, {"stream": True}])
async def test_without_redis_replicas_serve_as_if_they_were_alone(asked: Json) -> None:
    async with (
        ScriptedUpstream() as up,
        proxied(up.url, **shared(1)) as proxy,
        await RawClient.connect(proxy.address) as client,
    ):
        assert proxy.relay is not None
        up.answer_with(stream if asked else lambda call: call.reply(200, JSON, DOCUMENT))
        for verdict in ("MISS", "HIT"):
            await client.send(question(**asked))
            assert (await client.response()).get("X-Cache") == verdict
        assert (proxy.relay.counts.alone, proxy.relay.counts.led) == (1, 0)
