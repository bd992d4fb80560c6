from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from proxy.warming.done import Done, DoneFile


def test_numbers_join_into_ranges_in_whatever_order_they_come() -> None:
    numbers = [*range(50), *range(60, 70), 80]
    random.Random(1).shuffle(numbers)
    done = Done()
    for number in [*numbers, *numbers]:
        done.add(number)
    assert done.ranges == [(0, 49), (60, 69), (80, 80)]
    assert done.count == len(numbers)
    assert all(number in done for number in numbers)
    assert not any(number in done for number in (50, 59, 70, 79, 81))


@pytest.mark.parametrize("ranges", [[(3, 2)], [(0, 5), (5, 6)], [(-1, 0)]])
def test_ranges_that_make_no_sense_are_refused(ranges: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="out of order"):
        Done(ranges)


def test_what_is_written_down_is_found_again(tmp_path: Path) -> None:
    file = DoneFile(tmp_path / "f.state", "this")
    assert file.load() is None
    file.save([(0, 3), (7, 7)])
    found = file.load()
    assert found is not None
    assert (found.ranges, found.count) == ([(0, 3), (7, 7)], 5)
    assert [path.name for path in tmp_path.iterdir()] == ["f.state"]
    file.forget()
    assert file.load() is None
    file.forget()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        json.dumps({"version": 2, "about": "this", "done": []}),
        json.dumps({"version": 1, "about": "that", "done": []}),
        json.dumps({"version": 1, "about": "this", "done": [[2, 1]]}),
        json.dumps({"version": 1, "about": "this"}),
        json.dumps({"version": 1, "about": "this", "done": [1]}),
    ],
)
def test_what_is_of_something_else_is_not_believed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "f.state"
    path.write_text(content)
    assert DoneFile(path, "this").load() is None
