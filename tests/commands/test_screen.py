from __future__ import annotations

import pytest

from proxy.commands import said
from proxy.commands.screen import clean, count, duration, money, share, size


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"), (0, "0 µs"), (4.2e-6, "4.2 µs"), (0.0123, "12.3 ms"), (1.0, "1 s"),
        (59.94, "59.9 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h"),
        (-2.0, "-2 s"),
    ],
)  # fmt: skip
def test_a_time_is_told_in_the_unit_that_suits(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 2**40, "5.0 TiB")],
)
def test_bytes_too(number: float | None, shown: str) -> None:
    assert size(number) == shown


def test_numbers_are_told_with_their_thousands() -> None:
    assert (count(1234567), share(0.5), money(1234.5, "USD")) == (
        "1,234,567",
        "50.0%",
        "1,234.50 USD",
    )
    assert (count(None), share(None), money(None, "USD")) == ("-", "-", "-")


def test_control_characters_are_written_out() -> None:
    assert clean("a\x1b[2Jb\u202ec\n") == "a\\x1b[2Jb\\u202ec\\n"
    assert clean("naïve 模型") == "naïve 模型"


def test_what_a_proxy_says_is_believed_only_where_it_fits() -> None:
    told = {"a": {"n": 1, "t": "x", "f": True, "l": [{"b": 1}, 2, "c"]}}
    assert said.number(told, "a", "n") == 1
    assert said.number(told, "a", "f") is None
    assert said.number(told, "a", "n", "deeper") is None
    assert said.text(told, "a", "n") == ""
    assert said.flag(told, "a", "f")
    assert said.part(told, "a", "l") == {}
    assert said.rows(told, "a", "l") == [{"b": 1}]
    assert said.texts(told, "a", "l") == ["c"]
    assert said.rows(told, "none") == said.texts(told, "none") == []
