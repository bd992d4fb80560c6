"""Taking a member out of a JSON object without touching another byte.

Parsing and writing again would be simpler, but may spell numbers and text differently, and what the
caller wrote is the caller's.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

# A string, or one of the marks that give a document its structure; all else can be skipped.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[][{}:,]', re.DOTALL)


def without(raw: bytes, name: str) -> bytes:
    """``raw``, one valid JSON object, less its member ``name`` and the comma that goes with it.

    Returns ``raw`` itself if there is no such member. Members of members are left alone.
    """
    depth = 0
    before = -1  # where the comma before the current member is; -1: it is the first
    member = b""  # the last string seen, which is a name once a colon follows
    opened = 0  # where that string begins
    begin = -1  # where the member to take out begins, once found
    for token in _TOKEN.finditer(raw):
        mark = token[0]
        if mark in b"{[":
            depth += 1
        elif mark in b"}]":
            depth -= 1
            if depth == 0 and begin >= 0:  # it is the last one
                return raw[: begin if before < 0 else before] + raw[token.start() :]
        elif depth > 1:
            continue
        elif mark == b",":
            if begin >= 0:
                return raw[:begin] + raw[token.end() :].lstrip(b" \t\r\n")
            before = token.start()
        elif mark == b":":
            if begin < 0 and orjson.loads(member) == name:
                begin = opened
        else:
            member, opened = mark, token.start()
    return raw
