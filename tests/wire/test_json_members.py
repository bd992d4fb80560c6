"""A member goes, and every other byte stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chat_answers import values, words
from support.properties import unhurried

from proxy.wire.json_members import without

names = st.sampled_from(["cache", "usage", 'a"b', "\\", "é", "{"]) | words


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        (b'{"a":1.50,"cache":{"ttl":5},"b":1E5}', b'{"a":1.50,"b":1E5}'),
        (b'{"cache": {"ttl": 5}, "a": -0.0}', b'{"a": -0.0}'),
        (b'{ "a" : 1 , "cache" : [ {} , 2 ] }', b'{ "a" : 1 }'),
        (b'{"cache":null}', b"{}"),
        (b'{"a":"cache","b":{"cache":1}}', b'{"a":"cache","b":{"cache":1}}'),
        (b'{"a":"\\"cache\\":1,","c\\u0061che":true}', b'{"a":"\\"cache\\":1,"}'),
        (b'{"a":"\\\\","cache":"}]","b":"{["}', b'{"a":"\\\\","b":"{["}'),
        (b"{}", b"{}"),
    ],
)
def test_the_member_goes_with_its_comma_and_all_else_keeps_its_spelling(
    raw: bytes, left: bytes
) -> None:
    assert without(raw, "cache") == left


@unhurried
@given(
    st.dictionaries(names, values, max_size=5),
    names,
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_what_is_left_reads_as_the_object_less_the_member(
    whole: dict[str, Any], name: str, indent: int | None, ascii_only: bool
) -> None:
    raw = json.dumps(whole, indent=indent, ensure_ascii=ascii_only).encode()
    left = without(raw, name)
    whole.pop(name, None)
    assert json.dumps(json.loads(left)) == json.dumps(whole)
