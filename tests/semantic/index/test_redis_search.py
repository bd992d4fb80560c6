"""The index over hashes, on a stub that speaks as the engines are documented to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest
from support.cranked import Clock
from support.faulty_tcp import Faults, faulty_tcp
from support.index_contract import (
    DIMENSIONS,
    FINGERPRINT,
    HERE,
    START,
    THERE,
    IndexContract,
    key,
    keys,
    row,
    unit,
)
from support.redis_links import Link, redis_link
from support.search_stub import SearchStub, search_stub

from proxy.link.redis import Standing
from proxy.model.errors import TierError
from proxy.semantic.base import Index
from proxy.semantic.index.redis_search import RedisSearch

BASE = f"sidecache:vx:{FINGERPRINT}:{DIMENSIONS}:".encode()


class TestRedis(IndexContract):
    valkey = False

    @pytest.fixture
    async def index(self, wall: Clock) -> AsyncIterator[Index]:
        stub = SearchStub(wall, valkey=self.valkey)
        async with search_stub(stub) as port, redis_link(port) as link:
            index = RedisSearch(link.redis, wall=wall)
            await index.open(FINGERPRINT, DIMENSIONS)
            yield index


class TestValkey(TestRedis):
    valkey = True


@pytest.fixture
def stub() -> SearchStub:
    return SearchStub(Clock(START))


@pytest.fixture
async def link(stub: SearchStub) -> AsyncIterator[Link]:
    async with search_stub(stub) as port, redis_link(port) as link:
        yield link


@pytest.fixture
async def opened(link: Link, stub: SearchStub) -> RedisSearch:
    index = RedisSearch(link.redis, wall=stub.clock)
    await index.open(FINGERPRINT, DIMENSIONS)
    return index


@pytest.mark.parametrize("valkey", [False, True])
async def test_replicas_make_one_index_and_share_it(
    link: Link, stub: SearchStub, valkey: bool
) -> None:
    stub.valkey = valkey
    replicas = [RedisSearch(link.redis, wall=stub.clock) for _ in range(3)]
    await asyncio.gather(*(index.open(FINGERPRINT, DIMENSIONS) for index in replicas))
    assert list(stub.indexes) == [BASE]
    await replicas[0].add([row(1, unit(1))])
    assert keys(await replicas[2].search(HERE, unit(1), 3)) == [key(1)]
    assert link.reports == []


async def test_every_row_is_forgotten_by_redis_itself_in_time(
    opened: RedisSearch, stub: SearchStub
) -> None:
    await opened.add([row(1, unit(1), expires=START + 60), row(2, unit(1), expires=START + 600)])
    assert sorted(stub.expires.values()) == pytest.approx([START + 60, START + 600], abs=0.01)
    assert set(stub.expires) == set(stub.hashes)


async def test_a_row_dead_on_arrival_takes_its_forerunner_with_it(
    opened: RedisSearch, stub: SearchStub
) -> None:
    await opened.add([row(1, unit(1)), row(2, unit(1))])
    await opened.add([row(1, unit(1), expires=START)])
    assert keys(await opened.search(HERE, unit(1), 5)) == [key(2)]
    assert len(stub.hashes) == 1


async def test_a_clearing_spares_what_others_keep(opened: RedisSearch, stub: SearchStub) -> None:
    stub.hashes[b"sidecache:vx:other:16:" + HERE.hex().encode()] = {}
    stub.hashes[b"sidecache:" + b"a" * 64] = {}
    await opened.add([row(1, unit(1)), row(2, unit(1), namespace=THERE)])
    await opened.clear()
    assert len(stub.hashes) == 2


@pytest.mark.parametrize("valkey", [False, True])
async def test_an_index_that_is_gone_is_made_anew(
    opened: RedisSearch, stub: SearchStub, link: Link, valkey: bool
) -> None:
    stub.valkey = valkey
    stub.indexes.clear()
    with pytest.raises(TierError):
        await opened.search(HERE, unit(1), 1)
    assert list(await opened.search(HERE, unit(1), 1)) == []
    assert list(stub.indexes) == [BASE]
    assert link.redis.failed == 0


async def test_an_index_that_could_not_be_made_is_made_later(link: Link, stub: SearchStub) -> None:
    index = RedisSearch(link.redis, wall=stub.clock)
    stub.refuses[b"FT.CREATE"] = "NOPERM no permissions"
    with pytest.raises(TierError, match="Query Engine"):
        await index.open(FINGERPRINT, DIMENSIONS)
    stub.refuses.clear()
    await index.add([row(1, unit(1))])
    assert keys(await index.search(HERE, unit(1), 1)) == [key(1)]


async def test_an_engine_that_is_not_there_is_no_trouble_of_redis(
    link: Link, stub: SearchStub
) -> None:
    stub.refuses[b"FT.CREATE"] = "ERR unknown command 'FT.CREATE'"
    index = RedisSearch(link.redis, wall=stub.clock)
    for _ in range(10):
        with pytest.raises(TierError, match="Query Engine"):
            await index.open(FINGERPRINT, DIMENSIONS)
    assert link.standings == []


async def test_a_search_that_is_refused_is_not_taken_for_an_index_that_is_gone(
    opened: RedisSearch, stub: SearchStub
) -> None:
    stub.refuses[b"FT.SEARCH"] = "SEARCH_TIMEOUT Timeout limit was reached"
    made = len(stub.asked)
    for _ in range(2):
        with pytest.raises(TierError):
            await opened.search(HERE, unit(1), 1)
    assert [words[0] for words in stub.asked[made:]] == [b"FT.SEARCH"] * 2


async def test_a_row_that_went_while_it_was_looked_for_is_passed_over(
    opened: RedisSearch, stub: SearchStub
) -> None:
    stub.answers[b"FT.SEARCH"] = b"*3\r\n:1\r\n$1\r\na\r\n*-1\r\n"
    assert list(await opened.search(HERE, unit(1), 1)) == []


@pytest.mark.parametrize(
    "answer",
    [
        b":1\r\n",
        b"*2\r\n:1\r\n$1\r\na\r\n",
        b"*3\r\n:1\r\n$1\r\na\r\n:1\r\n",
        b"*3\r\n:1\r\n$1\r\na\r\n*0\r\n",
        b"*3\r\n:1\r\n:1\r\n*2\r\n$8\r\ndistance\r\n$1\r\n0\r\n",
        b"*3\r\n:1\r\n$1\r\na\r\n*2\r\n$8\r\ndistance\r\n$1\r\nx\r\n",
        b"*3\r\n:1\r\n$1\r\na\r\n*2\r\n$8\r\ndistance\r\n$1\r\n0\r\n",
        b"*3\r\n:1\r\n$%d\r\n%bab:cd:\r\n*2\r\n$8\r\ndistance\r\n$1\r\n0\r\n"
        % (len(BASE) + 6, BASE),
        b"*3\r\n:1\r\n$%d\r\n%b:%b:\r\n*2\r\n$8\r\ndistance\r\n$3\r\nnan\r\n"
        % (len(BASE) + 66, BASE, b"ab" * 32),
    ],
)
async def test_an_answer_that_makes_no_sense_is_a_failure(
    opened: RedisSearch, stub: SearchStub, answer: bytes
) -> None:
    stub.answers[b"FT.SEARCH"] = answer
    with pytest.raises(TierError):
        await opened.search(HERE, unit(1), 1)


async def test_nothing_is_asked_of_an_index_that_is_not_open(link: Link, stub: SearchStub) -> None:
    index = RedisSearch(link.redis, wall=stub.clock)
    for asking in (
        index.search(HERE, unit(1), 1),
        index.add([row(1, unit(1))]),
        index.remove(HERE, [key(1)]),
        index.clear(),
    ):
        with pytest.raises(TierError):
            await asking
    assert [words[0] for words in stub.asked] == [b"GET"]  # the link's own, when it began


async def test_an_engine_that_hangs_costs_no_more_than_an_operation_may(stub: SearchStub) -> None:
    faults = Faults()
    async with (
        search_stub(stub) as port,
        faulty_tcp(port, faults) as far,
        redis_link(far, operation_s=0.2) as link,
    ):
        index = RedisSearch(link.redis, wall=stub.clock)
        await index.open(FINGERPRINT, DIMENSIONS)
        faults.silent = True
        for asking in (index.search(HERE, unit(1), 1), index.add([row(1, unit(1))])):
            began = monotonic()
            with pytest.raises(TierError):
                await asking
            assert monotonic() - began < 5.0


async def test_an_engine_that_dies_is_asked_no_more(stub: SearchStub) -> None:
    async with redis_link(1) as link:
        index = RedisSearch(link.redis, wall=stub.clock)
        for _ in range(5):
            with pytest.raises(TierError):
                await index.open(FINGERPRINT, DIMENSIONS)
        assert link.standings == [Standing.OFF]
