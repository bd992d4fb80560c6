from __future__ import annotations

import pytest

from proxy.figures import count, duration, money, rough, share, size


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"), (0.0, "0 s"), (2.5e-6, "2.5 µs"), (0.0009996, "1 ms"), (0.0123, "12.3 ms"),
        (0.9996, "1 s"), (1.44, "1.44 s"), (59.96, "1 min"), (61.0, "1 min 1 s"),
        (3_599.7, "1 h"), (7_500.0, "2 h 5 min"), (86_399.9, "1 d"), (100_000.0, "1 d 4 h"),
        (172_800.0, "2 d"), (-2.0, "-2 s"),
    ],
)  # fmt: skip
def test_a_time_is_told_in_the_unit_that_suits(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (None, "-"), (0, "0 B"), (1_023, "1,023 B"), (1_536, "1.5 KiB"),
        (268_435_456, "256 MiB"), (2**43, "8 TiB"), (2**60, "1,048,576 TiB"),
    ],
)  # fmt: skip
def test_bytes_are_told_in_the_unit_that_suits(number: int | None, said: str) -> None:
    assert size(number) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (None, "-"), (0.0, "0.00 USD"), (0.00042, "0.00042 USD"), (0.5, "0.50 USD"),
        (0.00001234, "0.000012 USD"), (12.3, "12.30 USD"),
        (1_234.5, "1,234.50 USD"),
    ],
)  # fmt: skip
def test_small_amounts_of_money_do_not_become_nothing(amount: float | None, said: str) -> None:
    assert money(amount, "USD") == said


def test_numbers_have_their_thousands_told_apart() -> None:
    assert (count(None), count(1_234_567)) == ("-", "1,234,567")
    assert (share(None), share(0.1234)) == ("-", "12.3 %")


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0"), (12, "12"), (1_200, "1.2 k"), (3.4e6, "3.4 M"), (2e9, "2 G")]
)
def test_the_numbers_of_an_axis_are_rough(number: float, said: str) -> None:
    assert rough(number) == said
