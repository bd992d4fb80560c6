"""Floors of entries that were wrong."""

from __future__ import annotations

import json
from math import nan

import pytest

from proxy.semantic.budget.floors import Floors


def test_a_wrong_entry_is_served_only_for_nearer_questions() -> None:
    floors = Floors(10)
    assert floors.get(b"a") is None
    floors.wrong(b"a", 0.93)
    assert floors.get(b"a") == pytest.approx(0.94)
    floors.wrong(b"a", 0.91)
    assert floors.get(b"a") == pytest.approx(0.94)
    floors.wrong(b"a", 0.995)
    assert (floors.get(b"a") or 0) > 1


def test_no_number_sets_no_floor() -> None:
    floors = Floors(10)
    floors.wrong(b"a", nan)
    assert len(floors) == 0


def test_those_not_asked_for_longest_are_forgotten() -> None:
    floors = Floors(2)
    floors.wrong(b"a", 0.9)
    floors.wrong(b"b", 0.9)
    floors.get(b"a")
    floors.wrong(b"c", 0.9)
    assert floors.get(b"b") is None
    assert floors.get(b"a") is not None
    assert len(floors) == 2


def test_an_entry_with_another_answer_has_no_floor() -> None:
    floors = Floors(2)
    floors.wrong(b"a", 0.9)
    floors.forget(b"a")
    floors.forget(b"b")
    assert floors.get(b"a") is None


def test_they_outlive_a_restart() -> None:
    floors, again = Floors(9), Floors(2)
    for digest in (b"a", b"b", b"c"):
        floors.wrong(digest, 0.9)
    again.restore(json.loads(json.dumps(floors.saved())))
    assert again.saved() == [("62", 0.91), ("63", 0.91)]


@pytest.mark.parametrize(
    "row",
    [None, 1, [], ["61"], ["61", "x"], ["zz", 0.9], ["61", nan], [1, 0.9], ["61" * 65, 0.9]],
)
def test_what_makes_no_sense_is_passed_over(row: object) -> None:
    floors = Floors(9)
    floors.restore([row, ["62", 0.9]])
    assert floors.saved() == [("62", 0.9)]
