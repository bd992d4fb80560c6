"""Query strings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.wire.parameters import document_of, parameters


def raw(query_string: str) -> list[str]:
    found = parameters(query_string)
    assert found is not None
    return [each.raw for each in found]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("a=1&b=2", "b=2&a=1", True),
        ("a=1&b=2", "&&b=2&a=1&", True),
        ("a=1&a=2", "a=2&a=1", False),
        ("a=1&b=0&a=2", "b=0&a=1&a=2", True),
        # One name to readers that take names without regard to case, decode them, or take them
        # apart.
        ("a=1&A=2", "A=2&a=1", False),
        ("a=1&%61=2", "%61=2&a=1", False),
        ("a=1&a[]=2", "a[]=2&a=1", False),
        ("a[x]=1&a.x=2", "a.x=2&a[x]=1", False),
        # One value to most readers, but not to all.
        ("q=a+b", "q=a%20b", False),
        ("q=a%2fb", "q=a%2Fb", False),
        ("q=", "q", False),
    ],
)
def test_only_the_order_of_different_names_does_not_count(
    one: str, other: str, equal: bool
) -> None:
    assert (raw(one) == raw(other)) is equal


@pytest.mark.parametrize("query_string", ["a=1;b=2", "q=naïve", "q=\udcff"])
def test_what_readers_may_read_differently_is_not_read(query_string: str) -> None:
    assert parameters(query_string) is None


def test_parameters_are_a_document_of_texts() -> None:
    found = parameters("q=why%20so%3F&tag=a&tag=b&flag&bad=%ff&x+y=1+1")
    assert found is not None
    assert document_of(found) == {
        "q": "why so?", "tag": ["a", "b"], "flag": "", "bad": "%ff", "x y": "1 1",
    }  # fmt: skip
    assert [each.value for each in found if each.name == "bad"] == [None]


@given(st.lists(st.from_regex(r"[a-cA-C%.\[\]0-9]{0,4}(=[a-z%0-9]{0,3})?", fullmatch=True)))
@unhurried
def test_nothing_is_lost_and_no_family_is_reordered(parts: list[str]) -> None:
    query_string = "&".join(parts)
    found = raw(query_string)
    assert sorted(found) == sorted(part for part in parts if part)
    assert raw("&".join(found)) == found
