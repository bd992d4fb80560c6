r"""Streams made shorter for whoever only asks what kind of thing they say.

A model says a word an event, and but for the word the events are equal to the byte. Whether an
answer is whole is told by the first of them as well as by all: what the word is does not matter.

Rules, for an event that follows one equal to it but for plain texts in given members:

1. Where valid JSON has ``"name":"``, a text begins. The quote behind the name is not escaped; if it
   began a text, the name would stand outside of any. So it ends one, and behind the colon the next
   begins. So if the first event is valid, the second is too, and has the same members, as long as
   its texts are UTF-8 without quotes, backslashes and control characters.
2. No text of the first is empty, so whatever depends on there being one has been seen there.
3. If the first is not valid, or an error, that is found before the second is looked at.
"""

from __future__ import annotations

import re
from typing import Final

_BEGINS: Final = b"data: "
_TEXT: Final = re.compile(rb'[^"\\\x00-\x1f]*')
_PATIENCE: Final = 64  # events in a row that none was like


class Thinning:
    """Leaves out events that are like the one before.

    Args:
        names: of members whose texts do not matter, in whatever object they stand.
    """

    def __init__(self, *names: bytes) -> None:
        alternatives = b"|".join(map(re.escape, names))
        self._texts = re.compile(rb'"(?:%b)": ?"([^"\\\x00-\x1f]*)' % alternatives)

    def __call__(self, stream: bytes) -> bytes:
        """``stream`` less what is like what comes before it; who hears both learns the same."""
        if b"\r" in stream or not _is_text(stream):
            return stream
        kept: list[bytes] = []
        begin = at = alone = 0
        while alone < _PATIENCE and (end := stream.find(b"\n\n", at) + 2) > 1:
            at = self._run(stream, at, end)
            if at == end:
                alone += 1
                continue
            alone = 0
            kept.append(stream[begin:end])
            begin = at
        return b"".join([*kept, stream[begin:]]) if kept else stream

    def _run(self, stream: bytes, at: int, end: int) -> int:
        """Where the events end that are like ``stream[at:end]``."""
        between = self._between(stream[at:end])
        if between is None:
            return end
        first, *others = between
        while stream.startswith(first, end):
            after = end + len(first)
            for part in others:
                if (found := _TEXT.match(stream, after)) is None:
                    return end
                after = found.end()
                if not stream.startswith(part, after):
                    return end
                after += len(part)
            end = after
        return end

    def _between(self, event: bytes) -> list[bytes] | None:
        """What stands before, between and behind the texts; None if others cannot be like it."""
        if not event.startswith(_BEGINS) or event.find(b"\n") != len(event) - 2:
            return None
        parts, last = [], 0
        for found in self._texts.finditer(event):
            begin, end = found.span(1)
            if begin == end:
                return None
            parts.append(event[last:begin])
            last = end
        return [*parts, event[last:]] if parts else None


def _is_text(stream: bytes) -> bool:
    if stream.isascii():
        return True
    try:
        stream.decode()
    except UnicodeDecodeError:
        return False
    return True
