"""Putting other texts into a JSON document without touching another byte."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import orjson

Place = tuple[str | int, ...]
"""The names and numbers that lead to a value."""

# A string, or one of the marks that give a document its structure; all else can be skipped.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[][{}:,]', re.DOTALL)


def replaced(raw: bytes, texts: Mapping[Place, str]) -> bytes:
    """``raw``, one valid JSON document, with other ``texts`` at some places where there are some.

    Of a member that occurs twice both are replaced.
    """
    pieces: list[bytes] = []
    done = 0
    for place, start, end in _strings(raw):
        if place in texts:
            pieces += (raw[done:start], orjson.dumps(texts[place]))
            done = end
    return b"".join([*pieces, raw[done:]])


def _strings(raw: bytes) -> Iterator[tuple[Place, int, int]]:
    """Each string that is a value: where it is in the document, and in ``raw``."""
    place: list[str | int] = []
    listed: list[bool] = []  # for each container that is open: whether it is a list
    name = b""  # of a member whose value has not come yet
    named = False
    for token in _TOKEN.finditer(raw):
        mark = token[0]
        if mark in b"{[":
            place.append(0 if mark == b"[" else "")
            listed.append(mark == b"[")
            named = False
        elif mark in b"}]":
            place.pop()
            listed.pop()
        elif mark == b",":
            if listed and listed[-1]:
                place[-1] = int(place[-1]) + 1
            named = False
        elif mark == b":":
            place[-1] = orjson.loads(name)
            named = True
        elif listed and not listed[-1] and not named:
            name = mark
        else:
            yield tuple(place), token.start(), token.end()
