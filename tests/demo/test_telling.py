"""How findings look; the values are made up, the widest there may be among them."""

from __future__ import annotations

import click
import pytest

from proxy.demo import telling
from proxy.demo.backend import Pace
from proxy.demo.caller import Answer, Heard
from proxy.demo.steps import Apart, Crowd, Forms, Late, Repeat, Savings, Spent


def heard(
    verdict: str = "MISS",
    why: str = "uri-miss",
    *,
    asked_at: float = 0.0,
    moments: tuple[float, ...] = (1.0,),
    ended_at: float = 1.0,
) -> Heard:
    answer = Answer("a", "Hello", 5)
    return Heard(verdict, why, "application/json", b"{}", asked_at, moments, ended_at, answer)


HIT = heard("HIT", "fresh", ended_at=0.000321)
LATE = Late(
    heard(moments=tuple(6.0 + n for n in range(54)), ended_at=60.0),
    heard(
        "COALESCED",
        "joined",
        asked_at=30.5,
        moments=(*[31.1] * 25, *[31.0 + n for n in range(29)]),
        ended_at=60.0,
    ),
)


def test_a_miss_is_a_row() -> None:
    assert click.unstyle(telling.told(heard(ended_at=1.2345))) == (
        "    1.23 s   MISS  uri-miss  the backend was asked"
    )


def test_a_hit_tells_how_many_times_as_fast_it_was() -> None:
    told = telling.told(Repeat(heard(ended_at=1.0), heard("HIT", "fresh", ended_at=0.0005)))

    assert click.unstyle(told) == "   0.50 ms   HIT   fresh     the same bytes, 2,000 times as fast"


def test_a_crowd_is_counted_by_what_it_was_told() -> None:
    crowd = Crowd([heard(), *[heard("COALESCED", "joined", ended_at=1.5)] * 98, HIT])

    first, second = click.unstyle(telling.told(crowd)).splitlines()

    assert first == "    1.50 s   1 MISS, 98 COALESCED, 1 HIT"
    assert second.strip() == "100 callers, 1 call to the backend, the same bytes for all"


def test_two_streams_are_drawn_on_one_line_of_time() -> None:
    first, second, *_, last = click.unstyle(telling.told(LATE)).splitlines()

    assert first == "   first   " + "." * 6 + "|" * 54 + "   MISS"
    assert second == "   second  " + " " * 30 + ".#" + "|" * 28 + "   COALESCED"
    assert LATE.missed == 25
    assert "600 ms, and 29 more events as they came." in last


def test_savings_are_a_table() -> None:
    told = telling.told(Savings(Spent(1109, 1109.84, 37250), Spent(5, 4.88, 169)))

    rows = [line.split("  ") for line in click.unstyle(told).splitlines()]
    assert [[cell.strip() for cell in row if cell.strip()] for row in rows] == [
        ["without", "with Sidecache"],
        ["calls to the backend", "1,109", "5"],
        ["seconds of its work", "1,109.8", "4.9"],
        ["tokens", "37,250", "169"],
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(12.345, "12.35 s"), (1.0, "1.00 s"), (0.42, "420 ms"), (0.01, "10 ms"), (0.0009, "0.90 ms")],
)
def test_times_have_as_many_digits_as_mean_something(seconds: float, text: str) -> None:
    assert click.unstyle(telling.told(heard(ended_at=seconds))).strip().startswith(text + " ")


@pytest.mark.parametrize(
    "text",
    [
        telling.opening(Pace()),
        telling.title(1, "A question nobody has asked yet"),
        telling.told(heard(ended_at=9999.0)),
        telling.told(Repeat(heard(ended_at=10.0), HIT)),
        telling.told(Apart(HIT, heard(), heard())),
        telling.told(Crowd([heard(), *[heard("COALESCED", "joined")] * 99])),
        telling.told(LATE),
        telling.told(Forms(HIT, HIT)),
        telling.told(Savings(Spent(999_999, 9e6, 9_999_999), Spent(5, 4.9, 169))),
        telling.ending(),
        telling.invitation("http://127.0.0.1:65535", "http://127.0.0.1:65534"),
    ],
)
def test_everything_fits_into_90_columns(text: str) -> None:
    assert max(map(len, click.unstyle(text).splitlines())) <= 90


def test_the_invitation_asks_the_proxy_that_is_up() -> None:
    told = telling.invitation("http://127.0.0.1:1234", "http://127.0.0.1:1235")
    assert "curl -i http://127.0.0.1:1234/v1/chat/completions" in told


def test_the_invitation_says_where_the_dashboard_is_if_there_is_one() -> None:
    told = telling.invitation("http://127.0.0.1:1234", "http://127.0.0.1:1235")
    assert "http://127.0.0.1:1235/" in told
    assert "browser" not in telling.invitation("http://127.0.0.1:1234", None)
