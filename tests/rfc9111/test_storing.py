"""What may be stored, and which of its fields."""

from __future__ import annotations

import pytest

from proxy.model.decision import Why
from proxy.model.message import Head, Headers
from proxy.rfc9111.storing import Circumstances, Cookies, kept_fields, refusal
from proxy.rfc9111.told import told_by

ANYBODY = Circumstances(authorised=False, apart=True)
ETAG = ("ETag", '"v1"')


def why(
    *pairs: tuple[str, str],
    status: int = 200,
    about: Circumstances = ANYBODY,
    lifetime: float | None = 60.0,
    age: float = 0.0,
) -> Why | None:
    head = Head(status, "", Headers(pairs))
    return refusal(head, told_by(head.headers), about, lifetime, age)


def says(value: str) -> tuple[str, str]:
    return ("Cache-Control", value)


@pytest.mark.parametrize(
    "status", [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 500, 503, 599]
)
def test_any_final_status_may_be_stored_while_it_is_fresh(status: int) -> None:
    assert why(status=status) is None
    assert why(status=status, age=60.0) is Why.EXPIRED


@pytest.mark.parametrize("status", [206, 304, 401, 407, 416])
def test_what_is_a_part_or_about_the_caller_is_not(status: int) -> None:
    assert why(status=status) is Why.STATUS


@pytest.mark.parametrize(
    ("value", "status", "expected"),
    [
        ("no-store", 200, Why.NO_STORE),
        ("private", 200, Why.PRIVATE),
        ('private="x-user"', 200, None),
        ("must-understand", 599, Why.STATUS),
        ("must-understand, no-store", 200, None),
        ("must-understand, no-store", 599, Why.STATUS),
    ],
)
def test_a_response_may_forbid_it(value: str, status: int, expected: Why | None) -> None:
    assert why(says(value), status=status) is expected


def test_what_is_stale_is_stored_only_to_be_asked_about() -> None:
    assert why(lifetime=None) is Why.UNCACHEABLE
    assert why(ETAG, lifetime=None) is None
    assert why(("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"), lifetime=None) is None
    assert why(("Last-Modified", "yesterday"), lifetime=None) is Why.UNCACHEABLE
    assert why(ETAG, lifetime=0.0) is None
    assert why(ETAG, lifetime=0.0, status=404) is Why.EXPIRED


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=60", Why.PRIVATE),
        ("max-age=60, public", None),
        ("s-maxage=60", None),
        ("max-age=60, must-revalidate", None),
    ],
)
def test_what_somebody_was_authorised_to_is_stored_for_all_only_if_it_says_so(
    value: str, expected: Why | None
) -> None:
    assert why(says(value), about=Circumstances(authorised=True, apart=False)) is expected
    assert why(says(value), about=Circumstances(authorised=True, apart=True)) is None


@pytest.mark.parametrize(
    ("cookies", "value", "expected"),
    [
        (Cookies.EXPLICIT, "max-age=60", Why.SET_COOKIE),
        (Cookies.EXPLICIT, "max-age=60, public", None),
        (Cookies.EXPLICIT, "s-maxage=60", None),
        (Cookies.EXPLICIT, 'max-age=60, no-cache="Set-Cookie"', None),
        (Cookies.ALWAYS, "max-age=60", None),
        (Cookies.NEVER, "max-age=60, public", Why.SET_COOKIE),
    ],
)
def test_a_response_with_a_cookie_is_stored_as_the_settings_say(
    cookies: Cookies, value: str, expected: Why | None
) -> None:
    about = Circumstances(authorised=False, apart=True, cookies=cookies)
    assert why(says(value), ("Set-Cookie", "a=b"), about=about) is expected


def test_all_fields_are_kept_but_those_of_one_delivery_and_those_that_are_named() -> None:
    headers = Headers(
        [
            ("Age", "5"),
            ("X-Anything", "1"),
            ("Proxy-Authenticate", "Basic"),
            ("A", "1"),
            says('no-cache="a"'),
        ]
    )
    kept = kept_fields(headers, told_by(headers), ANYBODY, "then")
    assert [name for name, _ in kept] == ["X-Anything", "Cache-Control", "Date"]
    dated = Headers([("Date", "now")])
    assert kept_fields(dated, told_by(dated), ANYBODY, "then") == dated


@pytest.mark.parametrize(
    ("cookies", "inert", "expected"),
    [
        (Cookies.EXPLICIT, frozenset[str](), ["Date"]),
        (Cookies.ALWAYS, frozenset[str](), ["Set-Cookie", "set-cookie", "Date"]),
        (Cookies.ALWAYS, frozenset({"cdn"}), ["Set-Cookie", "Date"]),
    ],
)
def test_cookies_are_kept_only_where_they_may_be_and_matter(
    cookies: Cookies, inert: frozenset[str], expected: list[str]
) -> None:
    headers = Headers([("Set-Cookie", "own=1"), ("set-cookie", " cdn=2; Path=/"), ("Date", "now")])
    about = Circumstances(True, True, cookies, inert)
    kept = kept_fields(headers, told_by(headers), about, "then")
    assert [name for name, _ in kept] == expected


def test_a_cookie_that_does_not_matter_prevents_nothing() -> None:
    about = Circumstances(False, True, inert_cookies=frozenset({"cdn"}))
    assert why(("Set-Cookie", "cdn=1"), about=about) is None
    assert why(("Set-Cookie", "cdn=1"), ("Set-Cookie", "own=1"), about=about) is Why.SET_COOKIE
