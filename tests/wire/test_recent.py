"""What was worked out lately is remembered, within a bound."""

from __future__ import annotations

from proxy.wire.recent import Recent


def test_what_was_put_is_found_by_an_equal_key() -> None:
    recent: Recent[bytes, str] = Recent(2**20)
    recent.put(b"key", "value", 8)
    assert recent.get(bytes(bytearray(b"key"))) == "value"
    assert recent.get(b"other") is None


def test_the_last_value_of_a_key_counts() -> None:
    recent: Recent[bytes, str] = Recent(2**20)
    recent.put(b"key", "first", 8)
    recent.put(b"key", "second", 8)
    assert recent.get(b"key") == "second"
    assert len(recent) == 1


def test_the_least_recently_used_is_forgotten_first() -> None:
    recent: Recent[int, int] = Recent(64_000)
    for number in range(65):
        recent.put(number, number, 400)
        recent.get(0)
    assert recent.get(0) == 0
    assert recent.get(1) is None
    assert recent.get(64) == 64
    assert len(recent) * 1000 <= 64_000


def test_what_would_push_out_too_many_others_is_not_remembered() -> None:
    recent: Recent[bytes, str] = Recent(64_000)
    recent.put(b"key", "value", 2000)
    assert recent.get(b"key") is None
