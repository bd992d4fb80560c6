"""A text cut into prose, which may be tightened, and what must stay as it is.

As it is stays what has a grammar of its own: code between fences, indented or in backticks, JSON,
tables, quotations, and lines that begin with a tag. Joined, the segments are the text again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_START: Final = re.compile(
    r"(?P<fence>^[ \t]*(?:`{3,}|~{3,}))"
    r"|(?P<line>^(?: {4}|\t|[ \t]*[|>]|[ \t]*</?[A-Za-z!])[^\n]*\n?)"
    r"|(?P<code>`[^`\n]+`)"
    r"|(?P<json>[\[{])",
    re.MULTILINE,
)
# Numbers are left as they are spelled: nobody needs them, and those of many digits cost much.
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str)
# What fails is told with its line, for which the decoder counts all lines before it. So it is given
# a piece only, and a longer one where that may have ended too early: by so many characters.
_PIECE: Final = 1024
_LONGEST_WORD: Final = 16
# Where a brace opens no JSON, the reader finds out somewhere behind it. What looks like JSON again
# and again must not make that quadratic: past so many times the text, the rest is left alone.
_PATIENCE: Final = 4


class Segment(NamedTuple):
    """A piece of a text."""

    text: str
    prose: bool  # else it stays as it is


def segments(text: str) -> list[Segment]:
    """``text`` in pieces, in order; none is empty."""
    found: list[Segment] = []
    begun = done = 0  # of what stays as it is
    for start, end in _fixed(text):
        if done < start:
            if begun < done:
                found.append(Segment(text[begun:done], prose=False))
            found.append(Segment(text[done:start], prose=True))
            begun = start
        done = end
    if begun < done:
        found.append(Segment(text[begun:done], prose=False))
    if done < len(text):
        found.append(Segment(text[done:], prose=True))
    return found


def _fixed(text: str) -> Iterator[tuple[int, int]]:
    """Where what must stay as it is begins and ends, in order."""
    at, read = 0, 0
    while match := _START.search(text, at):
        end = match.end()
        if match["fence"]:
            end = _fence_end(text, match)
        elif match["json"]:
            json_end, looked = _json_end(text, match.start())
            read += looked
            if read > _PATIENCE * len(text) + 1024:
                yield match.start(), len(text)
                return
            if not json_end:
                at = end
                continue
            end = json_end
        yield match.start(), end
        at = end


def _fence_end(text: str, opening: re.Match[str]) -> int:
    """Where the block that ``opening`` opens ends: with its own kind of fence, or with the text."""
    mark = opening["fence"].strip()
    closing = re.compile(rf"^[ \t]*{re.escape(mark)}{re.escape(mark[0])}*[ \t]*$\n?", re.MULTILINE)
    begin = text.find("\n", opening.end())
    found = closing.search(text, begin + 1) if begin >= 0 else None
    return found.end() if found else len(text)


def _json_end(text: str, start: int) -> tuple[int, int]:
    """Where the JSON that begins at ``start`` ends, 0 if it is none; and how much was looked at."""
    size, looked = _PIECE, 0
    while True:
        piece = text[start : start + size]
        try:
            _, end = _DECODER.raw_decode(piece)
        except json.JSONDecodeError as error:
            is_cut = start + size < len(text) and (
                error.pos > size - _LONGEST_WORD or error.msg.startswith(_MAY_END_LATER)
            )
            if not is_cut:
                return 0, looked + max(1, error.pos)
            looked, size = looked + size, 16 * size
        except RecursionError:
            return len(text), 0  # too deep to be prose
        else:
            return start + end, 0


_MAY_END_LATER: Final = ("Unterminated string", "Invalid \\")
