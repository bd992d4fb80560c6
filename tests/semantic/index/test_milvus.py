"""The index in Milvus, on a real one that is as small as milvus-lite."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from itertools import count
from time import monotonic

import pytest
from pymilvus import MilvusClient
from support.cranked import Clock, settle
from support.engines import Watch
from support.faulty_tcp import Faults, faulty_tcp
from support.index_contract import (
    DIMENSIONS,
    FINGERPRINT,
    HERE,
    START,
    IndexContract,
    key,
    keys,
    row,
    unit,
)
from support.started import started
from support.vector_servers import Process, milvus

from proxy.model.errors import ConfigError, TierError
from proxy.semantic.base import Index
from proxy.semantic.index.milvus import Milvus

_numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    with milvus() as process:
        yield process


@pytest.fixture
def prefix() -> str:
    """Of collections that no other test has."""
    return f"test{next(_numbers)}_"


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def wall() -> Clock:
    return Clock(START)


@pytest.fixture
async def opened(server: Process, watch: Watch, wall: Clock, prefix: str) -> AsyncIterator[Milvus]:
    index = Milvus(server.url, prefix=prefix, **watch.parts(wall))
    await index.open(FINGERPRINT, DIMENSIONS)
    yield index
    await index.close()


class TestContract(IndexContract):
    @pytest.fixture
    async def index(self, server: Process, wall: Clock) -> AsyncIterator[Index]:
        index = Milvus(server.url, **Watch().parts(wall))
        await index.open(FINGERPRINT, DIMENSIONS)  # a second, for a collection that is new
        await index.clear()
        yield index
        await index.close()


@pytest.fixture(scope="module")
def anybody(server: Process) -> Iterator[MilvusClient]:
    client = MilvusClient(uri=server.url, dedicated=True)
    yield client
    client.close()


async def test_replicas_make_one_collection_at_once_and_share_it(
    server: Process, watch: Watch, wall: Clock, prefix: str
) -> None:
    replicas = [Milvus(server.url, prefix=prefix, **watch.parts(wall)) for _ in range(4)]
    await asyncio.gather(*(index.open(FINGERPRINT, DIMENSIONS) for index in replicas))
    await replicas[0].add([row(1, unit(1))])
    assert keys(await replicas[3].search(HERE, unit(1), 3)) == [key(1)]
    for index in replicas:
        await index.close()
    assert watch.reports == []


async def test_rows_past_their_time_are_swept_up_now_and_then(
    opened: Milvus, watch: Watch, wall: Clock, prefix: str, anybody: MilvusClient
) -> None:
    (name,) = [name for name in anybody.list_collections() if name.startswith(prefix)]

    def kept() -> int:
        (told,) = anybody.query(name, filter="", output_fields=["count(*)"])
        return int(told["count(*)"])

    await opened.add([row(1, unit(1), expires=START + 60), row(2, unit(1))])
    wall.turn(61)
    await opened.add([row(3, unit(1))])
    assert kept() == 3
    watch.clock.turn(61)
    await opened.add([row(4, unit(1))])
    assert kept() == 3


async def test_a_collection_that_is_gone_is_made_anew(
    opened: Milvus, watch: Watch, prefix: str, anybody: MilvusClient
) -> None:
    (name,) = [name for name in anybody.list_collections() if name.startswith(prefix)]
    anybody.drop_collection(name)
    with pytest.raises(TierError, match="lost"):
        await opened.search(HERE, unit(1), 1)
    assert list(await opened.search(HERE, unit(1), 1)) == []
    assert watch.reports == []


async def test_a_collection_that_cannot_be_made_is_told(
    server: Process, watch: Watch, wall: Clock, prefix: str
) -> None:
    index = Milvus(server.url, prefix=prefix, **watch.parts(wall))
    with pytest.raises(TierError, match="tested: "):
        await index.open(FINGERPRINT, 0)
    await index.close()


async def test_what_is_being_made_when_it_is_closed_is_let_go(
    server: Process, watch: Watch, wall: Clock, prefix: str
) -> None:
    index = Milvus(server.url, prefix=prefix, **watch.parts(wall))
    opening = started(index.open(FINGERPRINT, DIMENSIONS))
    await settle()
    threads = index._threads
    assert threads is not None
    await index.close()
    with pytest.raises(TierError):
        await opening
    await asyncio.to_thread(threads.shutdown)
    assert index._client is None
    await index.open(FINGERPRINT, DIMENSIONS)
    assert list(await index.search(HERE, unit(1), 1)) == []
    await index.close()


async def test_a_row_that_nobody_of_us_wrote_is_told(
    opened: Milvus, prefix: str, anybody: MilvusClient
) -> None:
    (name,) = [name for name in anybody.list_collections() if name.startswith(prefix)]
    theirs = {
        "id": "theirs", "namespace": HERE.hex(), "digest": "ab", "scope": "", "expires": 3e9,
        "vector": unit(1).tolist(),
    }  # fmt: skip
    anybody.upsert(name, [theirs])
    with pytest.raises(TierError, match="no digest"):
        await opened.search(HERE, unit(1), 1)


async def test_a_milvus_that_hangs_costs_no_more_than_an_operation_may(
    server: Process, watch: Watch, wall: Clock, prefix: str
) -> None:
    index = Milvus(server.url, prefix=prefix, **watch.parts(wall, operation_s=0.25))
    try:
        await index.open(FINGERPRINT, DIMENSIONS)
        server.signal(signal.SIGSTOP)
        try:
            for asking in (
                index.search(HERE, unit(1), 1),
                index.add([row(1, unit(1))]),
                index.remove(HERE, [key(1)]),
            ):
                began = monotonic()
                with pytest.raises(TierError):
                    await asking
                assert monotonic() - began < 5.0
        finally:
            server.signal(signal.SIGCONT)
    finally:
        await index.close()


async def test_a_milvus_that_is_cut_off_is_asked_no_more(
    server: Process, watch: Watch, wall: Clock
) -> None:
    async with faulty_tcp(server.port, Faults()) as far:
        index = Milvus(f"http://127.0.0.1:{far}", **watch.parts(wall, operation_s=1.0))
        await index.open(FINGERPRINT, DIMENSIONS)
        await index.search(HERE, unit(1), 1)
    for _ in range(6):
        with pytest.raises(TierError):
            await index.search(HERE, unit(1), 1)
    assert [closed for closed, _ in watch.reports] == [False]
    await index.close()


async def test_what_another_replica_left_half_made_is_finished(
    server: Process, watch: Watch, wall: Clock, prefix: str, anybody: MilvusClient
) -> None:
    first = Milvus(server.url, prefix=prefix, **watch.parts(wall))
    await first.open(FINGERPRINT, DIMENSIONS)
    await first.close()
    (name,) = [name for name in anybody.list_collections() if name.startswith(prefix)]
    anybody.release_collection(name)
    anybody.drop_index(name, "vector")
    second = Milvus(server.url, prefix=prefix, **watch.parts(wall))
    await second.open(FINGERPRINT, DIMENSIONS)
    await second.add([row(1, unit(1))])
    assert keys(await second.search(HERE, unit(1), 1)) == [key(1)]
    await second.close()


async def test_a_milvus_that_is_not_there_is_told(watch: Watch, wall: Clock) -> None:
    index = Milvus("http://127.0.0.1:1", **watch.parts(wall))
    with pytest.raises(TierError):
        await index.open(FINGERPRINT, DIMENSIONS)
    await index.close()


async def test_nothing_is_asked_of_an_index_that_is_not_open(
    server: Process, watch: Watch, wall: Clock
) -> None:
    index = Milvus(server.url, **watch.parts(wall))
    for asking in (
        index.search(HERE, unit(1), 1),
        index.add([row(1, unit(1))]),
        index.remove(HERE, [key(1)]),
        index.clear(),
    ):
        with pytest.raises(TierError):
            await asking
    await index.close()


@pytest.mark.parametrize("prefix", ["", "a-b", "1a", "ä"])
def test_a_prefix_that_is_no_name_is_refused(prefix: str, watch: Watch, wall: Clock) -> None:
    with pytest.raises(ConfigError, match="prefix"):
        Milvus("http://nowhere:19530", prefix=prefix, **watch.parts(wall))
