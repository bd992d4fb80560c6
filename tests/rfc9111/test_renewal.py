"""What 304s, HEAD and unsafe requests change."""

from __future__ import annotations

import pytest
from support.cranked import Given

from proxy.model.message import Head, Headers, Request
from proxy.rfc9111.freshening import describes, freshened
from proxy.rfc9111.invalidation import invalidated


def h(*pairs: tuple[str, str]) -> Headers:
    return Headers(pairs)


def test_a_304_takes_the_place_of_all_fields_it_has_but_those_about_the_bytes() -> None:
    stored = h(
        ("ETag", '"a"'), ("Content-Encoding", "gzip"), ("X", "1"), ("X", "2"), ("Y", "1"),
        ("Content-Type", "a/b"),
    )  # fmt: skip
    new = h(("x", "3"), ("ETag", '"b"'), ("Content-Encoding", "br"), ("Content-Type", "c/d"))
    assert freshened(stored, new).pairs == (
        ("ETag", '"a"'), ("Content-Encoding", "gzip"), ("Y", "1"), ("x", "3"),
        ("Content-Type", "c/d"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "length", "same"),
    [
        (h(), None, True),
        (h(), 4, True),
        (h(), 5, False),
        (h(("ETag", '"a"')), 4, True),
        (h(("ETag", '"b"')), 4, False),
        (h(("Last-Modified", "x")), 4, False),
    ],
)
def test_an_answer_to_head_is_about_what_is_stored_if_nothing_speaks_against_it(
    answer: Headers, length: int | None, same: bool
) -> None:
    assert describes(answer, h(("ETag", '"a"')), length, 4) is same


def written(method: str, status: int = 200, *pairs: tuple[str, str]) -> set[tuple[str, str]]:
    request = Request(method, "/a/b", "q=1", h(("Host", "Here:80")), Given(b""))
    return set(invalidated(request, Head(status, "", h(*pairs))))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "WHATEVER"])
def test_an_unsafe_request_makes_its_target_untrue_unless_it_fails(method: str) -> None:
    assert written(method) == {("/a/b", "q=1")}
    assert written(method, 302) == {("/a/b", "q=1")}
    assert written(method, 404) == set()
    assert written(method, 500) == set()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_a_safe_one_makes_nothing_untrue(method: str) -> None:
    assert written(method) == set()


@pytest.mark.parametrize(
    ("location", "also"),
    [
        ("/c?d", {("/c", "d")}),
        ("c", {("/a/c", "")}),
        ("http://here:80/x", {("/x", "")}),
        ("http://here:80", {("/", "")}),
        ("http://elsewhere/x", set()),
        ("//elsewhere/x", set()),
        ("http://[", set()),
    ],
)
@pytest.mark.parametrize("name", ["Location", "Content-Location"])
def test_so_it_does_what_it_points_to_on_the_same_host(
    name: str, location: str, also: set[tuple[str, str]]
) -> None:
    assert written("POST", 201, (name, location)) == {("/a/b", "q=1")} | also
