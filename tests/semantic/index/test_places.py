"""The table of slots by digest, against a dictionary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.semantic.index.places import NOWHERE, Places

CAPACITY = 24


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, CAPACITY - 1)), max_size=200),
    spread=st.sampled_from([1, 2**61, 2**64]),
)
@unhurried
def test_it_holds_what_a_dictionary_holds(steps: list[tuple[bool, int]], spread: int) -> None:
    """With digests that all point to one place, too."""
    digests = [(number * spread).to_bytes(32) for number in range(CAPACITY)]
    places = Places(CAPACITY, lambda slot: digests[slot])
    there: set[int] = set()
    for put, slot in steps:
        if put and slot not in there:
            places.put(digests[slot], slot)
            there.add(slot)
        elif not put and slot in there:
            places.drop(digests[slot], slot)
            there.remove(slot)
        for each in range(CAPACITY):
            found = places.find(digests[each], lambda _: True)
            assert found == (each if each in there else NOWHERE)


def test_of_slots_with_one_digest_the_right_one_is_found() -> None:
    places = Places(8, lambda _: b"d" * 32)
    for slot in range(4):
        places.put(b"d" * 32, slot)
    assert places.find(b"d" * 32, lambda slot: slot == 2) == 2
    places.drop(b"d" * 32, 1)
    assert places.find(b"d" * 32, lambda slot: slot == 1) == NOWHERE
    assert places.find(b"d" * 32, lambda slot: slot == 3) == 3
