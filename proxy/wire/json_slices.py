"""JSON documents taken apart without being read: the values in them, as the bytes they were in.

What is not looked into is not written anew, so numbers keep their digits. Long flat lists of
numbers and long texts are skipped by a search for their end, which takes less than parsing them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeVar

import orjson

T = TypeVar("T")

_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_TEXT: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb"[-+.0-9A-Za-z]++")
_MARK: Final = re.compile(rb'["\[\]{}]')
_DEEPEST: Final = 1024  # containers within containers; what nests deeper orjson does not read
_QUOTE, _LIST, _OBJECT, _COLON, _COMMA = b'"[{:,'


class Around(NamedTuple):
    """A value, and what stands before and after it."""

    before: bytes
    value: bytes
    after: bytes


def members(raw: bytes) -> dict[str, bytes]:
    """The values of the object that ``raw`` is, by name and in order; of two of a name the last.

    Raises:
        ValueError: ``raw`` is no object. Whether the values are valid JSON has to be seen.
    """
    return {name: raw[begin:end] for name, (begin, end) in spans(raw).items()}


def around(raw: bytes, name: str) -> Around:
    """The member ``name`` of the object that ``raw`` is. Raises as ``members``, or KeyError."""
    begin, end = spans(raw)[name]
    return Around(raw[:begin], raw[begin:end], raw[end:])


def elements(raw: bytes) -> list[bytes]:
    """The values of the list that ``raw`` is. Raises as ``members``."""
    if raw[:1] != b"[":
        raise ValueError("no list")
    at = _skip(raw, 1)
    found: list[bytes] = []
    if raw[at : at + 1] == b"]":
        return _ended(raw, at, found)
    while True:
        end = _end(raw, at)
        found.append(raw[at:end])
        at = _skip(raw, end)
        if _byte(raw, at) != _COMMA:
            break
        at = _skip(raw, at + 1)
    if raw[at : at + 1] != b"]":
        raise ValueError("a list that does not end")
    return _ended(raw, at, found)


def written(values: Iterable[tuple[str, bytes]]) -> bytes:
    """The object of these members."""
    return b"{" + b",".join([orjson.dumps(name) + b":" + value for name, value in values]) + b"}"


def spans(raw: bytes) -> dict[str, tuple[int, int]]:
    """Where the values that ``members`` returns begin and end. Raises as it does."""
    at = _skip(raw, 0)
    if raw[at : at + 1] != b"{":
        raise ValueError("no object")
    at = _skip(raw, at + 1)
    found: dict[str, tuple[int, int]] = {}
    if raw[at : at + 1] == b"}":
        return _ended(raw, at, found)
    while True:
        end = _end(raw, at)
        name = orjson.loads(raw[at:end])
        at = _skip(raw, end)
        if not isinstance(name, str) or _byte(raw, at) != _COLON:
            raise ValueError("a member without a name")
        at = _skip(raw, at + 1)
        end = _end(raw, at)
        found[name] = at, end
        at = _skip(raw, end)
        if _byte(raw, at) != _COMMA:
            break
        at = _skip(raw, at + 1)
    if raw[at : at + 1] != b"}":
        raise ValueError("an object that does not end")
    return _ended(raw, at, found)


def _ended(raw: bytes, at: int, found: T) -> T:
    if _skip(raw, at + 1) != len(raw):
        raise ValueError("something follows the end")
    return found


def _byte(raw: bytes, at: int) -> int:
    return raw[at] if at < len(raw) else -1


def _skip(raw: bytes, at: int) -> int:
    """Where the next byte is that is no space."""
    if at < len(raw) and raw[at] > 0x20:  # noqa: PLR2004 - nearly always
        return at
    match = _SPACE.match(raw, at)
    return at if match is None else match.end()


def _end(raw: bytes, at: int) -> int:
    """Where the value that begins at ``at`` has ended. Raises ValueError."""
    kind = _byte(raw, at)
    if kind == _QUOTE:
        return _text_end(raw, at)
    if kind not in {_LIST, _OBJECT}:
        scalar = _SCALAR.match(raw, at)
        if scalar is None:
            raise ValueError("no value")
        return scalar.end()
    depth = 0
    while True:
        mark = _MARK.search(raw, at)
        if mark is None:
            raise ValueError("a value that does not end")
        at = mark.start()
        kind = raw[at]
        if kind == _QUOTE:
            at = _text_end(raw, at)
            continue
        if kind == _LIST and (flat := _flat_end(raw, at)):
            at = flat
        else:
            depth += 1 if kind in {_LIST, _OBJECT} else -1
            at += 1
        if depth == 0:
            return at
        if depth > _DEEPEST:
            raise ValueError("containers nest too deep")


def _text_end(raw: bytes, at: int) -> int:
    end = raw.find(b'"', at + 1)
    if end > 0 and raw.find(b"\\", at + 1, end) < 0:
        return end + 1
    match = _TEXT.match(raw, at)
    if match is None:
        raise ValueError("a text that does not end")
    return match.end()


def _flat_end(raw: bytes, at: int) -> int:
    """Where the list that begins at ``at`` has ended if it holds no other and no texts; else 0."""
    end = raw.find(b"]", at)
    if end < 0 or raw.find(b"[", at + 1, end) >= 0 or raw.find(b'"', at + 1, end) >= 0:
        return 0
    return end + 1
