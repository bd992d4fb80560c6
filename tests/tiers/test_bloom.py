"""The filter of digests: never too few, seldom too many, and full in good time."""

from __future__ import annotations

import random
import struct
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tiers.bloom import Bloom, load

DIGESTS = st.binary(min_size=32, max_size=32)


def keyed(number: int) -> bytes:
    """A digest as the proxy makes them."""
    return blake2b(number.to_bytes(8), digest_size=32, key=b"a secret of the proxy").digest()


def filled(capacity: int, count: int) -> Bloom:
    kept = Bloom(capacity)
    assert all(kept.add(keyed(number)) for number in range(count))
    return kept


@given(added=st.lists(DIGESTS, max_size=60))
def test_it_holds_all_that_was_added(added: list[bytes]) -> None:
    kept = Bloom(100)
    assert all(map(kept.add, added))
    assert all(map(kept.holds, added))
    assert len(kept) <= len(set(added))


def test_full_of_keyed_digests_it_is_wrong_no_oftener_than_it_should() -> None:
    kept = filled(20_000, 20_000)
    wrong = sum(kept.holds(keyed(number)) for number in range(100_000, 120_000))
    assert wrong / 20_000 <= 0.015


def test_it_says_that_it_is_full_before_it_is() -> None:
    kept = filled(1000, 880)
    assert not kept.full
    for number in range(1000, 1050):
        kept.add(keyed(number))
    assert kept.full


def test_beyond_its_room_nothing_is_held_and_that_is_told() -> None:
    kept = Bloom(50)
    taken = [kept.add(keyed(number)) for number in range(200)]
    assert not all(taken)
    assert all(kept.holds(keyed(number)) for number in range(200) if taken[number])
    assert kept.dump() == load(kept.dump()).dump()


def test_equal_digests_count_once() -> None:
    kept = Bloom(100)
    for _ in range(1000):
        assert kept.add(b"d" * 32)
    assert len(kept) == 1


def test_bytes_are_no_text_and_no_number() -> None:
    """The library would take 1 for "1", and bytes for their own spelling."""
    kept = Bloom(100)
    kept.add(b"1")
    assert not kept.holds(b"b'1'")
    assert not kept.holds(b"\x01")
    for odd in (1, "1"):
        with pytest.raises(AttributeError):
            kept.add(odd)  # type: ignore[arg-type] # that is the question


@given(st.lists(DIGESTS, max_size=60), st.integers(1, 500))
def test_what_was_dumped_is_loaded_as_it_was(added: list[bytes], capacity: int) -> None:
    kept = Bloom(capacity)
    held = [digest for digest in added if kept.add(digest)]
    loaded = load(kept.dump())
    assert all(map(loaded.holds, held))
    assert (len(loaded), loaded.full) == (len(kept), kept.full)
    assert loaded.dump() == kept.dump()
    assert loaded.add(b"n" * 32) == kept.add(b"n" * 32)
    assert loaded.dump() == kept.dump()


@given(st.binary(max_size=200))
def test_what_no_filter_dumped_is_refused_or_harmless(garbage: bytes) -> None:
    try:
        load(garbage).holds(b"d" * 32)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("capacity", "count", "size"),
    [
        (0, 0, 16),
        (2**62, 0, 1000),  # nothing of that size may be made before this is seen
        (100, 102, 120),
        (100, 5, 100),
        (100, 5, 1000),
    ],
)
def test_numbers_that_do_not_fit_what_follows_are_refused(
    capacity: int, count: int, size: int
) -> None:
    with pytest.raises(ValueError, match=r"numbers|cut short"):
        load(struct.pack(">QQ", capacity, count) + bytes(size))


def test_a_flipped_size_is_refused_however_it_is_flipped() -> None:
    dumped = bytearray(filled(100, 10).dump())
    dice = random.Random(1)
    for _ in range(200):
        odd = bytes(dumped[: dice.randrange(len(dumped))])
        with pytest.raises(ValueError, match=r"numbers|cut short"):
            load(odd)
