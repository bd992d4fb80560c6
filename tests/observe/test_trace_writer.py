from __future__ import annotations

import io
from pathlib import Path

import pytest
from support.traced import RECORDING, row

from proxy.model.errors import ConfigError
from proxy.observe.trace import Block, TraceFile, encode
from proxy.observe.trace_writer import FILES, TraceWriter, aside

BLOCK = encode(Block([row("k", 1.0)]))


def writer(folder: Path, max_bytes: int = 10**6, recording: bytes = RECORDING) -> TraceWriter:
    return TraceWriter(folder / "kept" / "t.sct", max_bytes=max_bytes, recording=recording)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "kept").iterdir() if path.suffix != ".lock")


def test_blocks_are_read_from_where_they_were_written(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.open()
    one.put(BLOCK)
    one.put(BLOCK)
    one.close()

    assert len(list(TraceFile(tmp_path / "kept" / "t.sct"))) == 2
    assert (tmp_path / "kept" / "t.sct").stat().st_mode & 0o077 == 0


def test_all_files_together_keep_to_the_bound_and_the_newest_are_kept(tmp_path: Path) -> None:
    one, most = writer(tmp_path, FILES * 3 * len(BLOCK)), FILES * 3 * len(BLOCK)
    one.open()
    for _ in range(100):
        one.put(BLOCK)
    one.close()

    kept = [path for path in (tmp_path / "kept").iterdir() if path.suffix != ".lock"]
    assert len(kept) == FILES
    assert most / 2 < sum(path.stat().st_size for path in kept) <= most
    assert {TraceFile(path).recording for path in kept} == {RECORDING}


def test_an_older_recording_is_set_aside(tmp_path: Path) -> None:
    for name in (b"the first one...", b"the second one.."):
        one = writer(tmp_path, recording=name)
        one.open()
        one.put(BLOCK)
        one.close()

    path = tmp_path / "kept" / "t.sct"
    assert files(tmp_path) == ["t.sct", "t.sct.1"]
    assert TraceFile(path).recording == b"the second one.."
    assert TraceFile(aside(path, 1)).recording == b"the first one..."


def test_two_do_not_record_to_one_file(tmp_path: Path) -> None:
    first, second = writer(tmp_path), writer(tmp_path)
    first.open()
    with pytest.raises(ConfigError, match="another process records to"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file where a folder should be")
    with pytest.raises(ConfigError, match=r"recording\.file: .*: (File exists|Not a directory)"):
        writer(tmp_path).open()


class Short(io.FileIO):
    """A file on a disk that is nearly full."""

    def write(self, content: object) -> int:
        return super().write(bytes(content)[:10])  # type: ignore[call-overload] # it has bytes


def test_half_a_block_is_taken_back(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.open()
    one.put(BLOCK)
    whole = one._file
    assert whole is not None
    one._file = Short(whole.fileno(), "wb", closefd=False)
    one._file.seek(0, io.SEEK_END)
    with pytest.raises(OSError, match="No space left"):
        one.put(BLOCK)
    one._file = whole
    whole.seek(0, io.SEEK_END)
    one.put(BLOCK)
    one.close()

    file = TraceFile(tmp_path / "kept" / "t.sct")
    assert len(list(file)) == 2
    assert file.unreadable == 0


def test_what_is_closed_may_be_closed_again_and_takes_up_where_it_was(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.close()
    one.open()
    one.close()
    one.close()
    assert files(tmp_path) == ["t.sct"]
