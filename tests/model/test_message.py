"""What crosses the wire: header fields as they came, found without regard to case."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.model.message import Head, Headers, Request

MIXED = Headers([("Accept", "a"), ("X-Two", "1"), ("x-two", "2"), ("Set-Cookie", "c=1; a, b")])
SECRET = "sk-secret"


def test_a_field_is_found_without_regard_to_the_case_of_its_name() -> None:
    assert MIXED.get("accept") == "a"
    assert "accept" in MIXED
    assert "x-three" not in MIXED
    assert MIXED.get("x-three") == ""
    assert MIXED.get("x-three", "default") == "default"


def test_repeated_fields_are_joined_in_order_and_can_be_had_apart() -> None:
    assert MIXED.get("x-two") == "1, 2"
    assert MIXED.all("x-two") == ("1", "2")
    assert MIXED.all("set-cookie") == ("c=1; a, b",)
    assert MIXED.all("x-three") == ()


def test_an_empty_field_is_there() -> None:
    headers = Headers([("X-Empty", ""), ("X-Empty", "")])
    assert "x-empty" in headers
    assert headers.get("x-empty", "default") == ", "


@pytest.mark.parametrize("length", [20, 64, 65, 8000])
def test_names_that_clients_make_up_are_found_and_not_remembered_without_bound(length: int) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100):
            names = [f"X-{number}-{n}-".ljust(length, "Y") for n in range(100)]
            headers = Headers((name, name) for name in names)
            assert all(headers.get(name.lower()) == name for name in names)
        del names, headers
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2 * 2**20
    assert MIXED.without(frozenset({"accept"})).get("x-two") == "1, 2"


def test_order_and_spelling_stay_as_they_came() -> None:
    assert list(MIXED)[1:3] == [("X-Two", "1"), ("x-two", "2")]
    assert len(MIXED) == 4
    assert not Headers()


def test_to_take_away_or_add_makes_new_headers() -> None:
    fewer = MIXED.without(frozenset({"x-two", "x-three"}))
    assert list(fewer) == [("Accept", "a"), ("Set-Cookie", "c=1; a, b")]
    more = fewer.plus(("Accept", "b"), ("X-New", "1"))
    assert more.get("accept") == "a, b"
    assert more.get("x-new") == "1"
    assert "x-new" not in fewer
    assert MIXED.get("x-two") == "1, 2"
    assert fewer.plus() == fewer


def test_headers_are_equal_when_their_pairs_are() -> None:
    same = Headers(iter(MIXED))
    assert same == MIXED
    assert hash(same) == hash(MIXED)
    assert same.index() == MIXED.index()
    assert Headers([("accept", "a")]) != Headers([("Accept", "a")])
    assert Headers([("A", "1"), ("B", "2")]) != Headers([("B", "2"), ("A", "1")])
    assert Headers() != ()


@given(st.lists(st.tuples(st.sampled_from(["A", "a", "B"]), st.text(max_size=3))))
def test_what_is_joined_is_all_there_is(pairs: list[tuple[str, str]]) -> None:
    headers = Headers(pairs)
    for name in ("a", "b", "c"):
        assert headers.get(name) == ", ".join(headers.all(name))
        assert (name in headers) == bool(headers.all(name))
    assert headers.without(frozenset({"a"})).all("b") == headers.all("b")


def test_values_are_secrets_and_shown_to_nobody() -> None:
    shown = repr(Headers([("Authorization", SECRET)]))
    assert "Authorization" in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("content_type", "media_type"),
    [
        ("application/json", "application/json"),
        ("Text/Event-Stream; charset=utf-8", "text/event-stream"),
        (" text/plain ;x", "text/plain"),
        ("", ""),
        (";", ""),
    ],
)
def test_a_media_type_is_in_lower_case_and_without_parameters(
    content_type: str, media_type: str
) -> None:
    assert Head(200, "OK", Headers([("Content-Type", content_type)])).media_type == media_type
    assert Head(200, "OK", Headers()).media_type == ""


@pytest.mark.parametrize(
    ("path", "query_string", "target"),
    [("/", "", "/"), ("/a%2Fb", "x=1&y", "/a%2Fb?x=1&y"), ("/a", "?", "/a??")],
)
def test_a_target_is_path_and_query_string(path: str, query_string: str, target: str) -> None:
    request = Request("GET", path, query_string, Headers(), body=None)  # type: ignore[arg-type] # not read
    assert request.target == target
