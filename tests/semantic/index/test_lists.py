"""Lists of near rows: what they find, and that they stay in order as rows come and go."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from support.index_contract import HERE, LATER, START, key

from proxy.semantic.index.dividing import divided
from proxy.semantic.index.lists import Lists, Shape
from proxy.semantic.index.precision import Dtype, Precision
from proxy.semantic.index.rows import Rows
from proxy.semantic.index.scan import Asked
from proxy.semantic.index.sketches import Sketcher, apart, levelled, packed_bits, shrunk

DIMENSIONS = 64
TIGHT = Shape(rows=50, looked_at=1 / 16, looked_at_least=400, compared=64)


def clustered(count: int, seed: int = 5, dimensions: int = DIMENSIONS) -> np.ndarray:
    """Vectors in clusters of some 20."""
    dice = np.random.default_rng(seed)
    centres = dice.normal(size=(max(1, count // 20), dimensions))
    made = centres[dice.integers(0, len(centres), count)]
    made = made + 0.7 * dice.normal(size=made.shape)
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def filled(vectors: np.ndarray, dtype: Dtype = "i8") -> Rows:
    rows = Rows(2 * len(vectors), Precision(dtype, vectors.shape[1]), len(vectors))
    kept, factors = rows.precision.keep(list(vectors))
    for number, (vector, factor) in enumerate(zip(kept, factors.tolist(), strict=True)):
        rows.put(HERE, key(number), vector, factor, expires=LATER, added=START)
    return rows


def found(rows: Rows, lists: Lists, vector: np.ndarray, count: int = 1) -> list[int]:
    """Slots, the nearest first."""
    asked = Asked(rows, rows.spaces[HERE].number, vector, count, START, rows.births)
    slots, cosines = lists.near(vector, count, asked.alive)
    return list(slots[np.argsort(-cosines)][:count].tolist())


def near(vectors: np.ndarray, seed: int = 6) -> np.ndarray:
    """For each vector one at a cosine of about 0.9 to it."""
    noise = np.random.default_rng(seed).normal(size=vectors.shape)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    made = vectors + 0.45 * noise
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def recall(rows: Rows, lists: Lists, vectors: np.ndarray, some: Iterable[int]) -> float:
    asked = near(vectors)
    told = [found(rows, lists, asked[number])[0] == number for number in some]
    return sum(told) / len(told)


def check(rows: Rows, lists: Lists, there: set[int]) -> None:
    """Each row is in one list, the list is known, and has its sketch."""
    _, slots = lists.saved()
    assert sorted(np.concatenate(slots).tolist()) == sorted(there)
    for number, each in enumerate(lists._lists):
        assert (lists._list_of[each.slots] == number).all()
        assert (each.bits == lists._sketcher.sketch(rows.vectors[each.slots])).all()
        assert (each.packed is None) == (len(each.slots) == 0)
    assert len(lists) == len(there)


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
def test_a_look_at_few_finds_what_is_near(dtype: Dtype) -> None:
    vectors = clustered(4_000)
    rows = filled(vectors, dtype)
    lists = Lists(rows, TIGHT).grow(range(4_000))
    check(rows, lists, set(range(4_000)))
    _, slots = lists.saved()
    assert len(slots) > 40
    assert max(len(each) for each in slots) <= 150
    assert recall(rows, lists, vectors, range(0, 4_000, 20)) >= 0.99


def test_as_many_as_are_asked_for_are_found_however_few_are_looked_at() -> None:
    vectors = clustered(2_000)
    rows = filled(vectors)
    lists = Lists(rows, TIGHT).grow(range(2_000))
    assert sorted(found(rows, lists, vectors[0], 2_000)) == list(range(2_000))
    assert sorted(found(rows, lists, vectors[0], 9_999)) == list(range(2_000))


def test_rows_that_come_and_go_leave_lists_in_order() -> None:
    vectors = clustered(2_000)
    rows = filled(vectors)
    lists = Lists(rows, TIGHT).grow(range(2_000))
    many = len([each for each in lists.saved()[1] if len(each)])
    lists.doomed.extend(range(1_800))
    assert lists.grow(()) is lists
    assert sorted(rows.buried) == list(range(1_800))
    check(rows, lists, set(range(1_800, 2_000)))
    few = len([each for each in lists.saved()[1] if len(each)])
    assert few < many / 2  # what has few rows left is given up
    assert recall(rows, lists, vectors, range(1_800, 2_000)) >= 0.99
    lists.grow(range(1_800))
    check(rows, lists, set(range(2_000)))
    assert len(lists.saved()[1]) <= 1.5 * many  # those that were given up are used again
    assert recall(rows, lists, vectors, range(0, 2_000, 10)) >= 0.99


def test_the_last_row_may_go() -> None:
    vectors = clustered(100)
    rows = filled(vectors)
    lists = Lists(rows, TIGHT).grow(range(100))
    lists.doomed.extend(range(100))
    lists.grow(())
    check(rows, lists, set())
    assert found(rows, lists, vectors[0]) == []
    lists.grow(range(100))
    check(rows, lists, set(range(100)))


def test_a_row_that_goes_before_it_is_in_a_list_never_gets_there() -> None:
    rows = filled(clustered(100))
    lists = Lists(rows, TIGHT)
    lists.doomed.extend([3, 4])
    lists.grow(range(100))
    check(rows, lists, set(range(100)) - {3, 4})
    assert list(rows.buried) == [3, 4]


def test_halted_it_adds_no_more() -> None:
    rows = filled(clustered(100))
    rows.halted.set()
    assert len(Lists(rows, TIGHT).grow(range(100))) == 0


def test_rows_that_are_all_the_same_are_one_list() -> None:
    vectors = np.repeat(clustered(1), 1_000, axis=0)
    rows = filled(vectors)
    lists = Lists(rows, TIGHT).grow(range(1_000))
    check(rows, lists, set(range(1_000)))
    assert len(lists.saved()[1]) == 1
    other = -vectors[:1]
    vector, factor = kept(rows, other)
    slot = rows.put(HERE, key(9_000), vector, factor, expires=LATER, added=START)
    lists.grow([slot])
    assert found(rows, lists, other[0]) == [slot]


def kept(rows: Rows, vectors: np.ndarray) -> tuple[np.ndarray, float]:
    vector, factors = rows.precision.keep(list(vectors))
    return vector[0], float(factors[0])


def test_a_state_that_a_search_looks_at_does_not_change() -> None:
    vectors = clustered(1_000)
    rows = filled(vectors)
    lists = Lists(rows, TIGHT).grow(range(500))
    state = lists._state
    assert state is not None
    before = [each.slots.copy() for each in state.lists]
    lists.doomed.extend(range(250))
    lists.grow(range(500, 1_000))
    assert lists._state is not state
    assert all((each.slots == old).all() for each, old in zip(state.lists, before, strict=True))
    assert sum(map(len, before)) == state.rows == 500


def test_nothing_is_near_where_no_list_is() -> None:
    vectors = clustered(10)
    rows = filled(vectors)
    assert found(rows, Lists(rows, TIGHT), vectors[0]) == []


def test_what_is_divided_has_a_centre_for_each_cluster() -> None:
    dice = np.random.default_rng(2)
    centres = np.eye(3, DIMENSIONS)
    vectors = centres[dice.integers(0, 3, 6_000)] + 0.05 * dice.normal(size=(6_000, DIMENSIONS))
    made = divided(shrunk(vectors.astype(np.float32)), 3)
    cosines = made.astype(np.float32) @ centres.T / 127
    assert cosines.max(axis=1).min() > 0.6
    assert len(divided(np.ones((50, DIMENSIONS), np.int8), 3)) == 1


@pytest.mark.parametrize("dimensions", [8, 64, 384, 1_000])
def test_sketches_tell_angles(dimensions: int) -> None:
    sketcher = Sketcher(dimensions)
    vectors = clustered(60, dimensions=dimensions)
    bits = sketcher.sketch(vectors)
    assert bits.shape == (60, sketcher.width)
    assert (Sketcher(dimensions).sketch(vectors) == bits).all()
    parted = apart(bits[:1], [packed_bits(bits[:20]), packed_bits(bits[20:])])
    assert parted.tolist() == np.bitwise_count(bits ^ bits[0]).sum(axis=1).tolist()
    turns = np.arccos(np.clip(vectors @ vectors[0], -1, 1)) / np.pi
    assert np.abs(parted / max(dimensions, 256) - turns).max() < 0.2


def test_whole_numbers_point_where_their_vectors_do() -> None:
    vectors = 3 * clustered(50)
    for made in (shrunk(vectors), shrunk(vectors.astype(np.float16)), levelled(vectors)):
        assert made.dtype == np.int8
        wide = made.astype(np.float32)
        cosines = (wide * vectors).sum(axis=1) / np.linalg.norm(wide, axis=1) / 3
        assert cosines.min() > 0.999
    assert np.abs(np.linalg.norm(levelled(vectors).astype(np.float32), axis=1) - 127).max() < 3
    assert not levelled(np.zeros((1, 4), np.float32)).any()
