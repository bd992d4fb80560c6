"""What 304s, HEAD and unsafe requests change, and what may be reused."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from support.cranked import Given, entry

from proxy.model.decision import Hit, Miss, Why
from proxy.model.entry import Lifetime
from proxy.model.message import Head, Headers, Request
from proxy.model.query import Controls
from proxy.rfc9111.freshening import describes, freshened
from proxy.rfc9111.invalidation import invalidated
from proxy.rfc9111.reuse import reuse


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


STORED = replace(entry(), lifetime=Lifetime(60.0, 10.0, 20.0, 3600.0), stored_at=0.0)
STRICT = replace(STORED, head=Head(200, "OK", h(("Cache-Control", "max-age=60, must-revalidate"))))


@pytest.mark.parametrize(
    ("now", "controls", "expected"),
    [
        (59.0, Controls(), Hit(STORED, Why.FRESH, "t")),
        (60.0, Controls(), Hit(STORED, Why.SWR, "t")),
        (70.0, Controls(), Miss(Why.EXPIRED, STORED, "t")),
        (80.0, Controls(), Miss(Why.EXPIRED, None, "t")),
        (1.0, Controls(no_cache=True), Miss(Why.NO_CACHE, None, "t")),
        (11.0, Controls(max_age=10.0), Miss(Why.MAX_AGE, None, "t")),
        (9.0, Controls(max_age=10.0), Hit(STORED, Why.FRESH, "t")),
        (51.0, Controls(min_fresh=10.0), Miss(Why.MIN_FRESH, None, "t")),
        (65.0, Controls(max_age=100.0), Miss(Why.EXPIRED, None, "t")),
        (1000.0, Controls(max_stale=inf), Hit(STORED, Why.MAX_STALE, "t")),
        (100.0, Controls(max_stale=10.0), Miss(Why.EXPIRED, None, "t")),
    ],
)
def test_what_is_stored_is_reused_as_sections_4_and_5_2_1_allow(
    now: float, controls: Controls, expected: Hit | Miss
) -> None:
    assert reuse(STORED, "t", controls, now) == expected


def test_who_takes_what_is_stale_is_not_given_what_forbids_it() -> None:
    assert reuse(STRICT, "t", Controls(max_stale=inf), 61.0) == Miss(Why.EXPIRED, None, "t")
