"""Who reads the journal on disk: known to the others while it lives, and no longer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cranked import Clock

from proxy.purges.base import Absent
from proxy.purges.journal_members import Members
from proxy.purges.journal_rows import seal


@pytest.fixture
def clock() -> Clock:
    return Clock(1_700_000_000.0)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "members"


@pytest.fixture
def one(place: Path, clock: Clock) -> Iterator[Members]:
    members = Members(place, "one", clock)
    members.stay()
    yield members
    members.leave()


@pytest.fixture
def other(place: Path, clock: Clock) -> Iterator[Members]:
    members = Members(place, "other", clock)
    members.stay()
    yield members
    members.leave()


def its_file(place: Path, name: str) -> Path:
    (path,) = place.glob(f"{name}-*")
    return path


def test_who_has_joined_and_said_nothing_is_behind(one: Members, other: Members) -> None:
    assert one.behind("line", 1) == [Absent("other", 0.0)]
    assert other.behind("line", 1) == [Absent("one", 0.0)]


def test_who_has_said_so_has_learned_everything_up_to_there(one: Members, other: Members) -> None:
    other.say("line", 9)
    assert one.behind("line", 8) == one.behind("line", 9) == []
    assert one.behind("line", 10) == [Absent("other", 0.0)]
    other.say("line", 10)
    assert one.behind("line", 10) == []


def test_what_was_learned_of_another_line_says_nothing(one: Members, other: Members) -> None:
    other.say("line", 9)
    assert one.behind("another line", 8) == [Absent("other", 0.0)]


def test_who_has_left_is_not_behind(one: Members, other: Members, place: Path) -> None:
    other.leave()
    other.leave()
    assert one.behind("line", 1) == []
    assert list(place.glob("other*")) == []


def test_a_beat_now_and_then_tells_that_one_is_there(
    one: Members, other: Members, clock: Clock
) -> None:
    clock.turn(20.0)
    assert one.behind("line", 1) == [Absent("other", 20.0)]
    other.stay()
    assert one.behind("line", 1) == [Absent("other", 0.0)]
    clock.turn(-3600.0)
    assert one.behind("line", 1) == [Absent("other", 0.0)]
    other.stay()
    clock.turn(1.0)
    assert one.behind("line", 1) == [Absent("other", 1.0)]


def test_who_was_removed_joins_again_with_what_it_has_learned(
    one: Members, other: Members, place: Path
) -> None:
    other.say("line", 9)
    shutil.rmtree(place)
    other.stay()
    assert one.behind("line", 10) == [Absent("other", 0.0)]
    assert one.behind("line", 9) == []


def test_a_file_that_nobody_holds_is_removed(one: Members, place: Path) -> None:
    (place / "dead-1-00000000").write_bytes(seal({"replica": "dead", "line": "", "number": 0}))
    assert one.behind("line", 1) == []
    assert list(place.glob("dead*")) == []


def test_replicas_of_one_name_are_told_apart(one: Members, place: Path, clock: Clock) -> None:
    namesake = Members(place, "one", clock)
    namesake.stay()
    assert one.behind("line", 1) == [Absent("one", 0.0)]
    namesake.leave()


def test_a_name_that_is_no_file_name_is_told_as_it_is(one: Members, clock: Clock) -> None:
    odd = Members(one._directory, "../../é\n/" + "x" * 300, clock)
    odd.stay()
    assert one.behind("line", 1) == [Absent("../../é\n/" + "x" * 300, 0.0)]
    odd.leave()


@pytest.mark.parametrize(
    "said",
    [b"", b"torn", b"torn\n", seal({"replica": "other"}), seal({"line": "line", "number": "9"})],
)
def test_what_cannot_be_read_is_not_learned(
    one: Members, other: Members, place: Path, said: bytes
) -> None:
    other.say("line", 9)
    path = its_file(place, "other")
    path.write_bytes(said)
    os.utime(path, (1_699_999_999.0, 1_699_999_999.0))
    assert one.behind("line", 9) == [Absent(path.name, 1.0)]


def test_a_shorter_word_leaves_nothing_of_a_longer(one: Members, other: Members) -> None:
    other.say("line", 10**18)
    other.say("line", 9)
    assert one.behind("line", 10) == [Absent("other", 0.0)]
    assert one.behind("line", 9) == []
