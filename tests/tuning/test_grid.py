from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from proxy.config.load import load
from proxy.config.settings import Settings
from proxy.tuning.grid import Axes, Choice, changed, differences, grid, in_force, snippet

MIB = 2**20
NOW = Choice(256 * MIB, 3600.0, 0.0, 1, 1.0)


def test_the_first_point_is_the_one_in_force() -> None:
    assert in_force(Settings()) == NOW
    assert grid(Settings(), Axes(), by_meaning=False)[0] == NOW


def test_about_a_hundred_points_suggest_themselves_and_none_makes_answers_older() -> None:
    points = grid(Settings(), Axes(), by_meaning=False)
    assert 80 <= len(points) <= 120
    assert len(set(points)) == len(points)
    assert all(point.keeps_s <= 3600 and point.threshold is None for point in points)
    assert {point.memory_bytes // MIB for point in points} == {64, 128, 256, 512, 1024}


def test_limits_bound_what_is_tried() -> None:
    points = grid(Settings(), Axes(), by_meaning=False, max_memory=100 * MIB, max_age_s=7200.0)[1:]
    assert {point.memory_bytes // MIB for point in points} == {64, 100}
    assert max(point.ttl_s for point in points) == 7200
    assert all(point.keeps_s <= 7200 for point in points)


def test_what_is_named_is_tried_and_nothing_else() -> None:
    axes = Axes((MIB,), (10.0, 99_999.0), (0.0, 5.0), (1,), (0.5,), (0.8, 0.9))
    points = grid(Settings(), axes, by_meaning=True)[1:]
    assert len(points) == 8
    assert {point.threshold for point in points} == {0.8, 0.9}
    bounded = grid(Settings(), axes, by_meaning=True, max_age_s=20.0)[1:]
    assert {point.ttl_s for point in bounded} == {10.0}


def test_thresholds_beside_the_one_in_force_are_tried_where_meaning_was_recorded() -> None:
    points = grid(Settings(), Axes(), by_meaning=True)[1:]
    assert {point.threshold for point in points} == {0.86, 0.88, 0.9, 0.92, 0.94}


def test_a_choice_changes_what_it_chooses_and_nothing_else() -> None:
    choice = Choice(MIB, 10.0, 5.0, 2, 0.5)
    made = changed(Settings(), choice)
    assert in_force(made) == choice
    assert changed(made, NOW) == changed(Settings(), NOW)


@pytest.mark.parametrize(
    "choice",
    [
        Choice(100 * MIB + 1, 90.5, 5.0, 2, 0.5, 0.7),
        Choice(64 * MIB, 3600.0, 0.0, 1, 1.0, 0.9),
        NOW,
    ],
)
def test_what_is_written_is_a_file_of_settings_that_says_it(choice: Choice, tmp_path: Path) -> None:
    file = tmp_path / "tuned.yaml"
    file.write_text(snippet(Settings(), choice, ("For cost.", "By a trace.")))

    loaded = load(file).settings
    assert in_force(loaded) == choice._replace(threshold=None)
    if choice.threshold is not None:
        assert loaded.semantic.threshold == choice.threshold
    assert file.read_text().startswith("# For cost.\n# By a trace.\n")
    told = {change.setting for change in differences(Settings(), choice)}
    assert (told == set()) == (not yaml.safe_load(file.read_text()))
