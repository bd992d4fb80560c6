"""How old a response is, and how long it is fresh."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from proxy.model.message import Head, Headers
from proxy.rfc9111.freshness import Heuristic, age_at_arrival, lifetime_of
from proxy.rfc9111.told import told_by

NOW = 1_800_000_000.0
NONE = Heuristic()
TENTH = Heuristic(0.1, 86_400.0)


def date(offset: float) -> str:
    return formatdate(NOW + offset, usegmt=True)


def head(*pairs: tuple[str, str], status: int = 200) -> Head:
    return Head(status, "", Headers(pairs))


def lifetime(*pairs: tuple[str, str], status: int = 200, by: Heuristic = NONE) -> float | None:
    whole = head(*pairs, status=status)
    return lifetime_of(whole, told_by(whole.headers), by, NOW)


@pytest.mark.parametrize(
    ("pairs", "seconds"),
    [
        ([], None),
        ([("Cache-Control", "max-age=60")], 60.0),
        ([("Cache-Control", "max-age=60, s-maxage=5")], 5.0),
        ([("Cache-Control", "max-age=60"), ("Expires", date(-100))], 60.0),
        ([("Cache-Control", "max-age=0"), ("Expires", date(100))], 0.0),
        ([("Expires", date(100)), ("Date", date(0))], 100.0),
        ([("Expires", date(300)), ("Date", date(400))], 0.0),
        ([("Expires", "0"), ("Date", date(0))], 0.0),
        ([("Expires", date(100))], 100.0),  # no Date: since it came
        ([("Expires", date(100)), ("Date", "foo")], 100.0),
        ([("Expires", date(4.0e9))], 2.0**31),
        ([("CDN-Cache-Control", "public"), ("Expires", date(100))], None),
        ([("Last-Modified", date(-1000))], None),
    ],
)
def test_the_lifetime_is_what_the_first_of_them_says(
    pairs: list[tuple[str, str]], seconds: float | None
) -> None:
    assert lifetime(*pairs) == seconds


@pytest.mark.parametrize(
    ("status", "pairs", "seconds"),
    [
        (200, [("Last-Modified", date(-1000))], 100.0),
        (404, [("Last-Modified", date(-1000))], 100.0),
        (200, [("Last-Modified", date(-1e9))], 86_400.0),
        (200, [("Last-Modified", date(1000))], 0.0),
        (200, [("Last-Modified", "yesterday")], None),
        (200, [], None),
        (403, [("Last-Modified", date(-1000))], None),
        (599, [("Last-Modified", date(-1000)), ("Cache-Control", "public")], 100.0),
        (200, [("Last-Modified", date(-1000)), ("Date", date(-500))], 50.0),
    ],
)
def test_a_heuristic_is_used_only_where_the_status_allows_it(
    status: int, pairs: list[tuple[str, str]], seconds: float | None
) -> None:
    assert lifetime(*pairs, status=status, by=TENTH) == seconds


@pytest.mark.parametrize(
    ("pairs", "asked_s", "seconds"),
    [
        ([], 0.0, 0.0),
        ([], 2.0, 2.0),
        ([("Age", "30")], 2.0, 32.0),
        ([("Age", "30, 5")], 0.0, 30.0),
        ([("Age", "0"), ("Age", "7200")], 0.0, 0.0),
        ([("Date", date(-100))], 2.0, 100.0),
        ([("Date", date(-100)), ("Age", "300")], 2.0, 302.0),
        ([("Date", date(100))], 0.0, 0.0),
        ([("Date", date(-0.5))], 0.0, 0.0),  # the same second
        ([("Age", "abc")], 0.0, 2.0**31),
        ([("Age", "-5")], 0.0, 2.0**31),
        ([("Age", "7200.0")], 0.0, 2.0**31),
        ([("Age", "99999999999")], 0.0, 2.0**31),
    ],
)
def test_the_age_is_the_greater_of_what_is_apparent_and_what_is_told(
    pairs: list[tuple[str, str]], asked_s: float, seconds: float
) -> None:
    assert age_at_arrival(head(*pairs), asked_s, NOW) == pytest.approx(seconds, abs=1.0)
