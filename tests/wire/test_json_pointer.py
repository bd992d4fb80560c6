"""JSON Pointers lead where RFC 6901 says, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.documents import documents
from support.properties import unhurried

from proxy.wire.json_pointer import Pointer

EXAMPLE = {  # section 5
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", EXAMPLE),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_the_examples_of_the_standard_lead_where_it_says(pointer: str, value: object) -> None:
    assert Pointer(pointer).find(EXAMPLE) == value


@pytest.mark.parametrize(
    "pointer",
    ["/no", "//", "/FOO", "/a~1b/0", *(f"/foo/{x}" for x in ("2", "-", "-1", "00", "1e0", "0/x"))],
)
def test_what_is_not_there_is_nothing(pointer: str) -> None:
    assert Pointer(pointer).find(EXAMPLE) is None


def test_digits_of_other_scripts_are_no_numbers() -> None:
    assert Pointer("/\u0661").find(["a", "b"]) is None


def test_no_list_is_so_long_that_a_number_of_5000_digits_leads_into_it() -> None:
    assert Pointer(f"/{'9' * 5000}").find([1]) is None


def test_a_number_is_a_name_in_an_object_and_a_place_in_a_list() -> None:
    assert Pointer("/0/1").find({"0": ["a", "b"]}) == "b"
    assert Pointer("/01").find({"01": 1}) == 1


def test_an_escaped_escape_is_not_undone_twice() -> None:
    assert Pointer("/~01").find({"~1": "here", "/": "not here"}) == "here"


@pytest.mark.parametrize("text", ["foo", "#/foo", " /foo", "/a~", "/a~2b", "/~/0"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 6901"):
        Pointer(text)


@unhurried
@given(documents)
def test_every_value_of_a_document_has_a_way_to_it(document: object) -> None:
    ways: list[tuple[str, object]] = [("", document)]
    for way, value in ways:
        found = Pointer(way).find(document)
        assert found is value
        if isinstance(value, dict):
            ways += [(f"{way}/{_escaped(name)}", inner) for name, inner in value.items()]
        elif isinstance(value, list):
            ways += [(f"{way}/{number}", inner) for number, inner in enumerate(value)]


@unhurried
@given(st.text(), documents)
def test_a_text_is_a_pointer_or_is_refused(text: str, document: object) -> None:
    try:
        pointer = Pointer(f"/{text}")
    except ValueError:
        assert "~" in text
    else:
        pointer.find(document)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


@pytest.mark.parametrize(
    ("pointer", "left"),
    [
        ("/a/b", {"a": {}, "l": [{"x": 1}, 2]}),
        ("/a", {"l": [{"x": 1}, 2]}),
        ("/l/0/x", {"a": {"b": 1}, "l": [{}, 2]}),
        ("/l/0", {"a": {"b": 1}, "l": [None, 2]}),
        ("/l/2", {"a": {"b": 1}, "l": [{"x": 1}, 2]}),
        ("/l/x", {"a": {"b": 1}, "l": [{"x": 1}, 2]}),
        ("/no/where", {"a": {"b": 1}, "l": [{"x": 1}, 2]}),
        ("", {"a": {"b": 1}, "l": [{"x": 1}, 2]}),
    ],
)
def test_what_it_leads_to_can_be_taken_out(pointer: str, left: object) -> None:
    document = {"a": {"b": 1}, "l": [{"x": 1}, 2]}
    Pointer(pointer).cut(document)
    assert document == left


def test_what_it_leads_to_can_be_replaced_but_nothing_is_added() -> None:
    document = {"a": {"b": 1}, "l": [1, 2]}
    for pointer in ("/a/b", "/l/1", "/a/c", "/l/2", "/x/y", ""):
        Pointer(pointer).put(document, None)
    assert document == {"a": {"b": None}, "l": [1, None]}


def test_its_names_are_told_unless_it_may_lead_through_a_list() -> None:
    assert Pointer("/a/b~1c").names == ("a", "b/c")
    assert Pointer("").names == ()
    assert Pointer("/a/0").names is None
