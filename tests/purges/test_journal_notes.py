"""The file of notes: what is torn is cut off, and whatever is damaged, no purge is lost."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.journal_contract import EVERYTHING, tag

from proxy.model.purge import Kind, Purge
from proxy.purges.base import LARGEST, Note
from proxy.purges.journal_notes import Busy, NotesFile
from proxy.purges.journal_rows import Nonsense, read_file, read_notes, row_of, seal, whole_rows

EPOCH = 1_700_000_000.0


@contextmanager
def opened(place: Path, most: int = 10_000) -> Iterator[NotesFile]:
    file = NotesFile(place, lambda: EPOCH, most)
    file.read()
    try:
        yield file
    finally:
        file.close()


def purges(file: NotesFile) -> list[Purge]:
    return [note.purge for note in file.take()]


@given(
    st.builds(
        Note,
        st.integers(1, LARGEST),
        st.builds(
            Purge,
            st.sampled_from(Kind),
            st.text(st.characters(exclude_categories=())),
            st.booleans(),
        ),
        st.floats(0.0, 1e12),
    )
)
def test_a_note_reads_as_it_was_written(note: Note) -> None:
    row = row_of(note)
    assert row.isascii()
    assert read_notes(whole_rows(row), note.number - 1) == [note]


@given(st.binary())
def test_bytes_of_somebody_else_are_nonsense(data: bytes) -> None:
    with pytest.raises(Nonsense):
        read_file(whole_rows(data))


@pytest.mark.parametrize(
    "rows",
    [
        [b""],
        [b"00000000 {}"],
        [b"%08x no JSON" % zlib.crc32(b"no JSON")],
        whole_rows(seal({"number": 1})),
        whole_rows(seal({"number": 1, "kind": "?", "value": "", "soft": False, "wall": 1.0})),
        whole_rows(row_of(Note(5, tag("a"), 1.0)) + row_of(Note(5, tag("b"), 1.0))),
        whole_rows(row_of(Note(0, tag("a"), 1.0))),
    ],
)
def test_rows_that_are_no_notes_in_order_are_nonsense(rows: Sequence[bytes]) -> None:
    with pytest.raises(Nonsense):
        read_notes(rows, 0)


def test_a_torn_row_is_cut_off_wherever_it_was_torn(tmp_path: Path) -> None:
    with opened(tmp_path) as file:
        file.append(tag("a"))
        last = row_of(Note(file.known + 1, tag("torn"), EPOCH))
    whole = (tmp_path / "notes").read_bytes()
    for cut in range(1, len(last)):
        (tmp_path / "notes").write_bytes(whole + last[:cut])
        with opened(tmp_path) as reader, opened(tmp_path) as writer:
            assert purges(reader) == [EVERYTHING, tag("a")]
            writer.append(tag("b"))
            reader.read()
            assert purges(reader) == [tag("b")]
            assert reader.set_aside == writer.set_aside == 0
        assert whole_rows((tmp_path / "notes").read_bytes())[-1] == row_of(
            Note(writer.known, tag("b"), EPOCH)
        ).rstrip(b"\n")


def test_whichever_byte_is_damaged_every_purge_is_learned_or_everything_is_purged(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as file:
        for i in range(3):
            file.append(tag(i))
        known = file.take()
    whole = (tmp_path / "notes").read_bytes()
    for place in range(len(whole) - 1):  # without the last row's end, that row would be torn
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "notes").write_bytes(damaged)
        with opened(tmp_path) as fresh:
            learned = fresh.take()
        assert learned[0].purge == EVERYTHING
        assert learned == known or len(learned) == 1


def test_who_missed_what_was_dropped_learns_that_everything_is_purged(tmp_path: Path) -> None:
    with opened(tmp_path) as slow, opened(tmp_path, most=6) as writer:
        slow.take()
        for i in range(20):
            writer.append(tag(i))
        slow.read()
        learned = slow.take()
        assert learned[0].purge == EVERYTHING
        assert list(learned[1:]) == list(writer.take()[-len(learned) + 1 :])
        assert 1 < len(learned) <= 6


def test_who_was_closed_goes_on_where_it_left_off(tmp_path: Path) -> None:
    with opened(tmp_path) as file:
        file.append(tag("a"))
        file.take()
        file.close()
        file.append(tag("b"))
        assert purges(file) == [tag("b")]


def test_a_full_disk_leaves_what_was_there_and_the_older_half_is_dropped_later(
    tmp_path: Path,
) -> None:
    with opened(tmp_path, most=6) as file:
        (tmp_path / "notes.new").mkdir()  # so that no new file can be put in place
        for i in range(10):
            file.append(tag(i))
        assert len(whole_rows((tmp_path / "notes").read_bytes())) == 1 + 11
        (tmp_path / "notes.new").rmdir()
        file.append(tag(10))
        assert purges(file) == [EVERYTHING, *map(tag, range(11))]
        assert len(whole_rows((tmp_path / "notes").read_bytes())) == 1 + 6


def test_two_at_once_do_not_write_and_one_may_try_again(tmp_path: Path) -> None:
    with opened(tmp_path) as file, opened(tmp_path) as other, file._alone():
        with pytest.raises(Busy):
            other.append(tag("a"))
        other.read()


def removed_meanwhile(file: NotesFile, place: Path) -> None:
    with file._alone():
        shutil.rmtree(place)
        file._write(tag("a"))


def test_who_holds_the_lock_of_a_directory_that_was_removed_does_not_write(tmp_path: Path) -> None:
    place = tmp_path / "journal"
    with opened(place) as file:
        with pytest.raises(Busy):
            removed_meanwhile(file, place)
        assert not place.exists()
        with opened(place) as other, file._alone():
            with pytest.raises(Busy):
                file._write(tag("a"))  # into a file that it has never read
            assert purges(other) == [EVERYTHING]
        file.append(tag("b"))
        assert purges(file) == [EVERYTHING, EVERYTHING, tag("b")]
