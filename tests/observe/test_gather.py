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
    assert reader.sizes == [256, 256]


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
