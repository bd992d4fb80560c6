"""Steps of the event loop are told beside those of work that is always the same."""

from __future__ import annotations

import pytest

from benchmarks.blocking import alone, figures


def test_steps_are_told_by_their_slowest() -> None:
    cpu = [0.0001] * 9_990 + [0.002] * 9 + [0.005]
    told = figures(cpu[::-1], [2 * used for used in cpu])
    assert told["steps"] == 10_000
    assert told["late_ms"] == pytest.approx(2.0)
    assert told["longest_ms"] == pytest.approx(5.0)
    assert told["beyond"] == 10
    assert told["by_clock_ms"] == pytest.approx(4.0)


def test_the_same_work_is_timed_step_by_step_for_as_long_as_was_said() -> None:
    told = alone(0.02)
    assert told["steps"] >= 1
    assert 0 <= told["late_ms"] <= told["longest_ms"]
