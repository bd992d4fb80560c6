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
_DECODER: Final = json.JSONDecoder()
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
    done = 0
    for start, end in _fixed(text):
        if done < start:
            found.append(Segment(text[done:start], prose=True))
        if found and not found[-1].prose and done == start:
            found[-1] = Segment(found[-1].text + text[start:end], prose=False)
        else:
            found.append(Segment(text[start:end], prose=False))
        done = end
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
    try:
        _, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        return 0, max(1, error.pos - start)
    except RecursionError:
        return len(text), 0  # too deep to be prose
    return end, 0
