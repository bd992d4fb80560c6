"""The index in Postgres, on a real one with pgvector."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from itertools import count
from time import monotonic

import asyncpg
import pytest
from support.cranked import Clock
from support.engines import Watch
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
    scattered,
    unit,
)
from support.vector_servers import Process, postgres

from proxy.model.errors import ConfigError, TierError
from proxy.semantic.base import Index
from proxy.semantic.index.pgvector import PgVector

_numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    with postgres() as process:
        yield process


@pytest.fixture
def prefix() -> str:
    """Of tables that no other test has."""
    return f"test{next(_numbers)}_"


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def wall() -> Clock:
    return Clock(START)


@pytest.fixture
async def opened(
    server: Process, watch: Watch, wall: Clock, prefix: str
) -> AsyncIterator[PgVector]:
    index = PgVector(server.url, prefix=prefix, **watch.parts(wall))
    await index.open(FINGERPRINT, DIMENSIONS)
    yield index
    await index.close()


class TestContract(IndexContract):
    @pytest.fixture
    async def index(self, server: Process, wall: Clock, prefix: str) -> AsyncIterator[Index]:
        index = PgVector(server.url, prefix=prefix, **Watch().parts(wall))
        await index.open(FINGERPRINT, DIMENSIONS)
        yield index
        await index.close()


async def _say(server: Process, query: str) -> object:
    """The first field of what Postgres answers to anybody."""
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def _table(server: Process, prefix: str) -> str:
    """The only table of a prefix."""
    found = await _say(server, f"SELECT tablename FROM pg_tables WHERE tablename LIKE '{prefix}%'")
    assert isinstance(found, str)
    return found


async def test_replicas_make_one_table_at_once_and_share_it(
    server: Process, watch: Watch, wall: Clock, prefix: str
) -> None:
    replicas = [PgVector(server.url, prefix=prefix, **watch.parts(wall)) for _ in range(6)]
    await asyncio.gather(*(index.open(FINGERPRINT, DIMENSIONS) for index in replicas))
    await replicas[0].add([row(1, unit(1))])
    assert keys(await replicas[5].search(HERE, unit(1), 3)) == [key(1)]
    for index in replicas:
        await index.close()
    assert watch.reports == []


async def test_replicas_that_add_the_same_rows_do_not_wait_for_each_other(
    server: Process, watch: Watch, wall: Clock, prefix: str
) -> None:
    replicas = [PgVector(server.url, prefix=prefix, **watch.parts(wall)) for _ in range(4)]
    rows = [row(n, vector) for n, vector in enumerate(scattered(100))]
    await asyncio.gather(*(index.open(FINGERPRINT, DIMENSIONS) for index in replicas))
    for _ in range(5):
        await asyncio.gather(*(index.add(rows[:: (-1) ** n]) for n, index in enumerate(replicas)))
    assert len(await replicas[0].search(HERE, unit(1), 200)) == 100
    for index in replicas:
        await index.close()
    assert watch.reports == []


async def test_rows_past_their_time_are_swept_up_now_and_then(
    opened: PgVector, server: Process, watch: Watch, wall: Clock, prefix: str
) -> None:
    await opened.add([row(1, unit(1), expires=START + 60), row(2, unit(1))])
    wall.turn(61)
    table = await _table(server, prefix)
    await opened.add([row(3, unit(1))])
    assert await _say(server, f"SELECT count(*) FROM {table}") == 3
    watch.clock.turn(61)
    await opened.add([row(4, unit(1))])
    assert await _say(server, f"SELECT count(*) FROM {table}") == 3


async def test_a_few_rows_are_found_beside_a_namespace_of_many(opened: PgVector) -> None:
    await opened.add([row(n, unit(1, n / 1000)) for n in range(500)])
    await opened.add([row(n, unit(-1, n), namespace=THERE) for n in range(3)])
    assert len(await opened.search(THERE, unit(1), 3)) == 3


async def test_vectors_too_long_for_a_graph_are_kept_all_the_same(
    server: Process, watch: Watch, wall: Clock, prefix: str
) -> None:
    index = PgVector(server.url, prefix=prefix, **watch.parts(wall))
    await index.open("large", 3072)
    await index.add([row(1, unit(1, 2, dimensions=3072))])
    (found,) = await index.search(HERE, unit(2, 1, dimensions=3072), 3)
    assert found.score == pytest.approx(0.8, abs=1e-4)
    await index.close()


async def test_a_row_that_nobody_of_us_wrote_is_told(
    opened: PgVector, server: Process, prefix: str
) -> None:
    await opened.add([row(1, unit(1))])
    await _say(server, f"UPDATE {await _table(server, prefix)} SET digest = 'short'")
    with pytest.raises(TierError, match="no digest"):
        await opened.search(HERE, unit(1), 1)


async def test_a_table_that_is_gone_is_made_anew(
    opened: PgVector, server: Process, watch: Watch, prefix: str
) -> None:
    await _say(server, f"DROP TABLE {await _table(server, prefix)}")
    with pytest.raises(TierError, match="lost"):
        await opened.search(HERE, unit(1), 1)
    assert list(await opened.search(HERE, unit(1), 1)) == []
    assert watch.reports == []


async def test_a_user_of_its_own_needs_no_more_than_is_documented(
    server: Process, watch: Watch, wall: Clock, prefix: str
) -> None:
    await _say(server, "CREATE EXTENSION IF NOT EXISTS vector")
    role = prefix.strip("_")
    for query in (
        f"CREATE ROLE {role} LOGIN",
        f"CREATE SCHEMA AUTHORIZATION {role}",
    ):
        await _say(server, query)
    url = server.url.replace("postgres@", f"{role}@")
    index = PgVector(url, prefix=prefix, **watch.parts(wall))
    await index.open(FINGERPRINT, DIMENSIONS)
    await index.add([row(1, unit(1))])
    assert keys(await index.search(HERE, unit(1), 1)) == [key(1)]
    await index.clear()
    await index.close()


async def test_connections_are_bounded_and_left_as_they_are(
    server: Process, watch: Watch, wall: Clock, prefix: str
) -> None:
    index = PgVector(
        f"{server.url}?application_name={prefix}",
        wall=wall,
        engine=watch.engine(connections=2),
        prefix=prefix,
    )
    await index.open(FINGERPRINT, DIMENSIONS)
    await asyncio.gather(*(index.search(HERE, unit(1), 1) for _ in range(50)))
    used = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{prefix}'"
    assert await _say(server, used) == 2
    await index.close()


async def test_a_postgres_that_hangs_costs_no_more_than_an_operation_may(
    server: Process, watch: Watch, wall: Clock, prefix: str
) -> None:
    index = PgVector(server.url, prefix=prefix, **watch.parts(wall, operation_s=0.25))
    await index.open(FINGERPRINT, DIMENSIONS)
    await index.search(HERE, unit(1), 1)
    server.signal(signal.SIGSTOP)
    try:
        for asking in (
            index.search(HERE, unit(1), 1),
            index.add([row(1, unit(1))]),
            index.remove(HERE, [key(1)]),
            *(index.search(HERE, unit(1), 1) for _ in range(4)),
        ):
            began = monotonic()
            with pytest.raises(TierError):
                await asking
            assert monotonic() - began < 5.0
        assert [closed for closed, _ in watch.reports] == [False]
    finally:
        server.signal(signal.SIGCONT)
    async with asyncio.timeout(20):
        while len(watch.reports) == 1:
            watch.clock.turn(1.25)
            try:
                await index.search(HERE, unit(1), 1)
            except TierError:
                await asyncio.sleep(0.01)  # it gets up, in real time
    await index.close()


async def test_a_postgres_that_dies_is_asked_no_more(watch: Watch, wall: Clock) -> None:
    with postgres() as mortal:
        index = PgVector(mortal.url, **watch.parts(wall))
        await index.open(FINGERPRINT, DIMENSIONS)
        await index.search(HERE, unit(1), 1)
        mortal.kill()
        for _ in range(6):
            with pytest.raises(TierError):
                await index.search(HERE, unit(1), 1)
        assert [closed for closed, _ in watch.reports] == [False]
        await index.close()


async def test_nothing_is_asked_of_an_index_that_is_not_open(
    server: Process, watch: Watch, wall: Clock
) -> None:
    index = PgVector(server.url, **watch.parts(wall))
    for asking in (
        index.search(HERE, unit(1), 1),
        index.add([row(1, unit(1))]),
        index.remove(HERE, [key(1)]),
        index.clear(),
    ):
        with pytest.raises(TierError):
            await asking
    await index.close()


@pytest.mark.parametrize("prefix", ["", "a-b", "1a", "a; --", "ä", "x" * 31])
def test_a_prefix_that_is_no_name_is_refused(prefix: str, watch: Watch, wall: Clock) -> None:
    with pytest.raises(ConfigError, match="prefix"):
        PgVector("postgresql://nowhere", prefix=prefix, **watch.parts(wall))
