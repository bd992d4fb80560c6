"""The file that questions are read from: gone through once to know it, then line by line.

It may be larger than memory; no more of it is held than one line.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

MOST_LINE_BYTES: Final = 16 * 2**20


class Line(NamedTuple):
    """One line that is not blank."""

    number: int  # counted from 0, blank ones too
    offset: int  # bytes from the beginning of the file
    text: bytes | None  # None: it is too long to be a question


class Source:
    """A file of lines. Raises OSError where it cannot be read.

    Args:
        path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0  # that are not blank; known after ``survey``
        self.digest = ""

    def survey(self) -> None:
        """Go through all of it, once: what it is, and how much."""
        digest = blake2b(digest_size=16)
        self.lines = 0
        with self.path.open("rb") as file:
            for line in _lines(file):
                digest.update(line.offset.to_bytes(8))
                digest.update(line.text if line.text is not None else b"\0")
                self.lines += 1
        self.digest = digest.hexdigest()

    def __iter__(self) -> Iterator[Line]:
        """The lines, in order."""
        with self.path.open("rb") as file:
            yield from _lines(file)

    def at(self, offsets: list[int]) -> Iterator[Line]:
        """The lines at ``offsets``, numbered by their place in that list."""
        with self.path.open("rb") as file:
            for number, offset in enumerate(offsets):
                file.seek(offset)
                yield Line(number, offset, _short(file.readline(MOST_LINE_BYTES + 1)))


@contextmanager
def spooled(stream: BinaryIO) -> Iterator[Path]:
    """A file of all that ``stream`` brings, for as long as the block lasts."""
    with tempfile.NamedTemporaryFile(prefix="sidecache-") as file:
        shutil.copyfileobj(stream, file)
        file.flush()
        yield Path(file.name)


def _lines(file: BinaryIO) -> Iterator[Line]:
    offset = number = 0
    while line := file.readline(MOST_LINE_BYTES + 1):
        begun, text = offset, _short(line)
        offset += len(line)
        while not line.endswith(b"\n") and (line := file.readline(MOST_LINE_BYTES)):
            offset += len(line)  # the rest of one that is too long
        if text is None or text.strip():
            yield Line(number, begun, text)
        number += 1


def _short(line: bytes) -> bytes | None:
    return line if len(line) <= MOST_LINE_BYTES else None
