"""What a response tells caches, in whichever field."""

from __future__ import annotations

import pytest

from proxy.model.message import Headers
from proxy.rfc9111.told import UNTOLD, Told, told_by


def told(*pairs: tuple[str, str], surrogate: str = "") -> Told:
    return told_by(Headers(pairs), surrogate)


def standard(value: str) -> Told:
    return told(("Cache-Control", value))


def test_a_silent_response_tells_nothing() -> None:
    assert told(("Content-Type", "text/plain")) is UNTOLD


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=60", Told(max_age=60.0)),
        ("MaX-AgE=60, S-MAXAGE=5", Told(max_age=60.0, s_maxage=5.0)),
        ('max-age="60"', Told(max_age=60.0)),
        ("max-age=1, max-age=600", Told(max_age=1.0)),  # RFC 9111, 4.2.1: the first
        ("max-age='60'", Told(max_age=0.0)),
        ("max-age=-60", Told(max_age=0.0)),
        ("max-age", Told(max_age=0.0)),
        ("max-age=99999999999", Told(max_age=2.0**31)),
        ('extension="max-age=3600", max-age=1', Told(max_age=1.0)),
        ("no-store", Told(no_store=True)),
        ("No-CaChE", Told(no_cache=True)),
        ("private, public", Told(private=True, public=True)),
        ("must-revalidate", Told(must_revalidate=True)),
        ("proxy-revalidate", Told(proxy_revalidate=True)),
        ("must-understand, no-store", Told(must_understand=True, no_store=True)),
        (
            "stale-while-revalidate=5, stale-if-error=6",
            Told(stale_while_revalidate=5.0, stale_if_error=6.0),
        ),
        ('no-cache="A, b"', Told(unshared=frozenset({"a", "b"}))),
        ('private="set-cookie"', Told(unshared=frozenset({"set-cookie"}))),
        # What names fields does not take back what names none, in either order.
        ('no-cache="a", no-cache', Told(no_cache=True, unshared=frozenset({"a"}))),
        ('no-cache, no-cache="a"', Told(no_cache=True, unshared=frozenset({"a"}))),
        ('no-cache=""', Told(no_cache=True)),
        ("foobar", UNTOLD),
    ],
)
def test_directives_are_read_as_section_5_2_2_has_them(value: str, expected: Told) -> None:
    assert standard(value) == expected


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (
            [("CDN-Cache-Control", "max-age=600"), ("Cache-Control", "no-store")],
            Told(max_age=600.0, targeted=True),
        ),
        (
            [("Sidecache-Cache-Control", "no-store"), ("CDN-Cache-Control", "max-age=600")],
            Told(no_store=True, targeted=True),
        ),
        # RFC 9213, section 2.2: what is no structured field counts as absent.
        (
            [("CDN-Cache-Control", "max-age=600, &&&"), ("Cache-Control", "no-store")],
            Told(no_store=True),
        ),
        ([("CDN-Cache-Control", ""), ("Cache-Control", "max-age=1")], Told(max_age=1.0)),
    ],
)
def test_a_field_for_caches_takes_the_place_of_the_others(
    pairs: list[tuple[str, str]], expected: Told
) -> None:
    assert told(*pairs) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=60", Told(max_age=60.0, targeted=True)),
        ("max-age=60+30", Told(max_age=60.0, targeted=True)),
        ("foobar, MAX-AGE=60", Told(max_age=60.0, targeted=True)),
        ("max-age=60;other", Told(max_age=1.0)),  # not for us: Cache-Control counts
        ("max-age=60;us", Told(max_age=60.0, targeted=True)),
        ("max-age=5, max-age=60;us", Told(max_age=60.0, targeted=True)),
        ("no-store", Told(no_store=True, targeted=True)),
        ("no-store;us", Told(no_store=True, targeted=True)),
        ("no-store;other", Told(max_age=1.0)),
        ("no-store-remote", Told(no_store=True, targeted=True)),
        ('content="ESI/1.0"', Told(max_age=1.0)),  # says nothing about storing
    ],
)
def test_a_field_for_surrogates_counts_where_it_is_for_us(value: str, expected: Told) -> None:
    pairs = [("Surrogate-Control", value), ("Cache-Control", "max-age=1")]
    assert told(*pairs, surrogate="us") == expected
    assert told(*pairs) == Told(max_age=1.0)


@pytest.mark.parametrize(
    ("value", "for_all", "never_stale"),
    [
        ("max-age=1", False, False),
        ("public", True, False),
        ("s-maxage=1", True, True),
        ("must-revalidate", True, True),
        ("proxy-revalidate", False, True),
        ("no-cache", False, True),
    ],
)
def test_some_directives_say_who_may_have_it_and_when(
    value: str, for_all: bool, never_stale: bool
) -> None:
    assert (standard(value).for_all, standard(value).never_stale) == (for_all, never_stale)


def test_what_is_addressed_to_caches_is_for_all() -> None:
    assert told(("CDN-Cache-Control", "max-age=1")).for_all
    assert not told(("CDN-Cache-Control", "no-store")).for_all
