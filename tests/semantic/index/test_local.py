"""The local index: what every index promises, in each way it may keep and find its rows."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
    row,
    scattered,
    unit,
)

from proxy.model.entry import CacheKey
from proxy.model.errors import ConfigError, TierError
from proxy.semantic.base import Row
from proxy.semantic.index.local import LocalIndex
from proxy.semantic.index.look import Shape

SMALL = Shape(rows=8)  # of many lists; all are looked at


@asynccontextmanager
async def opened(
    folder: Path | None, wall: Clock, *, dimensions: int = DIMENSIONS, **settings: Any
) -> AsyncIterator[LocalIndex]:
    given: dict[str, Any] = {"max_rows": 1_000, "dtype": "f32", "boot": "this boot"}
    index = LocalIndex(folder, wall=wall, **(given | settings))
    await index.open(FINGERPRINT, dimensions)
    try:
        yield index
    finally:
        await index.close()


class TestInMemory(IndexContract):
    @pytest.fixture
    async def index(self, wall: Clock) -> AsyncIterator[LocalIndex]:
        async with opened(None, wall) as index:
            yield index


class TestHalves(IndexContract):
    @pytest.fixture
    async def index(self, wall: Clock) -> AsyncIterator[LocalIndex]:
        async with opened(None, wall, dtype="f16") as index:
            yield index


class TestBytes(IndexContract):
    tolerance = 0.01

    @pytest.fixture
    async def index(self, wall: Clock) -> AsyncIterator[LocalIndex]:
        async with opened(None, wall, dtype="i8") as index:
            yield index


class TestOnDisk(IndexContract):
    @pytest.fixture
    async def index(self, wall: Clock, tmp_path: Path) -> AsyncIterator[LocalIndex]:
        async with opened(tmp_path / "index", wall) as index:
            yield index


class TestLists(IndexContract):
    """The contract, where every namespace of two rows has lists already, and all are small."""

    dtype = "f32"

    @pytest.fixture
    async def index(self, wall: Clock) -> AsyncIterator[LocalIndex]:
        async with opened(
            None, wall, dtype=self.dtype, exact_up_to=1, merged_at=1, shape=SMALL
        ) as index:
            yield index

    async def settled(self, index: Any) -> None:
        await index.settled()


class TestListsOfHalves(TestLists):
    dtype = "f16"


class TestListsOfBytes(TestLists):
    tolerance = 0.01
    dtype = "i8"


def many(vectors: list[Any], start: int = 0, **about: Any) -> list[Row]:
    return [row(start + n, vector, **about) for n, vector in enumerate(vectors)]


async def numbers(index: LocalIndex, namespace: bytes = HERE) -> set[int]:
    found = await index.search(namespace, unit(1), 1_000)
    return {int.from_bytes(each.key.digest) for each in found}


async def test_the_oldest_go_when_there_is_no_room() -> None:
    async with opened(None, Clock(START), max_rows=5, scope_share=1.0) as index:
        await index.add(many(scattered(5)))
        await index.add([row(0, unit(1))])  # once more, so it is the newest
        await index.add([row(9, unit(1), namespace=THERE, scope="another")])
        assert await numbers(index) == {2, 3, 4, 0}
        assert await numbers(index, THERE) == {9}
        assert index.evicted == 1
        assert index.rows == 5


async def test_a_scope_with_more_than_its_share_loses_its_own_first() -> None:
    async with opened(None, Clock(START), max_rows=10, scope_share=0.5) as index:
        await index.add(many(scattered(3), scope="small"))
        await index.add(many(scattered(7), 100, scope="flood"))
        await index.add([row(50, unit(1), scope="another")])
        assert await numbers(index) == {0, 1, 2, *range(101, 107), 50}
        await index.add(many(scattered(20), 200, scope="flood"))
        assert await numbers(index) == {0, 1, 2, 50, *range(214, 220)}
        await index.add(many(scattered(1), 60, scope="small"))
        assert await numbers(index) == {0, 1, 2, 50, 60, *range(215, 220)}
        # None has more than its share now: the oldest of all goes.
        await index.add([row(70, unit(1), scope="another")])
        assert await numbers(index) == {1, 2, 50, 60, 70, *range(215, 220)}


async def test_rows_past_their_time_make_room_before_others_go() -> None:
    wall = Clock(START)
    async with opened(None, wall, max_rows=10) as index:
        await index.add(many(scattered(5)))
        await index.add(many(scattered(5), 10, expires=START + 60))
        wall.turn(61)
        await index.add(many(scattered(5), 20))
        assert index.expired == 5
        assert index.evicted == 0
        assert await numbers(index) == {*range(5), *range(20, 25)}


async def test_rows_past_their_time_around_do_not_hide_the_next() -> None:
    wall = Clock(START)
    async with opened(None, wall, exact_up_to=10, merged_at=1, max_rows=2_000) as index:
        near = [unit(1, n / 10_000) for n in range(700)]
        await index.add(many(near, expires=START + 60))
        await index.add(many([unit(1, 0.5)], 1_000))
        await index.settled()
        wall.turn(61)
        assert [each.key for each in await index.search(HERE, unit(1), 3)] == [key(1_000)]


async def test_a_namespace_gets_lists_when_it_is_large_and_loses_them_when_it_is_not() -> None:
    async with opened(None, Clock(START), exact_up_to=300, merged_at=1) as index:
        assert index._rows is not None
        vectors = scattered(900)
        await index.add(many(vectors[:300]))
        space = index._rows.spaces[HERE]
        assert space.lists is None
        await index.add(many(vectors[300:], 300))
        await index.settled()
        assert len(space.lists or ()) == 900
        assert len(space.loose) == 0
        await index.remove(HERE, [key(n) for n in range(800)])
        await index.settled()
        assert space.lists is None
        assert await numbers(index) == set(range(800, 900))
        await index.add(many(scattered(850, seed=8), 1_000))
        await index.settled()
        assert index.declined == 0
        assert len(await numbers(index)) == 950


async def test_rows_whose_lists_cannot_be_made_are_compared_one_by_one() -> None:
    cannot_be = Shape(rows=0)
    async with opened(None, Clock(START), exact_up_to=10, merged_at=1, shape=cannot_be) as index:
        assert index._rows is not None
        await index.add(many(scattered(100)))
        await index.remove(HERE, [key(n) for n in range(30)])
        await index.settled()
        assert index.failed > 0
        assert index._rows.spaces[HERE].lists is None
        assert await numbers(index) == set(range(30, 100))
        await index.add(many(scattered(900, seed=8), 100))
        await index.settled()
        assert index.rows == 970
        assert index.declined == 0


async def test_a_namespace_emptied_leaves_nothing() -> None:
    async with opened(None, Clock(START), exact_up_to=10, merged_at=1) as index:
        assert index._rows is not None
        for _ in range(5):
            await index.add(many(scattered(900)))
            await index.remove(HERE, [key(n) for n in range(900)])
        await index.settled()
        assert index.rows == 0
        assert not index._rows.spaces
        await index.add(many(scattered(1_000)))
        assert index.declined == 0
        assert len(await numbers(index)) == 1_000


@pytest.mark.parametrize("exact_up_to", [100_000, 50])
async def test_searches_while_rows_come_and_go_find_what_stays(exact_up_to: int) -> None:
    """A search runs in a thread meanwhile; slots are used again under its hands."""
    wall = Clock(START)
    dimensions = 128  # so that it is not done on the loop
    vectors = scattered(4_000, dimensions=dimensions)
    async with opened(
        None, wall, dimensions=dimensions, max_rows=4_000, exact_up_to=exact_up_to, merged_at=16
    ) as index:
        await index.add(many(vectors[:2_000]))
        stop = asyncio.Event()

        async def churn() -> None:
            turn = 0
            while not stop.is_set():
                start = 2_000 + turn % 10 * 150
                await index.add(many(vectors[start : start + 150], start))
                await asyncio.sleep(0)
                await index.remove(HERE, [key(n) for n in range(start, start + 150)])
                turn += 1

        churning = asyncio.ensure_future(churn())  # noqa: TID251 # awaited below
        try:
            for number in range(0, 2_000, 50):
                found = await index.search(HERE, vectors[number], 3)
                assert found[0].key == key(number)
                assert found[0].score > 0.999
                for each in found:
                    cosine = float(vectors[number] @ vectors[int.from_bytes(each.key.digest)])
                    assert abs(each.score - cosine) < 1e-3
        finally:
            stop.set()
            await churning
        await index.settled()
        assert index.failed == index.declined == 0
        assert index.rows == 2_000


async def test_a_search_that_a_clearing_overtakes_finds_nothing() -> None:
    far = Shape(near=2.0)  # so nothing is near at a first look, and another thread looks further
    async with opened(None, Clock(START), exact_up_to=10, merged_at=1, shape=far) as index:
        await index.add(many(scattered(500)))
        await index.settled()
        searching = asyncio.ensure_future(  # noqa: TID251 # awaited below
            index.search(HERE, unit(1), 5)
        )
        await asyncio.sleep(0)
        await index.clear()
        assert await searching == []


async def test_rows_that_a_clearing_overtakes_are_not_added() -> None:
    async with opened(None, Clock(START)) as index:
        adding = asyncio.ensure_future(  # noqa: TID251 # awaited below
            index.add(many(scattered(900)))
        )
        await asyncio.sleep(0)
        assert index.rows > 0
        await index.clear()
        await adding
        assert index.rows == 0


async def test_closed_it_says_so() -> None:
    index = LocalIndex(None, max_rows=10, wall=Clock(START))
    await index.close()
    for asked in (
        index.search(HERE, unit(1), 1),
        index.add([row(1, unit(1))]),
        index.remove(HERE, [key(1)]),
        index.clear(),
    ):
        with pytest.raises(TierError):
            await asked
    await index.open(FINGERPRINT, DIMENSIONS)
    await index.add([row(1, unit(1))])
    await index.open(FINGERPRINT, DIMENSIONS)  # once more
    assert await numbers(index) == set()
    await index.close()
    assert index.rows == 0


@pytest.mark.parametrize(
    "odd",
    [
        Row(HERE, key(1), unit(1) * np.float32("nan"), LATER),
        Row(HERE, key(1), np.full(DIMENSIONS, np.inf, np.float32), LATER),
        Row(HERE, key(1), unit(1) * np.float32(0), LATER),
        Row(HERE, CacheKey("scope", b"short"), unit(1), LATER),
        Row(b"short", key(1), unit(1), LATER),
    ],
)
async def test_an_odd_row_is_refused(odd: Row) -> None:
    async with opened(None, Clock(START)) as index:
        with pytest.raises(TierError):
            await index.add([odd])
        assert index.rows == 0
        await index.remove(odd.namespace, [odd.key])


async def test_an_odd_question_is_refused() -> None:
    async with opened(None, Clock(START)) as index:
        await index.add([row(1, unit(1))])
        with pytest.raises(TierError):
            await index.search(HERE, unit(1) * np.float32("nan"), 1)
        with pytest.raises(TierError):
            await index.search(HERE, unit(1, dimensions=3), 1)
        assert list(await index.search(HERE, unit(1), 0)) == []


async def test_room_that_cannot_be_had_is_said() -> None:
    index = LocalIndex(None, max_rows=2**40, wall=Clock(START))
    with pytest.raises(TierError):
        await index.open(FINGERPRINT, 10_000)


async def test_thousands_of_namespaces_come_and_go() -> None:
    wall = Clock(START)
    async with opened(None, wall, max_rows=1_000) as index:
        assert index._rows is not None
        for number in range(3_000):
            namespace = number.to_bytes(16)
            await index.add(
                [row(number, unit(1, number), namespace=namespace, scope=f"scope {number}")]
            )
        assert index.rows == len(index._rows.spaces) == len(index._rows._scopes) == 1_000
        assert len(index._rows._space_numbers) <= 1_002
        assert await numbers(index, (2_999).to_bytes(16)) == {2_999}
        assert await numbers(index, (1_999).to_bytes(16)) == set()


def test_without_numkong_large_namespaces_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numkong", None)
    with pytest.raises(ConfigError, match="vectors"):
        LocalIndex(None, max_rows=100_000, wall=Clock(START))
    LocalIndex(None, max_rows=20_000, wall=Clock(START))


async def test_while_lists_cannot_let_go_of_slots_rows_are_declined() -> None:
    async with opened(
        None, Clock(START), max_rows=1_500, exact_up_to=10, merged_at=1, scope_share=1.0
    ) as index:
        await index.add(many(scattered(1_500)))
        await index.settled()
        going = threading.Event()
        hanging = index._builds.submit(going.wait)
        vectors = scattered(1_100)
        await index.add(many(vectors, 2_000))
        assert index.declined > 0
        assert index.rows <= 1_500
        going.set()
        await hanging
        await index.settled()
        declined = index.declined
        await index.add(many(vectors, 5_000))
        await index.settled()
        assert index.declined == declined
        assert index.rows == 1_500
        (nearest,) = await index.search(HERE, vectors[9], 1)
        assert nearest.score > 0.999
