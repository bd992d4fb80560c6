r"""A body in chunks, RFC 9112, section 7.1, read as it comes.

Strict, as two readers that see different ends would take one body for the next response: lines end
with CRLF, sizes are digits and few, nothing stands between a chunk and the next. Extensions and
trailer fields mean nothing to a proxy; they are checked, bounded and dropped.

A chunk is taken together with the line end before it, as if the head had left its last one behind:
so a chunk's own end and the next one's size are one line, ``\r\n1f4\r\n``, found and known at once.
"""

from __future__ import annotations

import re
from functools import lru_cache
from sys import maxsize
from typing import Final

_LINE_BYTES: Final = 1024  # a size and its extensions
_TRAILER_BYTES: Final = 16 * 1024  # all its lines
_DIGITS: Final = 8  # that a size has at most, as a rule
_MANY: Final = 4  # times the size of the last chunk: then several have come, as it seems
_LINE_END: Final = b"\r\n"
_LAST: Final = b"\r\n\r\n"  # behind the size of the last chunk, where there is no trailer

# Space behind a size is not in the grammar, but some servers pad it to a fixed width.
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t -~\x80-\xff]*)?")
_BEGUN_SIZE: Final = re.compile(
    rb"(?:\r(?:\n(?:[0-9A-Fa-f]{1,16}(?:[ \t]*(?:;[\t -~\x80-\xff]*)?\r?)?)?)?)?"
)
_TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")
_BEGUN_TRAILER: Final = re.compile(rb"\r?|[!#$%&'*+.^_`|~0-9A-Za-z-]+(?::[\t -~\x80-\xff]*\r?)?")


class Chunked:
    """A body in chunks. Implements ``Framing``.

    What has come of a chunk is handed out before the rest is there; several that come together
    are handed out together.
    """

    __slots__ = (
        "_begun",
        "_in_trailer",
        "_left",
        "_plain",
        "_size",
        "_trailer",
        "over",
        "surplus",
        "wrong",
    )
    ends_with_connection = False

    def __init__(self) -> None:
        self._left = 0  # bytes of a chunk that have yet to come
        self._begun = _LINE_END  # what has come of a line; with the head's last line end
        self._size = maxsize  # of the last chunk
        self._plain = True  # no content had a line end in it
        self._in_trailer = False
        self._trailer = 0  # bytes of its whole lines
        self.over = self.wrong = self.surplus = False

    def feed(self, data: bytes) -> bytes:
        left = self._left
        if left >= len(data):
            self._left = left - len(data)
            return data
        if left:
            self._left = 0
            return self._read(data, left, [data[:left]])
        data = self._begun + data
        if self._in_trailer:
            self._read_trailer(data)
            return b""
        return self._read(data, 0, [])

    def _read(self, data: bytes, at: int, found: list[bytes]) -> bytes:
        """The content in ``data`` from ``at`` on, where a line begins, behind what was found."""
        if self._plain and len(data) - at > _MANY * self._size:
            several, at = self._several(data, at)
            found += several
        while (end := data.find(_LINE_END, at + 2)) >= 0:
            line = data[at + 2 : end]
            size = _short(line) if len(line) <= _DIGITS else _size(line)
            if size <= 0 or not data.startswith(_LINE_END, at):
                self._read_last(data, at, end, size)
                return b"".join(found)
            self._size = size
            at = end + 2 + size
            found.append(data[end + 2 : at])
        left = at - len(data)
        if left >= 0:
            self._left = left
            self._begun = b""
        else:
            self._begun = begun = data[at:]
            if begun != _LINE_END and not _begins_size(begun):
                self._fail()
        return found[0] if len(found) == 1 else b"".join(found)

    def _read_last(self, data: bytes, at: int, end: int, size: int) -> None:
        """What is no chunk with content: the last one, or none."""
        if size < 0 or not data.startswith(_LINE_END, at):
            self._fail()
        elif data.startswith(_LAST, end):
            self._finish(len(data) > end + len(_LAST))
        else:
            self._read_trailer(data[end + 2 :])

    def _several(self, data: bytes, at: int) -> tuple[list[bytes], int]:
        """Whole chunks from ``at`` on, if they can be told at a glance, and where the next begins.

        Between line ends sizes and contents alternate, unless a content has a line end in it. So
        where each size is the length of what follows, that is how the chunks are cut.
        """
        parts = data[at:].split(_LINE_END)
        beyond = len(parts) - 1 - len(parts) % 2  # of the last, more may come
        sizes, contents = parts[1:beyond:2], parts[2 : beyond + 1 : 2]
        lengths = list(map(len, contents))
        digits = list(map(len, sizes))
        if (
            parts[0]
            or not all(lengths)
            or max(digits, default=0) > _DIGITS
            or list(map(_short, sizes)) != lengths
        ):
            self._plain = False
        else:
            return contents, at + sum(lengths) + sum(digits) + 4 * len(sizes)
        return [], at

    def _read_trailer(self, data: bytes) -> None:
        self._in_trailer = True
        at = 0
        while (end := data.find(_LINE_END, at)) >= 0:
            line = data[at:end]
            at = end + 2
            if not line:
                self._finish(len(data) > at)
                return
            self._trailer += len(line)
            if self._trailer > _TRAILER_BYTES or not _TRAILER.fullmatch(line):
                self._fail()
                return
        self._begun = begun = data[at:]
        if self._trailer + len(begun) > _TRAILER_BYTES + 1 or not _BEGUN_TRAILER.fullmatch(begun):
            self._fail()

    def _finish(self, surplus: bool) -> None:  # noqa: FBT001 - what the sum above it says
        self.over = True
        self.surplus = surplus

    def _fail(self) -> None:
        self.over = self.wrong = True


def _size(line: bytes) -> int:
    """What a line says; below 0: it is malformed."""
    said = _SIZE.fullmatch(line)
    return -1 if said is None or len(line) > _LINE_BYTES else int(said[1], 16)


_short = lru_cache(maxsize=1024)(_size)  # pieces of one stream are much of a size


def _begins_size(begun: bytes) -> bool:
    """Whether more bytes can make a line of it, with the line end before it."""
    return len(begun) <= len(_LINE_END) + _LINE_BYTES + 1 and bool(_BEGUN_SIZE.fullmatch(begun))
