"""Writing rows behind the caller's back: what becomes of them when the file is full, or fails."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import lmdb
import numpy as np
import pytest
from support.cranked import Clock
from support.index_contract import HERE, LATER, START, key

from proxy.lane import Lane
from proxy.semantic.index.precision import Precision
from proxy.semantic.index.row_file import RowFile, tidy
from proxy.semantic.index.row_writer import RowWriter
from proxy.semantic.index.rows import Rows

DIMENSIONS = 250
PRECISION = Precision("f32", DIMENSIONS)


class Failing(RowFile):
    """A file on a disk that can be full, or hang."""

    def __init__(self, folder: Path, max_bytes: int = 2**24) -> None:
        super().__init__(folder, max_bytes, "this boot")
        self.faults = 0  # writes that are to fail
        self.writes = 0
        self.going = threading.Event()
        self.going.set()

    def write(self, writes: Sequence[tuple[bytes, bytes | None]]) -> None:
        self.going.wait(30)
        self.writes += 1
        if self.faults:
            self.faults -= 1
            raise OSError("no space left on device")
        super().write(writes)


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    lane = Lane("test-writes")
    yield lane
    lane.stop()


def filled(count: int, room: int = 5_000) -> Rows:
    rows = Rows(room, PRECISION, room)
    for number in range(count):
        put(rows, number)
    return rows


def put(rows: Rows, number: int) -> bytes:
    vector = np.full(DIMENSIONS, number + 1, np.float32)
    slot = rows.put(HERE, key(number), vector, 1.0, expires=LATER, added=START)
    return rows.name(slot)


def fill(file: RowFile) -> None:
    for number in range(10_000, 20_000):
        file.write([(HERE + number.to_bytes(32), bytes(1_000))])


def written(file: RowFile) -> set[int]:
    return {int.from_bytes(name[16:]) for batch in file.batches() for name, _ in batch}


async def test_after_a_failure_all_is_written_anew_once_it_may_be(
    tmp_path: Path, lane: Lane
) -> None:
    wall, file, rows = Clock(START), Failing(tmp_path), filled(600)
    file.open()
    writer = RowWriter(file, lane, rows, wall)
    writer.note(put(rows, 600))
    await writer.flush()
    assert written(file) == {600}
    file.faults = 1
    writer.note(put(rows, 601))
    await writer.flush()
    assert writer.failed == 1
    assert writer.is_off
    writer.note(put(rows, 602))  # not tried
    await writer.flush()
    assert file.writes == 2
    wall.turn(31)
    writer.note(put(rows, 603))
    await writer.flush()
    assert not writer.is_off
    assert written(file) == set(range(604))
    file.close()


async def test_what_was_dropped_while_the_file_failed_is_not_in_it(
    tmp_path: Path, lane: Lane
) -> None:
    wall, file, rows = Clock(START), Failing(tmp_path), Rows(5_000, PRECISION, 5_000)
    file.open()
    writer = RowWriter(file, lane, rows, wall)
    for number in range(3):
        writer.note(put(rows, number))
    await writer.flush()
    file.faults = 1
    rows.release(rows.find(HERE, key(1).digest))
    rows.drop(rows.find(HERE, key(1).digest))
    writer.note(HERE + key(1).digest)
    await writer.flush()
    wall.turn(31)
    writer.note(put(rows, 5))
    await writer.flush()
    assert written(file) == {0, 2, 5}
    file.close()


async def test_a_file_full_of_others_rows_is_begun_anew(tmp_path: Path, lane: Lane) -> None:
    file = Failing(tmp_path, 2**21)
    file.open()
    with pytest.raises(lmdb.MapFullError):
        fill(file)
    assert len(written(file)) > 500
    rows = filled(300)
    writer = RowWriter(file, lane, rows, Clock(START))
    for number in range(300):
        writer.note(HERE + key(number).digest)
    await writer.flush()
    assert writer.failed == 1
    assert not writer.is_off
    assert written(file) == set(range(300))
    file.close()


async def test_a_file_too_small_for_all_is_given_up(tmp_path: Path, lane: Lane) -> None:
    file, rows = Failing(tmp_path, 2**20), filled(3_000)
    file.open()
    writer = RowWriter(file, lane, rows, Clock(START))
    for number in range(3_000):
        writer.note(HERE + key(number).digest)
    await writer.flush()
    assert writer.is_off
    assert writer.failed == 3
    writer.note(put(rows, 3_001))
    await writer.flush()
    assert writer.failed == 3
    # A clearing is a new beginning.
    few = Rows(5_000, PRECISION, 5_000)
    writer.clear(few)
    writer.note(put(few, 7))
    await writer.flush()
    assert written(file) == {7}
    file.close()


async def test_what_waits_has_a_bound(tmp_path: Path, lane: Lane) -> None:
    file, rows = Failing(tmp_path), Rows(100, PRECISION, 100)
    file.open()
    file.going.clear()
    writer = RowWriter(file, lane, rows, Clock(START))
    writer.note(put(rows, 0))
    for number in range(1, 20_000):
        writer.note(HERE + key(number).digest)  # rows that were dropped again
        assert len(writer._waiting) <= rows.capacity
    put(rows, 1)
    file.going.set()
    await writer.flush()
    assert written(file) == {0, 1}
    file.close()


def test_folders_in_use_are_not_tidied_away(tmp_path: Path) -> None:
    files = [RowFile(tmp_path / name, 2**20, "this boot") for name in ("one", "two", "three")]
    for file in files:
        file.open()
    files[1].close()
    tidy(tmp_path, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "three"]
    for file in files:
        file.close()
        file.close()  # once more does nothing
    tidy(tmp_path, 0)
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_release_is_set_aside(tmp_path: Path) -> None:
    file = RowFile(tmp_path, 2**20, "this boot")
    file.open()
    with file._file.env.begin(write=True) as txn:
        txn.put(b"format", b"sidecache vectors 0", db=file._file.about)
    file.close()
    file.open()
    assert file.set_aside == 1
    assert file.count() == 0
    file.close()


def test_a_broken_file_in_use_is_left_to_who_uses_it(tmp_path: Path) -> None:
    first = RowFile(tmp_path, 2**20, "this boot")
    first.open()
    second = RowFile(tmp_path, 2**20, "this boot")
    with pytest.raises(lmdb.Error):
        second.open()  # LMDB does not open a file twice in one process
    first.write([(b"n" * 48, b"record")])
    assert first.count() == 1
    first.close()


def test_a_folder_of_another_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError):  # noqa: PT011 # which, depends on the system
        RowFile(tmp_path / "link", 2**20, "this boot").open()
