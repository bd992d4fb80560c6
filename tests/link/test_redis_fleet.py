"""Waiting for entries on a cluster and behind sentinels."""

from __future__ import annotations

import asyncio

import pytest
from support.redis_links import HERE, redis_link, refused
from support.redis_servers import cluster, needs_redis, watched

from proxy.link import command, commands
from proxy.link.place import read_place
from proxy.link.redis import Standing
from proxy.tiers import l2_redis

pytestmark = [needs_redis, pytest.mark.heavy, pytest.mark.timeout(300)]

TAGS = [f"sidecache:{{{number}}}" for number in range(30)]


async def test_on_a_cluster_whoever_keeps_the_streams_is_asked_and_moves_are_followed() -> None:
    """Under the ACL of the documentation, too."""
    assert l2_redis.__doc__ is not None
    assert commands.__doc__ is not None
    (line,) = [line for line in l2_redis.__doc__.split("\n") if "ACL SETUSER" in line]
    more = "+xadd +xread +xrange +xtrim +pexpire +pttl +sadd +srem +smembers"
    assert f"``{more}``" in commands.__doc__
    async with cluster() as nodes:
        for node in nodes:
            words = f"{line} {more} +cluster|slots +command +asking".split()
            assert await node.say(*words) == "OK\n"
        place = read_place(f"redis+cluster://sidecache:PASSWORD@{HERE}:{nodes[0].port}")

        async def write_all(number: int) -> None:
            for tag in TAGS:
                await link.redis.ask(command.append(tag, f"{number}-0", {b"a": b"b"}))

        async def hear_all(after: int) -> None:
            for tag in TAGS:
                found = await link.redis.wait([(tag + "none", "$"), (tag, f"{after}-0")], 5.0, 9)
                assert found == [(tag, [(b"%d-0" % (after + 1), {b"a": b"b"})])]

        async with redis_link(place) as link:
            await write_all(1)
            await hear_all(0)
            assert min([await node.commands("xread") for node in nodes]) > 0
            assert await nodes[0].commands("command|getkeys") == 0

            giver, taker = [(await node.say("CLUSTER", "MYID")).strip() for node in nodes[:2]]
            moving = await asyncio.create_subprocess_exec(
                "redis-cli", "--cluster", "reshard", f"{HERE}:{nodes[0].port}", "--cluster-from",
                giver, "--cluster-to", taker, "--cluster-slots", "5461", "--cluster-yes",
                stdout=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            assert await moving.wait() == 0
            await write_all(2)
            await hear_all(1)
            assert link.redis.failed == 0
            for node in nodes:
                assert "NOPERM" not in await node.say("INFO", "errorstats")


async def test_who_waits_hears_of_what_the_new_master_is_told_after_a_failover() -> None:
    async with watched() as scene:
        hosts = ",".join(f"{HERE}:{sentinel.port}" for sentinel in scene.sentinels)
        place = read_place(f"redis+sentinel://{hosts}/{scene.service}")
        key = TAGS[0]
        async with redis_link(place) as link, asyncio.TaskGroup() as group:
            waiting = group.create_task(refused(link.redis.wait([(key, "$")], 20.0, 1)))
            await scene.master.blocked(1)
            await scene.master.kill()
            await waiting

            async def get() -> object:
                return await link.redis.ask(command.get(key))

            await link.until(Standing.OFF, get)
            await link.until(Standing.ON, get)
            await link.redis.ask(command.append(key, "1-0", {b"a": b"b"}), rests=False)
            assert await link.redis.wait([(key, "0")], 20.0, 1) == [(key, [(b"1-0", {b"a": b"b"})])]
