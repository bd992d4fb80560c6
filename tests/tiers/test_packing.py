"""Entries packed for memory: nothing is lost, and what many have in common is there once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried
from support.tier_contract import KEY, OTHER, entry

from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.meaning import Wording
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Usage
from proxy.tiers.packing import Packed, Packing, dead_at, size_of, unpacked


def opened(packed: Packed, digest: bytes = KEY.digest) -> Entry:
    return unpacked(digest, packed.kind, packed.rest, packed.body)


def headed(*values: str, names: str = "abc") -> Entry:
    """An entry with these values in fields of these names."""
    return replace(entry(), head=Head(200, "OK", Headers(zip(names, values, strict=True))))


any_text = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=12)
tags = st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=8), max_size=3)
seconds = st.floats(0, allow_nan=False)
counts = st.integers(-(2**70), 2**70) | st.sampled_from([0, 2**32 - 1, 2**32])
forms = st.builds(Form, st.booleans(), st.booleans())
names = st.sampled_from(["Date", "date", "x-a", "\udcff"])
entries = st.builds(
    Entry,
    st.builds(CacheKey, st.sampled_from(["a", "b\udcff"]), st.just(KEY.digest)),
    st.sampled_from(["openai_chat", ""]),
    any_text,
    st.builds(
        Head,
        st.sampled_from([200, 404]),
        any_text,
        st.lists(st.tuples(names, any_text), max_size=4).map(Headers),
    ),
    forms,
    st.binary(max_size=20),
    seconds,
    st.builds(Lifetime, seconds, *[st.sampled_from([0.0, 60.0, 1e9])] * 3),
    seconds,
    st.none() | st.builds(Usage, counts, counts),
    st.none() | forms,
    seconds,
    st.integers(0, 2**63),
    any_text,
    tags.map(tuple),
    st.booleans(),
    st.none() | st.builds(Wording, st.binary(min_size=16, max_size=16), any_text),
)


@unhurried
@given(st.lists(entries, min_size=1, max_size=5))
def test_whatever_is_packed_is_unpacked_as_it_was(several: list[Entry]) -> None:
    packing = Packing()
    packed = [packing.pack(each) for each in several]
    for each, its in zip(several, packed, strict=True):
        assert opened(its) == each
        assert size_of(its.rest) == its.size
        assert dead_at(its.kind, its.rest) == (
            each.stored_at + each.lifetime.keep - each.initial_age
        )
    for its in packed:
        packing.release(its.kind)
    assert packing.bytes == 0


def test_a_body_is_kept_as_it_is_and_not_copied() -> None:
    body = bytes(1000)
    assert opened(Packing().pack(entry(body=body))).body is body


def test_what_differs_from_the_first_takes_its_own_bytes_and_nothing_else_does() -> None:
    packing = Packing()
    first = packing.pack(headed("one", "two", "three"))
    same = packing.pack(headed("one", "two", "three"))
    other = packing.pack(headed("one", "another", "three"))
    assert len(first.rest) == len(same.rest)
    assert len(other.rest) == len(first.rest) + len("another") + 8
    assert other.size == first.size + len("another") + 8


def test_entries_of_one_caller_are_of_one_kind_and_of_several_have_one_mould() -> None:
    packing = Packing()
    first = packing.pack(entry(KEY))
    shared = packing.bytes
    second = packing.pack(replace(entry(OTHER), lifetime=Lifetime(59.0), upstream_s=3.0))
    assert second.kind is first.kind
    assert packing.bytes == shared
    third = packing.pack(entry(CacheKey("another", OTHER.digest)))
    assert third.kind is not first.kind
    assert third.kind.mould is first.kind.mould
    assert packing.bytes == shared + third.kind.bytes


def different() -> Iterator[Entry]:
    """Entries whose heads have no mould in common."""
    yield headed("1", "2", "3")
    yield headed("1", "2", "3", names="abC")  # to be told in the spelling it came in
    yield headed("1", "2", names="ab")
    yield headed("1", "2", "3", names="acb")
    yield replace(entry(), head=Head(404, "OK", headed("1", "2", "3").head.headers))
    yield replace(entry(), head=Head(200, "Fine", headed("1", "2", "3").head.headers))
    yield replace(headed("1", "2", "3"), dialect="ollama")


def test_heads_that_differ_in_more_than_values_are_no_one_mould() -> None:
    packing = Packing()
    packed = [packing.pack(each) for each in different()]
    assert len({each.kind.mould for each in packed}) == len(packed)
    for each, its in zip(different(), packed, strict=True):
        assert opened(its) == each


def test_a_mould_goes_with_the_last_that_is_made_of_it_and_not_before() -> None:
    packing = Packing()
    first = packing.pack(headed("1", "2", "3"))
    second = packing.pack(headed("4", "2", "3"))
    packing.release(first.kind)
    assert opened(second) == headed("4", "2", "3")
    third = packing.pack(headed("4", "2", "3"))
    assert len(third.rest) == len(second.rest)  # the values of the first are still what counts
    packing.release(second.kind)
    packing.release(third.kind)
    assert packing.bytes == 0
    assert len(packing.pack(headed("4", "2", "3")).rest) == len(first.rest)


def test_thousands_of_made_up_heads_leave_nothing_behind() -> None:
    packing = Packing()
    for number in range(2000):
        made_up = headed("v", names=chr(0x4E00 + number))
        packed = packing.pack(replace(made_up, model=f"model-{number}"))
        assert packing.bytes == packed.alone - packed.size
        packing.release(packed.kind)
    assert packing.bytes == len(packing._moulds) == len(packing._kinds) == 0


@pytest.mark.parametrize("words", ["one", "two words \N{SNOWMAN}"])
def test_neither_words_nor_tags_outlive_their_entry(words: str) -> None:
    packing = Packing()
    told = replace(entry(), tags=(words,), wording=Wording(b"n" * 16, words))
    packed = packing.pack(told)
    assert opened(packed) == told
    other = packing.pack(entry())
    assert words.encode() not in other.rest
    assert opened(other) == entry()


def test_who_says_how_large_entries_are_is_believed() -> None:
    packing = Packing(sized=lambda each: 10 * len(each.body))
    packed = packing.pack(entry(body=b"12345"))
    assert (packed.size, packed.alone, packing.bytes) == (50, 50, 0)
    packing.release(packed.kind)
    assert packing.bytes == 0


def test_an_entry_says_about_what_it_takes() -> None:
    for body in (b"", bytes(2048)):
        each = headed("Sun, 22 Nov 2026 10:00:00 GMT", "2", "3")
        packing = Packing()
        packing.pack(headed("another", "2", "3"))
        packed = packing.pack(replace(each, body=body))
        assert replace(each, body=body).stored_size == pytest.approx(packed.size, abs=30)
