"""Picking fields out of headers."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from proxy.model.headers import Names, Received
from proxy.model.message import Headers
from proxy.wire.picking import Picking, size_of

PAIRS = st.lists(st.tuples(st.sampled_from(["A", "a", "b", "B", "c", "D"]), st.text(max_size=3)))


def counts(name: str) -> bool:
    return name in {"a", "b"}


@given(st.lists(PAIRS, max_size=4))
def test_the_fields_that_count_are_picked_however_often_their_names_came(
    heads: list[list[tuple[str, str]]],
) -> None:
    picking = Picking(counts)
    for pairs in heads + heads:
        kept = [(name, value) for name, value in pairs if counts(name.lower())]
        names, values = picking(Headers(pairs))
        assert list(zip(names, values, strict=True)) == kept
        received = Received(Names.of(name for name, _ in pairs), [value for _, value in pairs])
        assert picking(received) == (names, values)


def test_one_value_under_two_names_is_not_the_same() -> None:
    picking = Picking(counts)
    assert picking(Headers([("a", "1")])) != picking(Headers([("b", "1")]))


def test_names_that_clients_make_up_are_not_remembered_without_bound() -> None:
    picking = Picking(counts)
    tracemalloc.start()
    try:
        for number in range(600):
            picking(Headers((f"x-{number}-{place}", "") for place in range(60)))
            picking(Headers([(f"x-{number}-" + "y" * 5000, "")]))
        assert tracemalloc.get_traced_memory()[0] < 3 * 2**20
    finally:
        tracemalloc.stop()


def test_what_is_picked_is_not_made_out_smaller_than_it_is() -> None:
    names = tuple(f"name-{number}" for number in range(20))
    values = tuple(f"value-{number}" for number in range(20))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [(names, tuple(value + "x" for value in values)) for _ in range(50)]
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken <= sum(map(size_of, kept))
