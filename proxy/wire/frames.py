r"""Server-sent events: a byte stream cut into frames, and what one frame says.

WHATWG HTML, section 9.2. Lines end with LF, CRLF or CR, and an empty line ends an event. A frame is
an event as its very bytes, empty line and all, so that frames joined are the stream again.

A CR may be the first half of a CRLF whose LF has not come yet. It ends its frame at once, for
nobody should wait for a byte that may never be sent; when the LF comes, it is handed out at once as
a frame of its own, for some readers do wait for it. So frames depend a little on where a stream was
cut, but the events do not, and no byte is held back or lost.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_MARK: Final = b"\xef\xbb\xbf"  # a byte order mark; may open a stream, means nothing
MEDIA_TYPE: Final = "text/event-stream"
_LIMIT: Final = 1 << 20  # bytes; an audio delta, the largest in common use, has some 100 KB
# An end of line and an empty line. The groups are atomic: CRLF must not pass for CR and then LF.
_END: Final = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
# An empty line of which nothing is missing; a CR is half a CRLF unless the line before ends so too.
_BLANK: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Event(NamedTuple):
    """What a frame says."""

    name: bytes  # b"" when it has none; a browser then calls it "message"
    data: bytes  # its data lines, joined by LF


class Splitter:
    """Cuts a stream into frames as its pieces come, however these are cut."""

    __slots__ = ("_begun", "_buffer", "_halfway", "_limit", "overlong")

    def __init__(self, limit: int = _LIMIT) -> None:
        self._buffer = bytearray()
        self._begun = False
        self._halfway = False  # the last frame ended with the last byte there was, a CR
        self._limit = limit
        self.overlong = False
        """A frame outgrew ``limit`` bytes: from there on pieces are handed out as they came."""

    def feed(self, piece: bytes) -> list[bytes]:
        """The frames that ``piece`` completes; a byte order mark is a frame of its own."""
        if self.overlong:
            return [piece] if piece else []
        buffer = self._buffer
        sought = max(0, len(buffer) - 2)  # what came before that holds no end
        buffer += piece
        found: list[bytes] = []
        start = 0
        if self._halfway and piece:
            self._halfway = False
            if piece.startswith(b"\n"):
                start = 1
                found.append(b"\n")
        elif not self._begun:
            if len(buffer) < len(_MARK) and _MARK.startswith(buffer):
                return found
            self._begun = True
            if buffer.startswith(_MARK):
                start = len(_MARK)
                found.append(_MARK)
        carriage = b"\r" in buffer  # without one, a plain search does: ten times as fast
        while (end := _end(buffer, max(start, sought), carriage=carriage)) > 0:
            found.append(bytes(buffer[start:end]))
            start = end
        self._halfway |= start == len(buffer) and buffer.endswith(b"\r")
        del buffer[:start]
        if len(buffer) > self._limit:
            self.overlong = True
            found.append(bytes(buffer))
            buffer.clear()
        return found

    @property
    def rest(self) -> bytes:
        """What has come since the last frame ended. At the end of a stream: no event."""
        return bytes(self._buffer)


def split(body: bytes) -> tuple[list[bytes], bytes]:
    """The frames of a whole stream, and what follows the last of them."""
    splitter = Splitter(limit=len(body))
    return splitter.feed(body), splitter.rest


def parse(frame: bytes) -> Event | None:
    """What ``frame`` says; None if it has no data, which a browser would not tell of either."""
    if frame.startswith(b"data: ") and frame.find(b"\n") == len(frame) - 2 and b"\r" not in frame:
        return Event(b"", frame[6:-2])
    name = b""
    data: list[bytes] = []
    for line in frame.splitlines():
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return Event(name, b"\n".join(data)) if data else None


def silent(raw: bytes) -> bool:
    """Whether ``raw`` holds nothing but comments and empty lines; the last may lack its end."""
    return all(not line or line.startswith(b":") for line in raw.splitlines())


def ended(frame: bytes) -> bool:
    """Whether the empty line that ends ``frame`` is all there."""
    return frame.endswith(_BLANK)


def is_last(frame: bytes, after: bytes) -> bool:
    """Whether ``frame`` has come to its end, and what comes ``after`` it says nothing."""
    return ended(frame) and silent(after)


def frame(data: bytes, name: bytes = b"") -> bytes:
    """``data``, which must be one line, as an event."""
    if name:
        return b"event: %b\ndata: %b\n\n" % (name, data)
    return b"data: %b\n\n" % data


def _end(buffer: bytearray, start: int, *, carriage: bool) -> int:
    """Where the first frame in ``buffer[start:]`` ends; 0 if it does not."""
    if carriage:
        match = _END.search(buffer, start)
        return match.end() if match else 0
    at = buffer.find(b"\n\n", start)
    return at + 2 if at >= 0 else 0
