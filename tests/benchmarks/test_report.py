"""Tables of figures, and what was promised of them."""

from __future__ import annotations

import json

import pytest

from benchmarks.frame.report import Claim, Table, company, from_json, number

TABLE = Table(
    "hits",
    "hits of all kinds",
    ("requests/s", "CPU us"),
    [("Sidecache", [12_345.6, 9.87]), ("nginx", [None, 41.25])],
    [Claim("times nginx's", 1.5, 1.2, least=True), Claim("processor time", 20, 15, unit="us")],
    ["wrk is not installed"],
)


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "-"), (12_345.6, "12,346"), (41.25, "41.2"), (1.0, "1"), (1.234, "1.23"),
     (0.0456, "0.046"), (-2.5, "-2.50")],
)  # fmt: skip
def test_a_figure_has_three_digits_or_so(value: float | None, said: str) -> None:
    assert number(value) == said


def test_text_has_a_line_for_each_row_claim_and_note() -> None:
    assert TABLE.text().splitlines() == [
        "hits of all kinds",
        "             requests/s  CPU us",
        "  Sidecache      12,346    9.87",
        "  nginx               -    41.2",
        "  times nginx's: 1.50 (at least 1.20)",
        "  processor time: 20 us (at most 15 us): MISSED",
        "  (wrk is not installed)",
    ]


def test_markdown_says_the_same() -> None:
    lines = TABLE.markdown().splitlines()
    assert lines[2:6] == [
        "| | requests/s | CPU us |",
        "|---|---:|---:|",
        "| Sidecache | 12,346 | 9.87 |",
        "| nginx | - | 41.2 |",
    ]
    assert lines[-2] == "- processor time: 20 us (at most 15 us): MISSED"


def test_json_says_which_claims_are_kept_and_is_read_back() -> None:
    told = json.loads(json.dumps(TABLE.as_json()))
    assert [claim["kept"] for claim in told["claims"]] == [True, False]
    assert from_json(told).text() == TABLE.text()


def test_others_on_the_core_are_told_of_from_a_tenth_of_the_time_on() -> None:
    assert company(0.09) == []
    assert "34%" in company(0.34)[0]
