"""What the users of the load test ask."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from benchmarks.users.prompts import Prompts


def drawn(number: int, exponent: float, times: int = 20_000) -> Counter[str]:
    prompts = Prompts(number, exponent, 5, random.Random(1))
    return Counter(prompts.draw() for _ in range(times))


def test_popularity_follows_zipfs_law() -> None:
    prompts, found = Prompts(100, 1.0, 5, random.Random(1)), drawn(100, 1.0)
    first, fourth = found[prompts.of(1)], found[prompts.of(4)]
    assert 3.4 < first / fourth < 4.6


def test_an_exponent_of_0_makes_all_alike_often() -> None:
    found = drawn(10, 0.0)
    assert len(found) == 10
    assert max(found.values()) < 1.2 * min(found.values())


def test_a_prompt_has_its_rank_and_its_length_and_is_always_the_same() -> None:
    one, other = (Prompts(10, 0.9, 40, random.Random(seed)) for seed in (1, 2))
    assert one.of(7) == other.of(7) != one.of(8)
    assert len(one.of(7).split()) == 40


@pytest.mark.parametrize(("number", "words"), [(0, 5), (5, 0)])
def test_nothing_to_ask_is_refused(number: int, words: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Prompts(number, 1.0, words, random.Random(1))
