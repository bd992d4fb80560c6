"""Newline-delimited JSON: a byte stream cut into lines, and lines made.

A line ends with LF; a CR before it is white space to JSON. Here a line is its very bytes, LF and
all, so that lines joined are the stream again.
"""

from __future__ import annotations

from typing import Final

MEDIA_TYPES: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)
"""What such a stream calls itself; none of these names is registered."""


def split(body: bytes) -> tuple[list[bytes], bytes]:
    """The lines of a whole stream, and what follows the last LF."""
    *found, rest = body.split(b"\n")
    return [each + b"\n" for each in found], rest


def silent(raw: bytes) -> bool:
    """Whether ``raw`` holds nothing but white space."""
    return not raw or raw.isspace()


def line(data: bytes) -> bytes:
    """``data``, one JSON value without a line end in it, as a line."""
    return data + b"\n"
