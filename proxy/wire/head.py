"""The head of a response as bytes, checked so that no field can end it early."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import Final

from proxy.model.errors import ProtocolViolation
from proxy.model.headers import Beginning, Continued, Lines
from proxy.model.message import Head

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive"})
_NO_LINES: Final = Lines("", 0, dated=False)
_LOWEST, _HIGHEST = 200, 999  # final status codes (RFC 9110, section 15)


class _Kind(IntEnum):
    PLAIN = 0
    FRAMING = 1  # ours to write
    DATE = 2
    INVALID = 3


def write_head(head: Head, framing: str, date: str) -> bytes:
    """``head`` in HTTP/1.1, to its end: fields in their order and spelling, then ours.

    Nothing is invented but ``Date``, and that only if it is missing (RFC 9110, section 6.6.1).
    Whatever ``head`` says about framing and the connection is left out.

    Args:
        head: a final response.
        framing: further fields, each a whole line.
        date: the line to add if there is no ``Date``.

    Raises:
        ProtocolViolation: a field or the status line cannot be sent (RFC 9110, section 5.5).
    """
    if not _LOWEST <= head.status <= _HIGHEST:
        raise ProtocolViolation(f"A final response cannot have the status {head.status}.")
    headers = head.headers
    first = f"HTTP/1.1 {head.status} {head.reason}"
    if isinstance(headers, Continued):
        beginning, rest = _lines(headers.beginning), headers.rest
    else:
        beginning, rest = _NO_LINES, headers.pairs
    lines = [f"{first}{beginning.text}"]
    if _add(lines, rest) or beginning.dated:
        date = ""
    return _joined(lines, beginning.breaks, framing + date)


def _lines(headers: Beginning) -> Lines:
    lines = headers.lines
    if lines is None:
        each = [""]
        dated = _add(each, headers.pairs)
        lines = headers.lines = Lines("\r\n".join(each), len(each) - 1, dated)
    return lines


def _add(lines: list[str], pairs: tuple[tuple[str, str], ...]) -> bool:
    """Add ``pairs``, less those about framing, to ``lines``; whether ``Date`` is among them."""
    dated = False
    for name, value in pairs:
        kind = _kind_of(name)
        if kind:
            if kind is _Kind.FRAMING:
                continue
            if kind is _Kind.INVALID:
                raise ProtocolViolation("The name of a response field is no token.")
            dated = True
        lines.append(f"{name}: {value}")
    return dated


def write_switch(head: Head) -> bytes:
    """The head of a 101 response, with the connection fields it came with. Raises as write_head."""
    lines = [f"HTTP/1.1 {head.status} {head.reason}"]
    for name, value in head.headers.pairs:
        if _kind_of(name) is _Kind.INVALID:
            raise ProtocolViolation("The name of a response field is no token.")
        lines.append(f"{name}: {value}")
    return _joined(lines, 0, "")


def _joined(lines: list[str], inside: int, ours: str) -> bytes:
    """``lines``, which have so many line breaks ``inside``, and ``ours``, to the end of a head."""
    text = "\r\n".join(lines)
    # Counting what a line break is made of finds a stray one in any value, at the cost of none of
    # the calls that looking at each would take.
    breaks = inside + len(lines) - 1
    if text.count("\r") != breaks or text.count("\n") != breaks or "\0" in text:
        raise ProtocolViolation("A response field has a line break or NUL in it.")
    try:
        return f"{text}\r\n{ours}\r\n".encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ProtocolViolation("A response field has half a character in it.") from error


@lru_cache(maxsize=1024)  # servers repeat themselves; bounded, because names come from outside
def _kind_of(name: str) -> _Kind:
    lower = name.lower()
    if lower == "date":
        return _Kind.DATE
    if lower in _FRAMING:
        return _Kind.FRAMING
    return _Kind.PLAIN if _TOKEN.fullmatch(name) else _Kind.INVALID
