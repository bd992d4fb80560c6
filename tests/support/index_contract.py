"""What every index promises, whatever it is made of; each index's tests inherit these."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from proxy.semantic.base import Index, Neighbour, Row
from support.cranked import Clock

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

DIMENSIONS = 16
FINGERPRINT = "a-model_1.0"
HERE = b"namespace-of-16b"
THERE = bytes(range(240, 256))
START = 2_000_000_000.0  # seconds since 1970: ahead of any engine's own clock
LATER = START + 3600.0


def unit(*values: float, dimensions: int = DIMENSIONS) -> Vector:
    """The vector that begins with ``values``, then zeros, made one long."""
    vector = np.zeros(dimensions, np.float32)
    vector[: len(values)] = values
    made: Vector = vector / np.linalg.norm(vector)
    return made


def scattered(count: int, seed: int = 7, dimensions: int = DIMENSIONS) -> list[Vector]:
    """Vectors that point anywhere."""
    drawn = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return list(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def key(number: int, scope: str = "scope") -> CacheKey:
    return CacheKey(scope, number.to_bytes(32))


def row(
    number: int,
    vector: Vector,
    *,
    namespace: bytes = HERE,
    scope: str = "scope",
    expires: float = LATER,
) -> Row:
    return Row(namespace, key(number, scope), vector, expires)


def keys(found: Sequence[Neighbour]) -> list[CacheKey]:
    return [each.key for each in found]


class IndexContract:
    """To inherit: give ``index``, open for ``FINGERPRINT`` and ``DIMENSIONS``, its clock ``wall``.

    It must have room for a thousand rows of one scope, and is closed by who gave it.
    """

    tolerance = 1e-3  # how far a score may be from the cosine

    @pytest.fixture
    def wall(self) -> Clock:
        """Seconds since 1970."""
        return Clock(START)

    @pytest.fixture
    def index(self, wall: Clock) -> Index:
        raise NotImplementedError

    async def settled(self, index: Index) -> None:
        """Wait until what was added and removed shows; to override where that takes a moment."""

    def test_it_has_a_name(self, index: Index) -> None:
        assert index.name

    async def test_nothing_is_near_where_nothing_is(self, index: Index) -> None:
        assert list(await index.search(HERE, unit(1), 3)) == []

    async def test_what_was_added_is_found(self, index: Index) -> None:
        await index.add([row(1, unit(1, 2, 3))])
        await self.settled(index)
        (found,) = await index.search(HERE, unit(1, 2, 3), 3)
        assert found.key == key(1)
        assert found.score == pytest.approx(1.0, abs=self.tolerance)

    async def test_the_nearest_come_first_and_no_more_than_asked_for(self, index: Index) -> None:
        await index.add([row(n, unit(1, n / 10)) for n in range(8)])
        await self.settled(index)
        assert keys(await index.search(HERE, unit(1), 3)) == [key(0), key(1), key(2)]
        assert keys(await index.search(HERE, unit(1, 0.7), 1)) == [key(7)]
        assert len(await index.search(HERE, unit(1), 20)) == 8

    async def test_scores_are_cosines(self, index: Index) -> None:
        vectors = scattered(40)
        await index.add([row(n, vector) for n, vector in enumerate(vectors)])
        await self.settled(index)
        for asked in (*scattered(5, seed=8), vectors[3]):
            found = await index.search(HERE, asked, 40)
            assert len(found) == 40
            scores = [each.score for each in found]
            assert scores == sorted(scores, reverse=True)
            for each in found:
                cosine = float(asked @ vectors[int.from_bytes(each.key.digest)])
                assert each.score == pytest.approx(cosine, abs=self.tolerance)

    async def test_an_opposite_is_far_but_a_neighbour(self, index: Index) -> None:
        await index.add([row(1, unit(-1))])
        await self.settled(index)
        (found,) = await index.search(HERE, unit(1), 1)
        assert found.score == pytest.approx(-1.0, abs=self.tolerance)

    async def test_namespaces_never_meet(self, index: Index) -> None:
        await index.add([row(1, unit(1)), row(2, unit(1, 1), namespace=THERE)])
        await self.settled(index)
        assert keys(await index.search(HERE, unit(1, 1), 5)) == [key(1)]
        assert keys(await index.search(THERE, unit(1), 5)) == [key(2)]
        assert list(await index.search(b"a third of 16 by", unit(1), 5)) == []

    async def test_a_key_comes_back_as_it_was(self, index: Index) -> None:
        odd = [
            CacheKey("", bytes(32)),
            CacheKey("tenant/ä:{x}*|- @,.\"'\\", bytes(range(224, 256))),
            CacheKey("s" * 300, b"\xff" * 32),
        ]
        for number, each in enumerate(odd):
            await index.add([Row(HERE, each, unit(1, number), LATER)])
        await self.settled(index)
        assert keys(await index.search(HERE, unit(1), 5)) == odd

    async def test_a_row_takes_the_place_of_the_one_with_its_key(self, index: Index) -> None:
        await index.add([row(1, unit(1)), row(2, unit(0, 1))])
        await index.add([row(1, unit(0, 0, 1))])
        await self.settled(index)
        found = await index.search(HERE, unit(0, 0, 1), 5)
        assert sorted(keys(found)) == [key(1), key(2)]
        assert found[0].key == key(1)
        assert found[0].score == pytest.approx(1.0, abs=self.tolerance)

    async def test_of_two_rows_with_one_key_the_last_counts(self, index: Index) -> None:
        await index.add([row(1, unit(1)), row(1, unit(0, 1))])
        await self.settled(index)
        (found,) = await index.search(HERE, unit(0, 1), 5)
        assert found.score == pytest.approx(1.0, abs=self.tolerance)

    async def test_what_was_removed_is_gone(self, index: Index) -> None:
        await index.add([row(n, unit(1, n)) for n in range(4)])
        await index.remove(HERE, [key(0), key(2)])
        await self.settled(index)
        assert keys(await index.search(HERE, unit(1), 5)) == [key(1), key(3)]

    async def test_what_was_removed_can_be_added_again(self, index: Index) -> None:
        await index.add([row(1, unit(1))])
        await index.remove(HERE, [key(1)])
        await index.add([row(1, unit(0, 1))])
        await self.settled(index)
        (found,) = await index.search(HERE, unit(0, 1), 5)
        assert found.score == pytest.approx(1.0, abs=self.tolerance)

    async def test_to_remove_what_is_not_there_is_no_fault(self, index: Index) -> None:
        await index.add([row(1, unit(1))])
        await index.remove(HERE, [key(9)])
        await index.remove(THERE, [key(1)])
        await self.settled(index)
        assert keys(await index.search(HERE, unit(1), 5)) == [key(1)]

    async def test_nothing_may_be_added_or_removed(self, index: Index) -> None:
        await index.add([])
        await index.remove(HERE, [])
        assert list(await index.search(HERE, unit(1), 5)) == []

    async def test_a_clearing_leaves_nothing_and_takes_no_later_row(self, index: Index) -> None:
        await index.add([row(1, unit(1)), row(2, unit(1), namespace=THERE)])
        await index.clear()
        await self.settled(index)
        assert list(await index.search(HERE, unit(1), 5)) == []
        assert list(await index.search(THERE, unit(1), 5)) == []
        await index.add([row(3, unit(1))])
        await self.settled(index)
        assert keys(await index.search(HERE, unit(1), 5)) == [key(3)]

    async def test_rows_past_their_time_are_no_neighbours(self, index: Index, wall: Clock) -> None:
        await index.add([row(1, unit(1), expires=START + 60), row(2, unit(1, 1))])
        await self.settled(index)
        assert keys(await index.search(HERE, unit(1), 1)) == [key(1)]
        wall.turn(61)
        assert keys(await index.search(HERE, unit(1), 1)) == [key(2)]

    async def test_a_row_dead_on_arrival_is_no_neighbour(self, index: Index) -> None:
        await index.add([row(1, unit(1), expires=START - 1)])
        await self.settled(index)
        assert list(await index.search(HERE, unit(1), 5)) == []

    async def test_a_row_added_again_lives_as_long_as_the_last_says(
        self, index: Index, wall: Clock
    ) -> None:
        await index.add([row(1, unit(1), expires=START + 60)])
        await index.add([row(1, unit(1), expires=START + 600)])
        await self.settled(index)
        wall.turn(61)
        assert keys(await index.search(HERE, unit(1), 5)) == [key(1)]

    async def test_many_rows_at_once_are_all_found(self, index: Index) -> None:
        vectors = scattered(300)
        await index.add([row(n, vector) for n, vector in enumerate(vectors)])
        await self.settled(index)
        for number in (0, 1, 150, 298, 299):
            assert keys(await index.search(HERE, vectors[number], 1)) == [key(number)]

    async def test_all_may_be_asked_at_once(self, index: Index) -> None:
        vectors = scattered(60)

        async def round_trip(number: int) -> None:
            await index.add([row(number, vectors[number])])
            await index.search(HERE, vectors[number], 3)
            if number % 3 == 0:
                await index.remove(HERE, [key(number)])

        await asyncio.gather(*(round_trip(number) for number in range(60)))
        await self.settled(index)
        found = await index.search(HERE, vectors[0], 60)
        assert sorted(keys(found)) == [key(n) for n in range(60) if n % 3]

    async def test_a_vector_of_another_length_is_no_row(self, index: Index) -> None:
        with pytest.raises(TierError):
            await index.add([row(1, unit(1, dimensions=DIMENSIONS + 1))])
        await self.settled(index)
        assert list(await index.search(HERE, unit(1), 5)) == []

    async def test_vectors_of_another_embedder_are_not_met(self, index: Index) -> None:
        await index.add([row(1, unit(1))])
        await self.settled(index)
        await index.close()
        await index.open("another-model", DIMENSIONS)
        assert list(await index.search(HERE, unit(1), 5)) == []

    async def test_an_embedder_may_have_other_dimensions(self, index: Index) -> None:
        await index.add([row(1, unit(1))])
        await self.settled(index)
        await index.close()
        await index.open("a-smaller-model", 8)
        await index.add([row(2, unit(1, 1, dimensions=8))])
        await self.settled(index)
        assert keys(await index.search(HERE, unit(1, dimensions=8), 5)) == [key(2)]
