"""The index in vector sets, on a real Redis 8."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from time import monotonic

import pytest
import pytest_asyncio
from support.cranked import Clock
from support.index_contract import (
    DIMENSIONS,
    FINGERPRINT,
    HERE,
    LATER,
    START,
    THERE,
    IndexContract,
    key,
    keys,
    row,
    scattered,
    unit,
)
from support.redis_links import HERE as HOST
from support.redis_links import Link, redis_link
from support.redis_servers import Server
from support.vector_servers import vector_cluster, vector_redis

from proxy.link.place import read_place
from proxy.link.redis import Standing
from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from proxy.semantic.base import Index, Row
from proxy.semantic.index import redis_vectors
from proxy.semantic.index.redis_vectors import Quantization, RedisVectors
from proxy.tiers import l2_redis

BASE = f"sidecache:vs:{FINGERPRINT}:{DIMENSIONS}:q8:"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Server]:
    async with vector_redis() as alone:
        yield alone


@pytest.fixture
async def redis(shared: Server) -> Server:
    """One that holds nothing."""
    await shared.say("FLUSHALL")
    return shared


@pytest.fixture
async def link(redis: Server) -> AsyncIterator[Link]:
    async with redis_link(redis.port) as link:
        yield link


@pytest.fixture
async def opened(link: Link) -> RedisVectors:
    index = RedisVectors(link.redis, wall=Clock(START))
    await index.open(FINGERPRINT, DIMENSIONS)
    return index


class TestQ8(IndexContract):
    tolerance = 0.02  # a byte for each number

    @pytest.fixture
    async def index(self, link: Link, wall: Clock) -> Index:
        index = RedisVectors(link.redis, wall=wall)
        await index.open(FINGERPRINT, DIMENSIONS)
        return index


class TestUnquantized(IndexContract):
    @pytest.fixture
    async def index(self, link: Link, wall: Clock) -> Index:
        index = RedisVectors(link.redis, wall=wall, quantization=Quantization.NONE, prefix="p{1}:")
        await index.open(FINGERPRINT, DIMENSIONS)
        return index


class TestUnderTheNarrowAcl(IndexContract):
    """As the user that the documentation of the tier, and of the index, tells to set up."""

    tolerance = 0.02

    @pytest.fixture
    async def index(self, redis: Server, wall: Clock) -> AsyncIterator[Index]:
        assert l2_redis.__doc__ is not None
        assert redis_vectors.__doc__ is not None
        (line,) = [line for line in l2_redis.__doc__.split("\n") if "ACL SETUSER" in line]
        (more,) = [line for line in redis_vectors.__doc__.split("\n") if "+vadd" in line]
        await redis.say("ACL", "DELUSER", "sidecache")
        assert await redis.say(*line.split(), *more.split()) == "OK\n"
        await redis.say("CONFIG", "RESETSTAT")
        place = read_place(f"redis://sidecache:PASSWORD@{HOST}:{redis.port}")
        async with redis_link(place) as link:
            index = RedisVectors(link.redis, wall=wall)
            await index.open(FINGERPRINT, DIMENSIONS)
            yield index
        assert "NOPERM" not in await redis.say("INFO", "errorstats")


# -- what is kept ------------------------------------------------------------------------------


async def test_replicas_find_each_other_s_rows(redis: Server) -> None:
    async with redis_link(redis.port) as one, redis_link(redis.port) as two:
        indexes = [RedisVectors(link.redis, wall=Clock(START)) for link in (one, two)]
        await asyncio.gather(*(index.open(FINGERPRINT, DIMENSIONS) for index in indexes))
        await indexes[0].add([row(1, unit(1))])
        assert keys(await indexes[1].search(HERE, unit(1), 3)) == [key(1)]
        await indexes[1].remove(HERE, [key(1)])
        assert list(await indexes[0].search(HERE, unit(1), 3)) == []


async def test_a_set_lives_as_long_as_the_last_of_its_rows(
    opened: RedisVectors, redis: Server
) -> None:
    async def left_s() -> int:
        return int(await redis.say("PTTL", BASE + HERE.hex())) // 1000

    await opened.add([row(1, unit(1), expires=START + 600)])
    assert 590 <= await left_s() <= 600
    await opened.add([row(2, unit(1, 1), expires=START + 6000), row(3, unit(1, 2))])
    assert 5990 <= await left_s() <= 6000
    await opened.add([row(4, unit(1, 3), expires=START + 60)])
    assert 5980 <= await left_s() <= 6000


async def test_a_row_dead_on_arrival_takes_its_forerunner_with_it(
    opened: RedisVectors, redis: Server
) -> None:
    await opened.add([row(1, unit(1)), row(2, unit(1, 1))])
    await opened.add([row(1, unit(1), expires=START - 60)])
    assert keys(await opened.search(HERE, unit(1), 5)) == [key(2)]
    assert await redis.say("VCARD", BASE + HERE.hex()) == "1\n"


async def test_rows_past_their_time_are_dropped_while_others_are_added(
    link: Link, redis: Server
) -> None:
    wall = Clock(START)
    index = RedisVectors(link.redis, wall=wall)
    await index.open(FINGERPRINT, DIMENSIONS)
    vectors = scattered(400)
    for n in range(200):
        await index.add([row(n, vectors[n], expires=START + 60)])
    assert await redis.say("VCARD", BASE + HERE.hex()) == "200\n"
    wall.turn(61)
    for n in range(200, 400):
        await index.add([row(n, vectors[n])])
    # 1,600 draws from at most 400: that one row was never drawn has odds of some 1 in 50.
    assert 200 <= int(await redis.say("VCARD", BASE + HERE.hex())) <= 210


async def test_namespaces_spread_over_a_cluster_and_are_found_wherever_they_are() -> None:
    async with vector_cluster() as nodes:
        place = read_place(f"redis+cluster://{HOST}:{nodes[0].port}")
        async with redis_link(place) as link:
            index = RedisVectors(link.redis, wall=Clock(START))
            await index.open(FINGERPRINT, DIMENSIONS)
            spread = [bytes([n]) * 16 for n in range(30)]
            await index.add([row(n, unit(1, n), namespace=spread[n]) for n in range(30)])
            for n, namespace in enumerate(spread):
                assert keys(await index.search(namespace, unit(1), 3)) == [key(n)]
            assert "0\n" not in [await node.say("DBSIZE") for node in nodes]
            await index.remove(spread[0], [key(0)])
            assert list(await index.search(spread[0], unit(1), 3)) == []
            await index.clear()
            assert [await node.say("DBSIZE") for node in nodes] == ["0\n"] * 3
            assert link.redis.failed == 0


async def test_a_clearing_spares_what_others_keep(opened: RedisVectors, redis: Server) -> None:
    for name in ("sidecache:vs:other:16:q8:" + HERE.hex(), "sidecache:" + "a" * 64):
        await redis.say("SET", name, "theirs")
    await opened.add([row(1, unit(1)), row(2, unit(1), namespace=THERE)])
    assert await redis.say("DBSIZE") == "4\n"
    await opened.clear()
    assert await redis.say("DBSIZE") == "2\n"


async def test_another_quantization_is_kept_apart(opened: RedisVectors, link: Link) -> None:
    exact = RedisVectors(link.redis, wall=Clock(START), quantization=Quantization.NONE)
    await exact.open(FINGERPRINT, DIMENSIONS)
    await opened.add([row(1, unit(1))])
    await exact.add([row(2, unit(1))])
    assert keys(await opened.search(HERE, unit(1), 5)) == [key(1)]
    assert keys(await exact.search(HERE, unit(1), 5)) == [key(2)]


async def test_near_rows_are_found_among_many_that_are_past_their_time(link: Link) -> None:
    wall = Clock(START)
    index = RedisVectors(link.redis, wall=wall)
    await index.open(FINGERPRINT, DIMENSIONS)
    await index.add([row(n, unit(1, n / 100), expires=START + 60) for n in range(90)])
    await index.add([row(100, unit(0, 0, 1))])
    wall.turn(61)
    assert keys(await index.search(HERE, unit(1), 3)) == [key(100)]


# -- what goes wrong ---------------------------------------------------------------------------


async def test_nothing_is_asked_of_an_index_that_is_not_open(link: Link) -> None:
    index = RedisVectors(link.redis, wall=Clock(START))
    for asking in (
        index.add([row(1, unit(1))]),
        index.search(HERE, unit(1), 1),
        index.remove(HERE, [key(1)]),
        index.clear(),
    ):
        with pytest.raises(TierError):
            await asking


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("short", '{"expires": 3e9}'),
        ("d" * 32 + "\xff", '{"expires": 3e9}'),
    ],
)
async def test_a_row_that_nobody_of_us_wrote_is_told(
    opened: RedisVectors, redis: Server, name: str, attributes: str
) -> None:
    numbers = [str(n) for n in unit(1).tolist()]
    raw = await asyncio.create_subprocess_exec(
        "redis-cli", "-h", HOST, "-p", str(redis.port), "VADD", BASE + HERE.hex(), "VALUES",
        str(DIMENSIONS), *numbers, name.encode("latin-1"), "Q8", "SETATTR", attributes,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await raw.wait()
    with pytest.raises(TierError, match="no row"):
        await opened.search(HERE, unit(1), 3)


@pytest.mark.parametrize("attributes", ["{}", '{"expires": "x"}', "[1]", "what"])
async def test_what_does_not_say_when_its_time_is_over_goes(
    opened: RedisVectors, redis: Server, attributes: str
) -> None:
    await opened.add([row(1, unit(1))])
    numbers = [str(n) for n in unit(1, 1).tolist()]
    await redis.say(
        "VADD", BASE + HERE.hex(), "VALUES", str(DIMENSIONS), *numbers, "d" * 32, "Q8", "SETATTR",
        attributes,
    )  # fmt: skip
    await opened.add([row(2, unit(1, 2))])
    assert keys(await opened.search(HERE, unit(1), 5)) == [key(1), key(2)]
    assert await redis.say("VCARD", BASE + HERE.hex()) == "2\n"


async def test_a_scope_that_is_no_text_is_a_failure_of_the_tier(opened: RedisVectors) -> None:
    with pytest.raises(TierError):
        await opened.add([Row(HERE, CacheKey("\ud800", bytes(32)), unit(1), LATER)])


async def test_a_redis_that_hangs_costs_no_more_than_an_operation_may(redis: Server) -> None:
    async with redis_link(redis.port, operation_s=0.2) as link:
        index = RedisVectors(link.redis, wall=Clock(START))
        await index.open(FINGERPRINT, DIMENSIONS)
        redis.signal(signal.SIGSTOP)
        try:
            for asking in (index.search(HERE, unit(1), 1), index.add([row(1, unit(1))])):
                began = monotonic()
                with pytest.raises(TierError):
                    await asking
                assert monotonic() - began < 5.0
        finally:
            redis.signal(signal.SIGCONT)


async def test_a_redis_that_dies_is_asked_no_more() -> None:
    async with vector_redis() as mortal, redis_link(mortal.port) as link:
        index = RedisVectors(link.redis, wall=Clock(START))
        await index.open(FINGERPRINT, DIMENSIONS)
        await mortal.kill()
        for _ in range(5):
            with pytest.raises(TierError):
                await index.search(HERE, unit(1), 1)
        assert link.standings == [Standing.OFF]


async def test_a_redis_without_vector_sets_says_what_is_needed() -> None:
    async with vector_redis() as narrow, redis_link(narrow.port) as link:
        await narrow.say("ACL", "SETUSER", "default", "-vsim")
        index = RedisVectors(link.redis, wall=Clock(START))
        with pytest.raises(TierError, match="Redis 8"):
            await index.open(FINGERPRINT, DIMENSIONS)
        assert link.reports == []
