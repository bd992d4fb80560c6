"""Several measured in turn."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.frame.contest import added, contest, middle, rate, ratio, worst
from benchmarks.frame.drive import Figures

RUNS = {
    "us": [{"rate": 30.0}, {"rate": 10.0}, {"rate": 80.0}],
    "them": [{"rate": 10.0}, {"rate": 5.0}, {"rate": 100.0}],
}


def test_everybody_has_a_turn_in_each_round_and_the_first_changes() -> None:
    order: list[str] = []

    def measure(name: str) -> Callable[[], Figures]:
        return lambda: order.append(name) or {"rate": float(len(order))}  # type: ignore[func-returns-value] # for its effect

    runs = contest({name: measure(name) for name in "abc"}, 3)
    assert "".join(order) == "abccbaabc"
    assert [run["rate"] for run in runs["a"]] == [1, 6, 7]


def test_ratios_are_those_within_a_round() -> None:
    assert ratio(RUNS, "us", "them", "rate") == 2  # and not 30 / 10, the medians'
    assert added(RUNS, "us", "them", "rate") == 5
    assert middle(RUNS, "us", "rate") == 30


def test_the_worst_is_that_of_any_run() -> None:
    assert worst(RUNS, "rate") == 100
    assert worst(RUNS, "starved") == 0


def test_rates_are_those_of_the_clock_unless_others_had_the_core() -> None:
    assert rate({"us": [{"starved": 0.05}]})[0] == "per_second"
    assert rate({"us": [{"starved": 0.05}, {"starved": 0.4}]})[0] == "per_cpu_second"
