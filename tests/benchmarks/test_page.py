"""The pages that tell figures."""

from __future__ import annotations

import re

import pytest

from benchmarks.frame.kept import ROOT, Result, read
from benchmarks.frame.options import RESULTS
from benchmarks.frame.report import Table
from benchmarks.page import BEGINS, ENDS, PLACES, summary, written

RESULT = Result(
    "./run bench", "2026-01-02T03:04:05+00:00", "abc", {}, {},
    [
        Table("hits-same", "", ("requests/s", "CPU us"), [("Sidecache", [90_000.0, 9.0])]),
        Table("misses-1", "", ("adds p50 ms",), [("direct", [None]), ("Sidecache", [0.42])]),
    ],
)  # fmt: skip


def test_figures_take_the_place_of_those_before() -> None:
    page = f"before\n{BEGINS}\nold\n{ENDS}\nafter\n"
    once = written(page, "| new |")
    assert once == f"before\n{BEGINS}\n\n| new |\n\n{ENDS}\nafter\n"
    assert written(once, "| new |") == once


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="one place"):
        written("no place", "| new |")


def test_a_summary_has_hits_and_what_a_miss_adds() -> None:
    assert summary(RESULT).splitlines()[2:] == [
        "| Sidecache, the same bytes again | 90,000 | 9 |",
        "",
        "What a miss adds to the backend's own time, at the median: Sidecache 0.42 ms.",
    ]


@pytest.mark.parametrize("place", PLACES)
def test_a_page_tells_what_the_result_that_it_names_says(place: str) -> None:
    (name,) = re.findall(r"Kept as `(\S+)`", (ROOT / "docs/performance.md").read_text())
    page = (ROOT / place).read_text()
    assert written(page, PLACES[place](read(RESULTS / name))) == page
