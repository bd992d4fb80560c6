"""Asking whether a stored response is right, and answering who asks us."""

from __future__ import annotations

import pytest
from support.cranked import entry

from proxy.model.entry import Entry
from proxy.model.message import Head, Headers
from proxy.rfc9111.validators import (
    allows_range,
    conditions,
    is_unmodified,
    is_validated,
    must_be_asked,
    not_modified,
)

OLD, NEW = "Thu, 01 Jan 2026 00:00:00 GMT", "Fri, 02 Jan 2026 00:00:00 GMT"
NEW_RFC850 = "Friday, 02-Jan-26 00:00:00 GMT"


def h(**fields: str) -> Headers:
    return Headers((name.replace("_", "-"), value) for name, value in fields.items())


def test_it_asks_by_all_validators_there_are() -> None:
    stored = h(ETag='"v1"', Last_Modified=OLD)
    assert conditions(stored) == (("If-None-Match", '"v1"'), ("If-Modified-Since", OLD))
    assert conditions(h(Last_Modified="yesterday")) == ()
    assert is_validated(stored)
    assert is_validated(h(Last_Modified=OLD))
    assert not is_validated(h(ETag=""))


@pytest.mark.parametrize(
    ("etag", "wanted", "same"),
    [
        ('"a"', '"a"', True),
        ('"a"', 'W/"a"', True),  # weak comparison
        ('W/"a"', '"a"', True),
        ('"a"', '"b", "a"', True),
        ('"a, b"', '"a, b"', True),
        ('"a"', '"b"', False),
        ('"a"', "*", True),
        ("", "*", True),
        ("", '"a"', False),
        ('"a"', "a", False),
        ("a", "a", True),  # neither is an entity-tag, but both are the same
        ('"a"', "", False),
    ],
)
def test_if_none_match_compares_weakly(etag: str, wanted: str, same: bool) -> None:
    assert is_unmodified(h(If_None_Match=wanted), h(ETag=etag)) is same


@pytest.mark.parametrize(
    ("since", "stored", "same"),
    [
        (NEW, h(Last_Modified=NEW), True),
        (NEW, h(Last_Modified=OLD), True),
        (NEW_RFC850, h(Last_Modified=NEW), True),
        (OLD, h(Last_Modified=NEW), False),
        (NEW, h(Date=OLD), True),  # RFC 9111, section 4.3.2
        (OLD, h(Date=NEW), False),
        (NEW, h(), False),
        ("yesterday", h(Last_Modified=OLD), False),
    ],
)
def test_if_modified_since_compares_dates(since: str, stored: Headers, same: bool) -> None:
    assert is_unmodified(h(If_Modified_Since=since), stored) is same


def test_if_none_match_outranks_if_modified_since() -> None:
    stored = h(ETag='"a"', Last_Modified=OLD)
    assert not is_unmodified(h(If_None_Match='"b"', If_Modified_Since=NEW), stored)
    assert is_unmodified(h(If_None_Match='"a"', If_Modified_Since="yesterday"), stored)


def test_what_is_about_the_origins_state_is_for_the_origin() -> None:
    assert must_be_asked(h(If_Match='"a"'))
    assert must_be_asked(h(If_Unmodified_Since=NEW))
    assert not must_be_asked(h(If_None_Match='"a"'))


def test_a_304_has_no_word_of_the_body() -> None:
    stored = h(
        ETag='"a"', Content_Type="x", Content_Length="5", Cache_Control="max-age=1", Date=NEW
    )
    assert [name for name, _ in not_modified(stored)] == ["ETag", "Cache-Control", "Date"]


def stored(headers: Headers) -> Entry:
    made = entry()
    return Entry(
        made.key, made.dialect, made.model, Head(200, "OK", headers), made.form, made.body,
        made.stored_at, made.lifetime,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "headers", "allowed"),
    [
        ('"a"', h(ETag='"a"'), True),
        ('"a"', h(ETag='"b"'), False),
        ('W/"a"', h(ETag='W/"a"'), False),  # strong comparison
        ('"a"', h(ETag='W/"a"'), False),
        (OLD, h(Last_Modified=OLD, Date=NEW), True),
        (OLD, h(Last_Modified=OLD, Date=OLD), False),  # it may have changed within that second
        (NEW, h(Last_Modified=OLD, Date=NEW), False),
        ("yesterday", h(Last_Modified=OLD, Date=NEW), False),
        ("", h(), True),
    ],
)
def test_a_part_is_sent_only_of_what_the_caller_has_the_rest_of(
    wanted: str, headers: Headers, allowed: bool
) -> None:
    assert allows_range(h(If_Range=wanted), stored(headers)) is allowed
