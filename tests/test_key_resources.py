"""The keys of resources: of a URI, of the responses at it, and of requests that are alike."""

from __future__ import annotations

import pytest
from support.cranked import Given

from proxy.key import KeyRules, ScopeBy, Scoping
from proxy.model.message import Headers, Request

RULES = KeyRules(b"a secret of sixteen bytes")
BATCH = b"b" * 16


def request(
    *fields: tuple[str, str], path: str = "/x", query: str = "", method: str = "GET"
) -> Request:
    return Request(method, path, query, Headers(fields), Given(b""))


URI = RULES.resource_of(request(path="/v1/models", query="a=1"), "default")


def test_the_keys_of_resources_never_change() -> None:
    """Workers, restarts and releases share what is stored under these."""
    assert URI.scope == "shared"
    assert URI.digest.hex() == "8c9ee85346b76279f23fd5cbe03839b89cecdc69a8919705dcf04557c574ec7c"
    variant = RULES.variant_of(URI, BATCH, "", ("en", None))
    assert variant.scope == "shared"
    assert (
        variant.digest.hex() == "4a05729e1b27be41907c6adaac9de0950e4137dbb8dffed0de46d53ded3c021f"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("GET", "/x", ""), ("HEAD", "/x", "")),
        (("GET", "/x", "q"), ("POST", "/x", "q")),
    ],
)
def test_a_uri_is_the_same_whatever_the_method(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    keys = [
        RULES.resource_of(request(method=method, path=path, query=query), "default")
        for method, path, query in (one, other)
    ]
    assert keys[0] == keys[1]


def test_all_that_says_what_the_uri_was_tells_resources_apart() -> None:
    made = [
        RULES.resource_of(request(), "default"),
        RULES.resource_of(request(), "other"),
        RULES.resource_of(request(path="/y"), "default"),
        RULES.resource_of(request(query="q"), "default"),
        RULES.resource_of(request(), "default", "namespace"),
        RULES.resource_of(request(), "default", "", "host"),
        RULES.resource_of(request(("X-Forwarded-Host", "h")), "default"),
        RULES.resource_of(request(("X-Forwarded-Proto", "https")), "default"),
    ]
    assert len(set(made)) == len(made)


def test_variants_differ_by_batch_scope_and_what_is_selected() -> None:
    made = [
        RULES.variant_of(URI, BATCH, "", ()),
        RULES.variant_of(URI, b"c" * 16, "", ()),
        RULES.variant_of(URI, BATCH, "one", ()),
        RULES.variant_of(URI, BATCH, "", (None,)),
        RULES.variant_of(URI, BATCH, "", ("",)),
        RULES.variant_of(URI, BATCH, "", ("-",)),
        RULES.variant_of(URI, BATCH, "", ("a", "b")),
        RULES.variant_of(URI, BATCH, "", ("ab",)),
        RULES.variant_of(URI, BATCH, "", ("a1:b",)),
    ]
    assert len(set(made)) == len(made)


def test_requests_are_alike_that_differ_in_who_sends_them_or_in_order() -> None:
    alike = RULES.likeness_of(URI, request(("A", "1"), ("B", "2"), ("User-Agent", "x")), "anon")
    assert alike == RULES.likeness_of(URI, request(("B", "2"), ("A", "1")), "anon")
    assert alike != RULES.likeness_of(URI, request(("A", "1")), "anon")
    assert alike != RULES.likeness_of(URI, request(("B", "2"), ("A", "1")), "one")
    assert alike != RULES.likeness_of(URI, request(("B", "2"), ("A", "1"), method="HEAD"), "anon")


@pytest.mark.parametrize(
    ("fields", "query", "authorised"),
    [
        ((), "", False),
        ((("Authorization", "Bearer x"),), "", True),
        ((("X-Api-Key", "x"),), "", True),
        ((), "key=x", True),
        ((), "page=x", False),
    ],
)
def test_a_credential_is_one_wherever_it_stands(
    fields: tuple[tuple[str, str], ...], query: str, authorised: bool
) -> None:
    shared = KeyRules(b"a secret of sixteen bytes", scoping=Scoping(ScopeBy.SHARED))
    assert shared.is_authorised(request(*fields, query=query)) is authorised
