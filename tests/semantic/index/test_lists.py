"""Lists of near rows: what they find, and that they stay in order as rows come and go."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from support.index_contract import HERE, LATER, START, key

from proxy.semantic.index.dividing import divided
from proxy.semantic.index.lists import Lists
from proxy.semantic.index.look import Shape
from proxy.semantic.index.pages import PAGE
from proxy.semantic.index.precision import Dtype, Precision
from proxy.semantic.index.rows import Rows
from proxy.semantic.index.scan import Asked
from proxy.semantic.index.sketches import Sketcher, apart, levelled, shrunk

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
    slots, cosines = lists.look(vector).best(count, asked.alive)
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
        assert (
            lists._pages.sketches(each) == lists._sketcher.sketch(rows.vectors[each.slots])
        ).all()
        assert len(each.pages) == -(-len(each.slots) // PAGE)
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
    pages = np.concatenate(state.pages)
    slots, bits = state.slots[pages], state.bits[:, pages]
    lists.doomed.extend(range(250))
    for at in range(500, 1_000, 50):
        lists.grow(range(at, at + 50))
    assert lists._state is not state
    assert (state.slots[pages] == slots).all()
    assert (state.bits[:, pages] == bits).all()
    assert state.rows == sum(state.sizes) == 500


def test_pages_that_nobody_looks_at_are_used_again() -> None:
    vectors = clustered(1_000)
    rows = filled(vectors)
    lists = Lists(rows, TIGHT).grow(range(1_000))
    for at in range(100):
        lists.doomed.extend(range(at, at + 1))
        lists.grow(())
        lists.grow(range(at, at + 1))
    check(rows, lists, set(range(1_000)))
    needed = sum(len(each.pages) for each in lists._lists)
    assert lists._pages._used < 4 * needed


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
    assert bits.shape == (sketcher.words, 60)
    assert (Sketcher(dimensions).sketch(vectors) == bits).all()
    parted = apart(bits[:, :1], bits.copy())
    assert parted.tolist() == np.bitwise_count(bits ^ bits[:, :1]).sum(axis=0).tolist()
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


def test_who_finds_something_near_by_the_first_look_looks_no_further() -> None:
    vectors = clustered(4_000)
    rows = filled(vectors)
    lists = Lists(rows, Shape(rows=50, looked_at_first=1 / 20, looked_at_least=400))
    lists.grow(range(4_000))
    asked = near(vectors)
    nearest = [lists.look(each).glance(1, everything) for each in asked[:200]]
    there = [each for each in nearest if each is not None]
    assert len(there) > 100
    assert all(each.cosines.max() >= 0.87 for each in there)
    assert all(len(each.slots) < 400 for each in there)
    far = np.random.default_rng(3).normal(size=(20, DIMENSIONS)).astype(np.float32)
    far /= np.linalg.norm(far, axis=1, keepdims=True)
    for each in far:
        look = lists.look(each)
        assert look.glance(1, everything) is None
        assert len(look.best(1, everything).slots) >= 1


def test_what_is_gone_hides_nothing_that_is_near() -> None:
    vectors = clustered(2_000)
    rows = filled(np.concatenate([vectors, near(vectors)]))
    lists = Lists(rows, TIGHT).grow(range(4_000))
    for number in range(0, 2_000, 50):
        look = lists.look(vectors[number])
        found = look.best(1, lambda slots: slots >= 2_000)
        assert found.slots[found.cosines.argmax()] == 2_000 + number
        assert found.slots.min() >= 2_000


def test_what_is_near_but_gone_does_not_end_a_search() -> None:
    vectors = clustered(2_000)
    rows = filled(vectors)
    lists = Lists(rows, TIGHT).grow(range(2_000))
    gone = vectors @ vectors[7] > 0.6
    look = lists.look(vectors[7])
    assert look.glance(1, everything) is not None
    assert look.glance(1, lambda slots: ~gone[slots]) is None
    assert look.best(1, lambda slots: ~gone[slots]).cosines.max() < 0.6


@pytest.mark.parametrize("sign", [-1, 1])
def test_vectors_with_no_bit_or_all_are_told_from_rows_that_are_not_there(sign: int) -> None:
    vectors = sign * np.abs(clustered(300, dimensions=384))
    rows = filled(vectors)
    lists = Lists(rows, TIGHT).grow(range(300))
    assert sorted(found(rows, lists, vectors[0], 300)) == list(range(300))
    assert found(rows, lists, vectors[3]) == [3]


def everything(slots: np.ndarray) -> np.ndarray:
    return np.ones(len(slots), np.bool_)
