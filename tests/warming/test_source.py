from __future__ import annotations

import io
from pathlib import Path

from proxy.warming.source import MOST_LINE_BYTES, Line, Source, spooled


def test_lines_keep_their_numbers_and_blank_ones_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"one\n\n  \r\ntwo\r\nthree")
    source = Source(file)
    source.survey()
    assert source.lines == 3
    assert list(source) == [Line(0, 0, b"one\n"), Line(3, 9, b"two\r\n"), Line(4, 14, b"three")]
    assert list(source.at([14, 0])) == [Line(0, 14, b"three"), Line(1, 0, b"one\n")]


def test_a_line_that_is_too_long_is_passed_over_and_takes_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "f"
    with file.open("wb") as out:
        out.write(b"x" * (MOST_LINE_BYTES * 2 + 5) + b"\nnext\n")
    assert list(Source(file)) == [Line(0, 0, None), Line(1, MOST_LINE_BYTES * 2 + 6, b"next\n")]


def test_its_name_is_what_is_in_it(tmp_path: Path) -> None:
    names = []
    for content in (b"a\nb\n", b"a\nc\n", b"a\nb\n"):
        file = tmp_path / "f"
        file.write_bytes(content)
        source = Source(file)
        source.survey()
        names.append(source.digest)
    assert names[0] == names[2] != names[1]


def test_a_stream_is_kept_for_as_long_as_it_is_needed() -> None:
    with spooled(io.BytesIO(b"one\ntwo\n")) as path:
        assert [line.text for line in Source(path)] == [b"one\n", b"two\n"]
    assert not path.exists()
