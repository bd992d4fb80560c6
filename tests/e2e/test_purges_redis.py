"""Purges by replicas that share a Redis: obeyed by all before they are answered, and for good."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import openai
import pytest
from support.openai_backend import OpenAIBackend
from support.operating import ADMIN, obeyed_by_all, purge, purged
from support.proxied import Proxied, proxied
from support.redis_servers import HERE, Server, needs_redis, server, watched
from support.sdk_caller import Caller, chat
from support.sharing import in_redis, on_disk, replica, tagging
from support.started import started

pytestmark = needs_redis

Json = dict[str, Any]
LIMIT_S = 30.0  # for what is bound to come


def shared(redis: Server, folder: Path | None = None) -> Json:
    """Settings of a replica; answers are kept on disk as well where there is a folder."""
    url = f"redis://{HERE}:{redis.port}"
    disk = {"enabled": folder is not None, "directory": str(folder), "read_timeout_s": 5}
    return {
        **ADMIN,
        "l2_redis": {"url": url, "timeout_s": 1, "connect_timeout_s": 5},
        "l2_disk": disk if folder else {"enabled": False},
        "cache": {"scope": {"secret": "the same for all replicas"}},
    }


async def written(proxy: Proxied) -> None:
    """Wait until Redis has all that was stored."""
    assert proxy.store.behind is not None
    await proxy.store.behind.flush()


async def stored(caller: Caller, text: str) -> bool:
    """Whether there is an answer that may be served; nobody but the cache is asked."""
    try:
        await caller.ask(chat(text, extra_headers={"Cache-Control": "only-if-cached"}))
    except openai.APIStatusError as error:
        if error.status_code != 504:
            raise
        return False
    return True


async def until_stored(caller: Caller, text: str, *, is_it: bool = True) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await stored(caller, text) is not is_it:
            pass


# -- all is well ----------------------------------------------------------------------------------


async def test_the_very_next_request_elsewhere_is_a_miss_a_hundred_times_in_a_row() -> None:
    async with (
        server() as redis,
        tagging() as up,
        replica(up, in_redis(redis.port)) as one,
        replica(up, in_redis(redis.port)) as other,
    ):
        for number in range(50):
            for here, there in ((one, other), (other, one)):
                text = f"{number} {here is one}"
                assert await here.ask(text) == "MISS"
                await there.ask(text)
                assert await there.ask(text) == "HIT"
                await purged(here.admin, "tag", text)
                assert await there.ask(text) == "MISS"


async def test_what_was_purged_is_found_in_no_tier_of_any_replica_old_or_new(
    tmp_path: Path, backend: OpenAIBackend
) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    async with server() as redis:
        settings = [shared(redis, folder) for folder in folders]
        async with (
            proxied(backend.url, **settings[0]) as one,
            proxied(backend.url, **settings[1]) as other,
            Caller(one) as here,
            Caller(other) as there,
        ):
            backend.headers = {"Cache-Tag": "doc:1"}
            await here.ask(chat("purged"))
            backend.headers = {}
            _, spared = await here.ask(chat("spared"))
            await written(one)
            assert (await there.ask(chat("purged")))[0] == "HIT"
            assert await there.ask(chat("spared")) == ("HIT", spared)

            await purged(one.admin_url, "tag", "doc:1")
            assert not await stored(here, "purged")
            assert not await stored(there, "purged")
            assert await stored(here, "spared")
            assert await stored(there, "spared")
        for each in [*settings, shared(redis)]:  # from disk, and from Redis
            async with proxied(backend.url, **each) as proxy, Caller(proxy) as caller:
                assert await stored(caller, "spared")
                assert not await stored(caller, "purged")


@pytest.mark.parametrize("value", ["m", "another model"])
async def test_who_asks_elsewhere_after_a_purge_does_not_join_a_call_from_before_it(
    value: str, backend: OpenAIBackend
) -> None:
    async with (
        server() as redis,
        proxied(backend.url, **shared(redis)) as one,
        proxied(backend.url, **shared(redis)) as other,
        Caller(one) as here,
        Caller(other) as there,
    ):
        backend.hold()
        before = started(here.ask(chat()))
        await backend.was_asked(1)
        await purged(other.admin_url, "model", value)
        after = started(there.ask(chat()))
        await backend.was_asked(2)  # whatever was purged: what the call is about shows at its end
        backend.release()
        (_, old), (verdict, new) = await before, await after
        assert verdict == "MISS"
        assert new.id != old.id
        assert await there.ask(chat()) == ("HIT", new)
        _, heard = await here.ask(chat())
        assert value != "m" or heard.id != old.id


async def test_a_purge_holds_elsewhere_though_its_replica_is_killed_right_after() -> None:
    async with (
        server() as redis,
        tagging() as up,
        replica(up, in_redis(redis.port)) as one,
        replica(up, in_redis(redis.port)) as other,
    ):
        assert await one.ask("a") == "MISS"
        await other.ask("a")
        await purged(one.admin, "tag", "a")
        one.process.signal(signal.SIGKILL)
        assert await other.ask("a", stored=True) == "ERROR"


# -- a replica hangs ------------------------------------------------------------------------------


async def test_a_replica_that_hangs_is_named_and_obeys_soon_after_it_goes_on() -> None:
    async with (
        server() as redis,
        tagging() as up,
        replica(up, in_redis(redis.port)) as one,
        replica(up, in_redis(redis.port)) as other,
    ):
        assert await one.ask("a") == "MISS"
        await other.ask("a")
        names = (await redis.say("SMEMBERS", "sidecache:{fleet}:replicas")).split()
        other.process.signal(signal.SIGSTOP)
        answer = await purge(one.admin, "tag", "a")
        assert (answer.status, answer.said["trouble"]) == (202, "")
        assert len(answer.absent) == 1
        assert answer.absent[0] in {name.partition("#")[0] for name in names}
        assert await one.ask("a", stored=True) == "ERROR"  # here it holds all the same

        other.process.signal(signal.SIGCONT)
        # What it says first may be what it had. The next purge that all obey covers the rest.
        await obeyed_by_all(one.admin)
        assert await other.ask("a", stored=True) == "ERROR"


# -- Redis is away --------------------------------------------------------------------------------


async def test_while_redis_hangs_a_purge_holds_here_and_elsewhere_once_it_is_back(
    backend: OpenAIBackend,
) -> None:
    async with (
        server() as redis,
        proxied(backend.url, **shared(redis)) as one,
        proxied(backend.url, **shared(redis)) as other,
        Caller(one) as here,
        Caller(other) as there,
    ):
        await here.ask(chat("purged"))
        await there.ask(chat("purged"))
        await there.ask(chat("spared", model="n"))
        redis.signal(signal.SIGSTOP)
        answer = await purge(one.admin_url, "model", "m")
        assert answer.status == 202
        assert "redis was not told yet" in answer.said["trouble"]
        assert not await stored(here, "purged")
        assert await stored(there, "purged")  # as was said

        redis.signal(signal.SIGCONT)
        await until_stored(there, "purged", is_it=False)
        assert (await there.ask(chat("spared", model="n")))[0] == "HIT"


async def test_what_was_purged_stays_purged_if_redis_dies_and_comes_back_empty(
    tmp_path: Path, backend: OpenAIBackend
) -> None:
    async with server() as redis:
        settings = shared(redis, tmp_path / "kept")
        async with (
            proxied(backend.url, **settings) as one,
            proxied(backend.url, **shared(redis)) as other,
            Caller(one) as here,
            Caller(other) as there,
        ):
            await here.ask(chat("purged", model="n"))
            await here.ask(chat("spared"))
            await there.ask(chat("spared"))
            await purged(one.admin_url, "model", "n")
            await redis.kill()
            await redis.start()
            await obeyed_by_all(one.admin_url)
            for caller in (here, there):
                assert await stored(caller, "spared")
            assert (await here.ask(chat("purged", model="n")))[0] == "MISS"
        async with proxied(backend.url, **settings) as one, Caller(one) as here:
            assert await stored(here, "spared")  # the journal is whole again


async def test_if_the_journal_is_lost_with_all_replicas_nothing_from_before_is_served(
    tmp_path: Path, backend: OpenAIBackend
) -> None:
    async with server() as redis:
        settings = shared(redis, tmp_path / "kept")
        async with proxied(backend.url, **settings) as proxy, Caller(proxy) as caller:
            await caller.ask(chat())
        await redis.kill()
        await redis.start()
        async with proxied(backend.url, **settings) as proxy, Caller(proxy) as caller:
            assert (await caller.ask(chat()))[0] == "MISS"
            assert (await caller.ask(chat()))[0] == "HIT"


async def test_what_was_on_disk_at_the_start_is_served_only_once_redis_says_what_was_purged(
    tmp_path: Path, backend: OpenAIBackend
) -> None:
    async with server() as redis:
        settings = shared(redis, tmp_path / "kept")
        async with proxied(backend.url, **shared(redis)) as other:
            async with proxied(backend.url, **settings) as proxy, Caller(proxy) as caller:
                await caller.ask(chat("purged", model="n"))
                await caller.ask(chat("spared"))
            await purged(other.admin_url, "model", "n")
            redis.signal(signal.SIGSTOP)
            async with proxied(backend.url, **settings) as proxy, Caller(proxy) as caller:
                assert not await stored(caller, "spared")
                assert (await caller.ask(chat("new")))[0] == "MISS"
                assert (await caller.ask(chat("new")))[0] == "HIT"
                redis.signal(signal.SIGCONT)
                await until_stored(caller, "spared")
                assert (await caller.ask(chat("purged", model="n")))[0] == "MISS"


@pytest.mark.parametrize("first", ["alone", "with Redis"])
async def test_a_replica_that_joins_or_leaves_redis_leaves_behind_what_it_had_on_disk(
    first: str, tmp_path: Path, backend: OpenAIBackend
) -> None:
    async with server() as redis:
        joined = shared(redis, tmp_path / "kept")
        alone = joined | {"l2_redis": {}}
        before, after = (alone, joined) if first == "alone" else (joined, alone)
        for each in (after, before):  # both journals have begun
            async with proxied(backend.url, **each):
                pass
        async with proxied(backend.url, **before) as proxy, Caller(proxy) as caller:
            await caller.ask(chat("purged"))
            await purged(proxy.admin_url, "model", "m")
            await caller.ask(chat("kept", model="n"))
        async with proxied(backend.url, **after) as proxy, Caller(proxy) as caller:
            assert not await stored(caller, "purged")  # in a journal that is not read any more
        async with proxied(backend.url, **before) as proxy, Caller(proxy) as caller:
            assert (await caller.ask(chat("kept", model="n")))[0] == "HIT"


@pytest.mark.heavy
@pytest.mark.timeout(120)
async def test_a_purge_holds_through_a_failover_right_after_it(tmp_path: Path) -> None:
    async with watched() as redis, tagging() as up:
        hosts = ",".join(f"{HERE}:{each.port}" for each in redis.sentinels)
        settings = in_redis(f"redis+sentinel://{hosts}/{redis.service}")
        async with (
            replica(up, settings | on_disk(tmp_path / "one")) as one,
            replica(up, settings) as other,
        ):
            assert [await one.ask(text) for text in ("purged", "spared")] == ["MISS", "MISS"]
            await other.ask("purged")
            await purged(one.admin, "tag", "purged")
            await redis.master.kill()
            for each in (one, other):
                assert await each.ask("purged", stored=True) == "ERROR"
            await obeyed_by_all(one.admin)
            for each in (one, other):
                assert await each.ask("purged", stored=True) == "ERROR"
            async with replica(
                up, settings
            ) as new:  # from the new master, which may have missed it
                assert await new.ask("purged", stored=True) == "ERROR"
