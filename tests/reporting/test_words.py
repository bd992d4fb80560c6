from __future__ import annotations

import pytest

from proxy.reporting import words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"), (0.0, "0 µs"), (2.5e-6, "2.5 µs"), (9.4e-5, "94 µs"), (0.0012, "1.2 ms"),
        (0.25, "250 ms"), (1.0, "1 s"), (1.44, "1.4 s"), (61.0, "61 s"), (180.0, "3 min"),
        (3_600.0, "1 h"), (7_500.0, "2 h 5 min"), (100_000.0, "1 d 4 h"), (172_800.0, "2 d"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (None, "-"), (0, "0 bytes"), (1_023, "1023 bytes"), (1_536, "1.5 KiB"),
        (268_435_456, "256 MiB"), (2**43, "8 TiB"), (2**60, "1,048,576 TiB"),
    ],
)  # fmt: skip
def test_sizes(number: int | None, said: str) -> None:
    assert words.size(number) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (None, "-"), (0.0, "0.00 USD"), (0.00042, "0.00042 USD"), (12.3, "12.30 USD"),
        (1_234.5, "1,234.50 USD"),
    ],
)  # fmt: skip
def test_money(amount: float | None, said: str) -> None:
    assert words.money(amount, "USD") == said


def test_counts_and_shares() -> None:
    assert (words.count(None), words.count(12_345)) == ("-", "12,345")
    assert (words.share(None), words.share(0.1234)) == ("-", "12.3 %")


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0"), (12, "12"), (1_200, "1.2 k"), (3.4e6, "3.4 M"), (2e9, "2 G")]
)
def test_rough_numbers(number: float, said: str) -> None:
    assert words.rough(number) == said
