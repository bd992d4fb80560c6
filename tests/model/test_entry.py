"""A stored response: how old it is, how long it may be used, what it weighs."""

from __future__ import annotations

import pytest

from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.query import Form

STORED = 1000.0  # seconds on the proxy's clock


def stored(
    ttl: float = 60.0, initial_age: float = 0.0, body: bytes = b"", headers: Headers | None = None
) -> Entry:
    return Entry(
        key=CacheKey("anon", b"k" * 32),
        dialect="openai_chat",
        model="m",
        head=Head(200, "OK", headers or Headers()),
        form=Form(),
        body=body,
        stored_at=STORED,
        lifetime=Lifetime(ttl),
        initial_age=initial_age,
    )


@pytest.mark.parametrize(
    ("passed", "initial_age", "age"),
    [(0, 0, 0), (7.5, 0, 7.5), (7.5, 30, 37.5), (0, 30, 30), (-5, 0, 0), (-5, 30, 30)],
)
def test_an_entry_ages_from_when_it_was_made_and_never_grows_younger(
    passed: float, initial_age: float, age: float
) -> None:
    assert stored(initial_age=initial_age).age(STORED + passed) == age


@pytest.mark.parametrize(
    ("passed", "initial_age", "left"),
    [(0, 0, 60), (59, 0, 1), (60, 0, 0), (61, 0, -1), (10, 55, -5)],
)
def test_what_is_left_of_its_lifetime_is_less_by_the_age_it_arrived_with(
    passed: float, initial_age: float, left: float
) -> None:
    assert stored(initial_age=initial_age).ttl_left(STORED + passed) == left


@pytest.mark.parametrize(
    ("life", "keep"),
    [
        (Lifetime(60.0), 60.0),
        (Lifetime(60.0, 10.0), 70.0),
        (Lifetime(60.0, 10.0, 30.0), 90.0),
        (Lifetime(60.0, 30.0, 10.0), 90.0),
        (Lifetime(0.0, 0.0, 5.0), 5.0),
    ],
)
def test_an_entry_is_of_use_until_the_longer_of_its_windows_ends(
    life: Lifetime, keep: float
) -> None:
    assert life.keep == keep


def test_an_entry_weighs_its_body_its_fields_and_what_holds_them() -> None:
    empty = stored().size
    assert empty > 0
    assert stored(body=b"x" * 1000).size == empty + 1000
    named = stored(headers=Headers([("X-A", "1" * 100)])).size
    assert named >= empty + 103


def test_keys_are_equal_only_in_one_scope() -> None:
    assert CacheKey("a", b"k") == CacheKey("a", b"k")
    assert CacheKey("a", b"k") != CacheKey("b", b"k")
    assert CacheKey("a", b"k") != CacheKey("a", b"l")
