"""JSON taken apart: what is found is what a reader finds, byte for byte."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.wire.json_slices import around, elements, members, written

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5)
values = st.recursive(
    scalars | numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
styles = st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])


def dump(value: object, style: dict[str, object]) -> bytes:
    return json.dumps(value, **style).encode("utf-8", "surrogatepass")  # type: ignore[arg-type]


@unhurried
@given(st.dictionaries(st.text(max_size=5), values, max_size=5), styles)
def test_an_object_has_the_members_it_has(value: dict[str, object], style: dict) -> None:
    raw = dump(value, style)
    found = members(raw)

    assert {name: json.loads(part) for name, part in found.items()} == value
    assert list(found) == list(value)
    assert json.loads(written(found.items())) == value
    for name, part in found.items():
        before, one, after = around(raw, name)
        assert (one, before + one + after) == (part, raw)


@unhurried
@given(st.lists(values, max_size=6), styles)
def test_a_list_has_the_elements_it_has(value: list[object], style: dict) -> None:
    raw = dump(value, style)
    assert [json.loads(part) for part in elements(raw)] == value


@unhurried
@given(values, styles, st.data())
def test_no_part_of_a_document_is_taken_for_all_of_it(
    value: object, style: dict, data: st.DataObject
) -> None:
    raw = dump({"a": value, "b": [value]}, style)
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(ValueError, match=r".*"):
        members(raw[:cut])
    with pytest.raises(ValueError, match=r".*"):
        elements(dump([value], style)[:-1])


def test_numbers_keep_their_digits() -> None:
    raw = b'{"a": [1.50, 2e0,\n-0.00 ], "b":1e2}'
    assert members(raw) == {"a": b"[1.50, 2e0,\n-0.00 ]", "b": b"1e2"}
    assert elements(members(raw)["a"]) == [b"1.50", b"2e0", b"-0.00"]


@pytest.mark.parametrize(
    "raw",
    [
        b'["]", "[", "{", "\\"]", "\\\\"]',
        b'[{"a]": "}"}, [[]], [{}], {}]',
        b'[[1, [2, {"]": 3}]], ["a", [1,2]], [], [ ]]',
    ],
)
def test_what_looks_like_structure_within_texts_is_none(raw: bytes) -> None:
    assert [orjson.loads(part) for part in elements(raw)] == orjson.loads(raw)


def test_of_two_members_with_one_name_the_last_counts() -> None:
    raw = b'{"a": 1, "\\u0061": 2}'
    assert members(raw) == {"a": b"2"}
    assert around(raw, "a").value == b"2"


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"1", b"[1]", b"{", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":1,}', b'{"a" 1}',
        b"{1:2}", b'{"a":1}}', b'{"a":1} x', b'{"a":"b}', b'{"a":[1}', b'{"a":{"b":1}', b'{"a":}',
    ],
)  # fmt: skip
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        members(raw)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[", b"[1", b"[1,", b"[1,]", b"[1] 2", b'["a]'])
def test_what_is_no_list_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        elements(raw)


def test_a_member_that_is_not_there_is_not_found() -> None:
    with pytest.raises(KeyError):
        around(b'{"a":1}', "b")


@pytest.mark.parametrize("begin", [b"[", b'{"a":'])
def test_what_nests_deeper_than_can_be_read_is_refused_at_once(begin: bytes) -> None:
    # A search for the end from each beginning would take minutes.
    with pytest.raises(ValueError, match="too deep"):
        elements(b"[" + begin * 500_000 + b"]")
