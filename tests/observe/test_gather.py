"""What is kept of requests, and when it is read."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Sequence

import pytest
from support.records import CANARY, HIT, NOON, Bell, record

from proxy.observe.gather import LONGEST, Gathering, Line


class Readings:
    """A reader that remembers."""

    def __init__(self, *, fails: bool = False) -> None:
        self.batches: list[Sequence[Line]] = []
        self._fails = fails

    def take(self, lines: Sequence[Line]) -> None:
        self.batches.append(lines)
        if self._fails:
            raise ValueError(CANARY)

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


def gathering(*readers: Readings) -> tuple[Gathering, Bell]:
    bell = Bell()
    return Gathering(readers, wall=lambda: NOON, call_later=bell.later), bell


def test_lines_wait_a_moment_for_company() -> None:
    reader = Readings()
    gathered, bell = gathering(reader)
    gathered.write(record())
    gathered.write(record())
    assert [delay for delay, _callback in bell.due] == [0.05]
    assert reader.sizes == []
    bell.ring()
    gathered.write(record())
    assert len(bell.due) == 1
    assert reader.sizes == [2]


def test_a_batch_that_is_full_does_not_wait() -> None:
    reader = Readings()
    gathered, bell = gathering(reader)
    for _ in range(600):
        gathered.write(record())
    assert len(bell.due) == 1
    assert reader.sizes == [64] * 9


def test_all_read_the_same_in_order() -> None:
    one, other = Readings(), Readings()
    gathered, _ = gathering(one, other)
    gathered.write(record("/a"))
    gathered.write(record("/b", model="m"))
    gathered.flush()
    assert one.batches == other.batches
    first, second = one.batches[0]
    assert first[:4] == (NOON, "POST", "/a", "127.0.0.1")
    assert (second[4].model, second[5]) == ("m", HIT)


def test_of_nothing_nothing_is_read() -> None:
    reader = Readings()
    gathered, _ = gathering(reader)
    gathered.flush()
    assert reader.sizes == []


def test_a_reader_that_fails_keeps_the_others_from_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader = Readings()
    gathered, _ = gathering(Readings(fails=True), reader)
    gathered.write(record())
    with caplog.at_level(logging.ERROR):
        gathered.flush()
    assert reader.sizes == [1]
    assert gathered.bugs == 1
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    assert [each.getMessage() for each in caplog.records] == ["requests were not told"]
    assert CANARY not in caplog.text


def test_a_path_is_cut() -> None:
    reader = Readings()
    gathered, _ = gathering(reader)
    gathered.write(record("/" + "p" * 10_000))
    gathered.flush()
    assert reader.batches[0][0][2] == "/" + "p" * (LONGEST - 1)


def test_a_record_is_not_kept() -> None:
    """It would keep the request's body, which may be megabytes."""
    gathered, _ = gathering(Readings())
    each = record()
    body = weakref.ref(each.request.body)
    gathered.write(each)
    del each
    gc.collect()
    assert body() is None


def test_a_line_may_stand_for_several_requests_of_a_while_ago() -> None:
    reader = Readings()
    gathered, _ = gathering(reader)
    gathered.write(record())
    gathered.write(record(), (0.001, 0.002), NOON - 1)
    gathered.flush()
    assert [(line[0], line[6]) for line in reader.batches[0]] == [
        (NOON, ()), (NOON - 1, (0.001, 0.002)),
    ]  # fmt: skip


class Holding:
    """Holds back so many records, until they are to be read."""

    def __init__(self, gathered: Gathering, held: int) -> None:
        self.calls = 0
        self._gathered = gathered
        self._held = held
        gathered.sources.append(self._hand_over)

    def _hand_over(self) -> None:
        self.calls += 1
        for _ in range(self._held):
            self._gathered.write(record("/held"), (0.001,))
        self._held = 0


def test_what_is_held_back_is_handed_over_before_anybody_reads_and_once() -> None:
    reader = Readings()
    gathered, _ = gathering(reader)
    holding = Holding(gathered, 1)
    gathered.write(record())
    gathered.flush()
    gathered.flush()
    assert [line[2] for line in reader.batches[0]] == ["/v1/chat/completions", "/held"]
    assert (holding.calls, reader.sizes) == (2, [2])


def test_what_is_held_back_may_be_more_than_a_batch() -> None:
    reader = Readings()
    gathered, _ = gathering(reader)
    Holding(gathered, 600)
    gathered.flush()
    assert reader.sizes == [64] * 9 + [24]


def test_what_is_held_back_stays_so_while_nobody_asks() -> None:
    """Else a busy proxy would tell it twenty times a second."""
    reader = Readings()
    gathered, bell = gathering(reader)
    holding = Holding(gathered, 1)
    for _ in range(300):
        gathered.write(record())
    bell.ring()
    assert (holding.calls, reader.sizes) == (0, [64, 64, 64, 64, 44])


def test_who_cannot_hand_over_keeps_nobody_from_anything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails() -> None:
        raise ValueError(CANARY)

    reader = Readings()
    gathered, _ = gathering(reader)
    gathered.sources.append(fails)
    Holding(gathered, 1)
    with caplog.at_level(logging.ERROR):
        gathered.flush()
    assert (reader.sizes, gathered.bugs) == ([1], 1)
    assert CANARY not in caplog.text
