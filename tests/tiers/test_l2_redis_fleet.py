"""The Redis tier on a cluster and behind sentinels, while servers hang, die and hand over."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
from support.cranked import Clock
from support.redis_servers import Server, cluster, needs_redis, watched
from support.redis_tiers import HERE, Scene, redis_tier
from support.tier_contract import KEY, TierContract, entry, same

from proxy.link.place import Place, read_place
from proxy.link.redis import Standing
from proxy.model.entry import CacheKey, Lifetime
from proxy.model.errors import TierError
from proxy.tiers import l2_redis
from proxy.tiers.base import Tier

pytestmark = [needs_redis, pytest.mark.heavy, pytest.mark.timeout(300)]

KEYS = [CacheKey("scope", i.to_bytes(4) * 8) for i in range(300)]
LONG = Lifetime(1e6)


@pytest.fixture
async def nodes() -> AsyncIterator[list[Server]]:
    async with cluster() as three:
        yield three


def at(nodes: list[Server], login: str = "") -> Place:
    hosts = ",".join(f"{HERE}:{node.port}" for node in nodes)
    return read_place(f"redis+cluster://{login}{hosts}")


async def fill(scene: Scene) -> None:
    """All keys are there, however often a busy machine kept the servers from answering in time."""
    for key in KEYS:
        while True:
            try:
                assert await scene.tier.put(entry(key, key.digest, lifetime=LONG))
                break
            except TierError:
                await scene.until(Standing.ON, lambda: scene.tier.get(KEY))


async def read_all(scene: Scene) -> int:
    """How many of the keys were found; none may be wrong, and nothing but a TierError raised."""
    found = 0
    for key in KEYS:
        try:
            answer = await scene.tier.get(key)
        except TierError:
            continue
        found += answer is not None
        assert answer is None or answer.body == key.digest
    return found


class TestACluster(TierContract):
    """Under the ACL of the tier's own documentation, too."""

    @pytest.fixture
    async def tier(self, clock: Clock, nodes: list[Server]) -> AsyncIterator[Tier]:
        assert l2_redis.__doc__ is not None
        (line,) = [line for line in l2_redis.__doc__.split("\n") if "ACL SETUSER" in line]
        more = "+cluster|slots +command +asking"
        assert f"on a cluster ``{more}``" in l2_redis.__doc__
        for node in nodes:
            assert await node.say(*line.split(), *more.split()) == "OK\n"
        async with redis_tier(at(nodes, "sidecache:PASSWORD@"), clock) as scene:
            assert scene.reports == []
            yield scene.tier
        for node in nodes:
            assert "NOPERM" not in await node.say("INFO", "errorstats")


async def test_clearing_a_cluster_takes_what_has_the_prefix_from_every_node(
    nodes: list[Server],
) -> None:
    async with redis_tier(at(nodes[:1])) as scene:
        await fill(scene)
        async with redis_tier(at(nodes), prefix="other:") as other:
            await fill(other)
            assert min([int(await node.say("DBSIZE")) for node in nodes]) > 100
            await scene.tier.clear()
            assert sum([int(await node.say("DBSIZE")) for node in nodes]) == len(KEYS)
            assert await read_all(other) == len(KEYS)
        assert await read_all(scene) == 0


async def test_slots_that_move_while_they_are_read_are_followed(nodes: list[Server]) -> None:
    async with redis_tier(at(nodes)) as scene:
        await fill(scene)
        giver, taker = [(await node.say("CLUSTER", "MYID")).strip() for node in nodes[:2]]
        moving = await asyncio.create_subprocess_exec(
            "redis-cli", "--cluster", "reshard", f"{HERE}:{nodes[0].port}", "--cluster-from", giver,
            "--cluster-to", taker, "--cluster-slots", "1000", "--cluster-yes",
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        while moving.returncode is None:
            await read_all(scene)
        assert await moving.wait() == 0
        await scene.until(Standing.ON, lambda: scene.tier.get(KEY))
        assert await read_all(scene) == len(KEYS)


async def test_a_node_that_hangs_is_survived_and_used_again(nodes: list[Server]) -> None:
    async with redis_tier(at(nodes), operation_s=0.5) as scene:
        await fill(scene)
        nodes[1].signal(signal.SIGSTOP)
        await scene.until(Standing.OFF, lambda: read_all(scene))
        nodes[1].signal(signal.SIGCONT)
        await scene.until(Standing.ON, lambda: scene.tier.get(KEY))
        async with asyncio.timeout(30):
            while await read_all(scene) < len(KEYS):
                await scene.until(Standing.ON, lambda: scene.tier.get(KEY))


async def test_after_a_failover_the_new_master_is_found(clock: Clock) -> None:
    async with watched() as scene:
        hosts = ",".join(f"{HERE}:{sentinel.port}" for sentinel in scene.sentinels)
        place = read_place(f"redis+sentinel://{hosts}/{scene.service}")
        async with redis_tier(place, clock) as tiers:
            await tiers.tier.put(entry())
            assert same(await tiers.tier.get(KEY), entry())
            assert await scene.master.say("DBSIZE") == "1\n"
            assert tiers.reports == []
            await scene.master.kill()
            await tiers.until(Standing.OFF, lambda: tiers.tier.get(KEY))
            await tiers.until(Standing.ON, lambda: tiers.tier.get(KEY))
            later = entry(body=b"later", stored_at=clock(), lifetime=LONG)
            await tiers.tier.put(later)
            assert same(await tiers.tier.get(KEY), later)
            assert tiers.standings == [Standing.OFF, Standing.ON]
            assert "role:master" in await scene.replica.say("INFO", "replication")


@pytest.fixture
def clock() -> Clock:
    return Clock()
