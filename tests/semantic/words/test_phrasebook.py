"""Wordings, and the keys that they lead to."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from proxy.model.entry import CacheKey
from proxy.semantic.words.phrasebook import Phrasebook
from proxy.semantic.words.reading import read

_HERE = b"n" * 16
_THERE = b"m" * 16


def _key(number: int, scope: str = "s") -> CacheKey:
    return CacheKey(scope, number.to_bytes(32, "big"))


def _ask(number: int) -> str:
    return f"how do i cancel order {number} of my account"


def test_a_question_leads_to_its_key_and_so_does_one_with_a_slip() -> None:
    book = Phrasebook(10)
    book.learn(_HERE, read("how do i cancel my account"), _key(1))
    assert book.look(_HERE, read("how do i cancel my account")) == (_key(1),)
    assert book.look(_HERE, read("how do i cancle my account")) == (_key(1),)
    assert book.look(_HERE, read("how do i close a shop")) == ()
    assert book.look(_HERE, read("")) == ()
    assert book.look(_THERE, read("how do i cancel my account")) == ()
    assert len(book) == 1


def test_who_asks_in_the_same_words_comes_first_and_the_newest_of_them() -> None:
    book = Phrasebook(10)
    book.learn(_HERE, read("how do i cancle my account"), _key(1))
    book.learn(_HERE, read("how do i cancel my account"), _key(2))
    book.learn(_HERE, read("how do i cancel my account"), _key(3))
    assert book.look(_HERE, read("how do i cancel my account")) == (_key(3), _key(2), _key(1))


def test_a_wording_leads_to_four_keys_at_most() -> None:
    book = Phrasebook(10)
    for number in range(6):
        book.learn(_HERE, read(_ask(0)), _key(number))
    assert book.look(_HERE, read(_ask(0))) == tuple(map(_key, (5, 4, 3, 2)))
    assert len(book) == 6


def test_what_is_learnt_again_is_held_once() -> None:
    book = Phrasebook(10)
    book.learn(_HERE, read(_ask(1)), _key(1))
    size = book.bytes
    book.learn(_HERE, read(_ask(2)), _key(1))
    assert (len(book), book.bytes) == (1, size)
    assert book.look(_HERE, read(_ask(2))) == (_key(1),)
    assert book.look(_HERE, read(_ask(1))) == ()


def test_what_is_forgotten_leaves_nothing() -> None:
    book = Phrasebook(10)
    for number in range(5):
        book.learn(_HERE, read(_ask(number % 2)), _key(number, f"s{number}"))
    for number in range(5):
        book.forget(_key(number, f"s{number}"))
        book.forget(_key(number, f"s{number}"))
    assert (len(book), book.bytes, book._keys, book._scopes, book._sizes, book._heavy) == (
        0, 0, {}, {}, {}, set(),
    )  # fmt: skip
    book.learn(_HERE, read(_ask(1)), _key(1))
    book.clear()
    assert (len(book), book.bytes) == (0, 0)
    assert book.look(_HERE, read(_ask(1))) == ()


def test_nothing_is_learnt_where_there_is_no_question_or_no_room() -> None:
    book = Phrasebook(10)
    book.learn(_HERE, read("?"), _key(1))
    assert len(book) == 0
    for full in (Phrasebook(0), Phrasebook(10, most_bytes=100)):
        full.learn(_HERE, read(_ask(1)), _key(1))
        assert len(full) == 0


def test_the_least_recently_used_goes_first() -> None:
    book = Phrasebook(3)
    for number in range(3):
        book.learn(_HERE, read(_ask(number)), _key(number))
    book.look(_HERE, read(_ask(0)))
    book.learn(_HERE, read(_ask(3)), _key(3))
    assert [bool(book.look(_HERE, read(_ask(number)))) for number in range(4)] == [
        True, False, True, True,
    ]  # fmt: skip


def test_a_scope_that_floods_evicts_itself() -> None:
    book = Phrasebook(100)
    for number in range(20):
        book.learn(_HERE, read(_ask(number)), _key(number, "calm"))
    for number in range(1000):
        book.learn(_HERE, read(_ask(number)), _key(number, "flood"))
    assert len(book) == 100
    for number in range(20):
        assert _key(number, "calm") in book.look(_HERE, read(_ask(number)))


def test_one_scope_alone_may_have_it_all() -> None:
    book = Phrasebook(50)
    for number in range(80):
        book.learn(_HERE, read(_ask(number)), _key(number))
    assert len(book) == 50


@pytest.mark.parametrize("most_bytes", [10_000, 200_000])
def test_bytes_are_bounded_whatever_comes(most_bytes: int) -> None:
    dice = random.Random(7)
    book = Phrasebook(10_000, most_bytes=most_bytes)
    for _ in range(2000):
        number = dice.randrange(300)
        scope = f"s{number % 7}"
        if dice.random() < 0.2:
            book.forget(_key(number, scope))
        else:
            book.learn(_HERE, read("account " * dice.randrange(1, 30)), _key(number, scope))
        assert 0 <= book.bytes <= most_bytes
    assert book.bytes == sum(held.size for held in book._held.values())
    assert sum(book._sizes.values()) == book.bytes


def test_what_is_accounted_covers_what_is_used() -> None:
    texts = [read(_ask(number)) for number in range(2000)]
    keys = [(f"scope-{number % 50}", number.to_bytes(32, "big")) for number in range(2000)]
    tracemalloc.start()
    book = Phrasebook(10_000)
    before, _ = tracemalloc.get_traced_memory()
    for text, (scope, digest) in zip(texts, keys, strict=True):
        book.learn(_HERE, text, CacheKey(f"{scope} ", bytes([*digest])))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(book) == 2000
    assert used - before <= book.bytes <= 3 * (used - before)
