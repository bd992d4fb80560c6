"""Which stored response a request selects."""

from __future__ import annotations

import pytest

from proxy.model.message import Headers
from proxy.rfc9111.selecting import selected, selecting


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([], ()),
        ([""], ()),
        (["Foo"], ("foo",)),
        (["Foo, bar", "BAZ"], ("bar", "baz", "foo")),
        (["*"], None),
        (["*, *"], None),
        ([", *"], None),
        (["", "*"], None),
        (["Foo, *"], None),
        (["X-Forwarded-For"], None),  # what the backend saw is not what the client said
        (["Via, Foo"], None),
        (["CF-Visitor"], None),
        (["X-Forwarded-Scheme"], None),
        (["X-Forwarded-Prefix, Accept"], None),
    ],
)
def test_vary_names_the_fields_that_select(
    values: list[str], names: tuple[str, ...] | None
) -> None:
    assert selecting(Headers([("Vary", value) for value in values])) == names


def said(name: str, *values: str) -> tuple[str | None, ...]:
    return selected(Headers([(name, value) for value in values]), (name.lower(),))


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("Foo", ["1, 2"], ["1", "2"]),
        ("Foo", ["1,2"], [" 1, 2 "]),
        ("Accept-Language", ["en, de"], ["eN, De"]),
        ("Accept-Language", ["en, de;q=0.5"], [" en ,  de; q=0.5"]),
        ("Accept-Encoding", ["gzip"], ["GZIP"]),
    ],
)
def test_what_is_said_alike_selects_the_same(name: str, one: list[str], other: list[str]) -> None:
    assert said(name, *one) == said(name, *other)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("Foo", ["1"], ["2"]),
        ("Foo", ["a"], ["A"]),
        ("Foo", [], [""]),
        ("Foo", ["x y, z"], ["x y,z"]),  # no plain list: who knows what it means
        ("Foo", ['"a, b"'], ['"a,b"']),
        ("Accept-Language", ["en, de"], ["de, en"]),  # many servers prefer the first
    ],
)
def test_what_may_mean_something_else_selects_something_else(
    name: str, one: list[str], other: list[str]
) -> None:
    assert said(name, *one) != said(name, *other)
