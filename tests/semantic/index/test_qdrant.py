"""The index in Qdrant, on a stub that speaks as it is documented to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import pytest
from support.cranked import Clock
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
    scattered,
    unit,
)
from support.qdrant_stub import QdrantStub, qdrant_stub

from proxy.model.errors import ConfigError, TierError
from proxy.semantic.base import Index
from proxy.semantic.index.qdrant import Qdrant

NAME = f"sidecache-{FINGERPRINT}-{DIMENSIONS}"


@asynccontextmanager
async def served(
    stub: QdrantStub, watch: Watch, wall: Clock, *, api_key: str = "", start: bool = True
) -> AsyncIterator[Qdrant]:
    """An index in ``stub``, open."""
    async with qdrant_stub(stub) as port:
        index = Qdrant(f"http://127.0.0.1:{port}/", api_key=api_key, **watch.parts(wall))
        try:
            if start:
                await index.open(FINGERPRINT, DIMENSIONS)
            yield index
        finally:
            await index.close()


class TestContract(IndexContract):
    @pytest.fixture
    async def index(self, wall: Clock) -> AsyncIterator[Index]:
        async with served(QdrantStub(), Watch(), wall) as index:
            yield index


@pytest.fixture
def stub() -> QdrantStub:
    return QdrantStub()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def wall() -> Clock:
    return Clock(START)


@pytest.fixture
async def opened(stub: QdrantStub, watch: Watch, wall: Clock) -> AsyncIterator[Qdrant]:
    async with served(stub, watch, wall) as index:
        yield index


@pytest.mark.parametrize("old", [False, True])
async def test_replicas_make_one_collection_and_share_it(
    stub: QdrantStub, watch: Watch, wall: Clock, old: bool
) -> None:
    stub.old = old
    async with qdrant_stub(stub) as port:
        replicas = [Qdrant(f"http://127.0.0.1:{port}", **watch.parts(wall)) for _ in range(3)]
        await asyncio.gather(*(index.open(FINGERPRINT, DIMENSIONS) for index in replicas))
        await replicas[0].add([row(1, unit(1))])
        assert keys(await replicas[2].search(HERE, unit(1), 3)) == [key(1)]
        for index in replicas:
            await index.close()
    assert list(stub.collections) == [NAME]
    assert stub.collections[NAME].fields == {
        "namespace": {"type": "keyword", "is_tenant": True},
        "expires": "float",
    }
    assert watch.reports == []


async def test_many_rows_go_in_requests_of_bounded_size(opened: Qdrant, stub: QdrantStub) -> None:
    await opened.add([row(n, vector) for n, vector in enumerate(scattered(600))])
    assert stub.asked.count(f"PUT /collections/{NAME}/points?wait=true") == 3
    assert len(stub.collections[NAME].points) == 600


async def test_rows_past_their_time_are_swept_up_now_and_then(
    opened: Qdrant, stub: QdrantStub, watch: Watch, wall: Clock
) -> None:
    await opened.add([row(1, unit(1), expires=START + 60), row(2, unit(1))])
    wall.turn(61)
    await opened.add([row(3, unit(1))])
    assert len(stub.collections[NAME].points) == 3
    watch.clock.turn(61)
    await opened.add([row(4, unit(1))])
    assert len(stub.collections[NAME].points) == 3
    assert set(keys(await opened.search(HERE, unit(1), 5))) == {key(2), key(3), key(4)}


async def test_a_collection_that_is_gone_is_made_anew(
    opened: Qdrant, stub: QdrantStub, watch: Watch
) -> None:
    stub.collections.clear()
    with pytest.raises(TierError, match="lost"):
        await opened.search(HERE, unit(1), 1)
    assert list(await opened.search(HERE, unit(1), 1)) == []
    assert list(stub.collections) == [NAME]
    assert watch.reports == []


async def test_a_key_is_shown_with_every_request(
    stub: QdrantStub, watch: Watch, wall: Clock
) -> None:
    stub.api_key = "secret"
    async with served(stub, watch, wall, api_key="secret") as index:
        await index.add([row(1, unit(1))])
        assert keys(await index.search(HERE, unit(1), 1)) == [key(1)]
    async with served(stub, watch, wall, api_key="guess", start=False) as index:
        with pytest.raises(TierError, match="401"):
            await index.open(FINGERPRINT, DIMENSIONS)


@pytest.mark.parametrize(
    "says",
    [
        (200, b"not JSON"),
        (200, b"[]"),
        (200, b'{"status": "ok"}'),
        (200, b'{"result": []}'),
        (200, b'{"result": {"points": [1]}}'),
        (200, b'{"result": {"points": [{"score": 1, "payload": {"digest": "ab", "scope": ""}}]}}'),
        (200, b'{"result": {"points": [{"score": 1, "payload": {"digest": "x", "scope": ""}}]}}'),
        (200, b" " * (4 * 2**20 + 1)),
        (302, b""),
        (500, b"oh"),
    ],
    ids=repr,
)
async def test_an_answer_that_makes_no_sense_is_a_failure(
    opened: Qdrant, stub: QdrantStub, says: tuple[int, bytes], watch: Watch
) -> None:
    stub.says = says
    for _ in range(5):
        with pytest.raises(TierError):
            await opened.search(HERE, unit(1), 1)
    assert [closed for closed, _ in watch.reports] == [False]


async def test_a_collection_that_cannot_be_made_is_told(
    stub: QdrantStub, watch: Watch, wall: Clock
) -> None:
    async with served(stub, watch, wall, start=False) as index:
        with pytest.raises(TierError, match="422"):
            await index.open(FINGERPRINT, 0)


async def test_nothing_is_asked_of_an_index_that_is_not_open(
    stub: QdrantStub, watch: Watch, wall: Clock
) -> None:
    async with served(stub, watch, wall, start=False) as index:
        for asking in (
            index.search(HERE, unit(1), 1),
            index.add([row(1, unit(1))]),
            index.remove(HERE, [key(1)]),
            index.clear(),
        ):
            with pytest.raises(TierError):
                await asking
    assert stub.asked == []


async def test_an_engine_that_hangs_or_breaks_off_costs_no_more_than_an_operation_may(
    stub: QdrantStub, watch: Watch, wall: Clock
) -> None:
    faults = Faults()
    async with qdrant_stub(stub) as port, faulty_tcp(port, faults) as far:
        index = Qdrant(f"http://127.0.0.1:{far}", **watch.parts(wall, operation_s=0.2))
        await index.open(FINGERPRINT, DIMENSIONS)
        for fault in ({"silent": True}, {"silent": False, "reset_share": 1.0}):
            for name, value in fault.items():
                setattr(faults, name, value)
            for asking in (index.search(HERE, unit(1), 1), index.add([row(1, unit(1))])):
                began = monotonic()
                with pytest.raises(TierError):
                    await asking
                assert monotonic() - began < 5.0
        await index.close()


async def test_an_engine_that_is_not_there_is_opened_when_it_is(
    stub: QdrantStub, watch: Watch, wall: Clock
) -> None:
    async with served(stub, watch, wall, start=False) as index:
        stub.says = (503, b"starting")
        with pytest.raises(TierError):
            await index.open(FINGERPRINT, DIMENSIONS)
        stub.says = None
        await index.add([row(1, unit(1))])
        assert keys(await index.search(HERE, unit(1), 1)) == [key(1)]


# -- where it is -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["", "host:6333", "ftp://host", "http://", "http://host:x", "http://host?a=1", "http://[x"],
)
def test_a_url_that_is_none_is_refused(url: str, watch: Watch, wall: Clock) -> None:
    with pytest.raises(ConfigError):
        Qdrant(url, **watch.parts(wall))


@pytest.mark.parametrize("url", ["http://10.0.0.7:6333", "http://qdrant:6333"])
def test_a_key_is_not_sent_over_a_network_in_clear(url: str, watch: Watch, wall: Clock) -> None:
    with pytest.raises(ConfigError, match="in clear") as refusal:
        Qdrant(url, api_key="secret", **watch.parts(wall))
    assert "secret" not in str(refusal.value)
    Qdrant(url, api_key="secret", allow_insecure=True, **watch.parts(wall))
    Qdrant(url, **watch.parts(wall))


@pytest.mark.parametrize("url", ["https://qdrant", "http://localhost:6333", "http://[::1]:6333"])
def test_a_key_may_be_sent_where_nobody_listens(url: str, watch: Watch, wall: Clock) -> None:
    Qdrant(url, api_key="secret", **watch.parts(wall))
