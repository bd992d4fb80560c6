"""JSON Pointers: the way to one value in a JSON document (RFC 6901)."""

from __future__ import annotations

import re
from typing import Final

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,17}")  # section 4; longer ones lead beyond any list
_NO_ESCAPE: Final = re.compile(r"~(?![01])")


class Pointer:
    """A pointer that was read once and may be followed in many documents.

    Args:
        text: as in section 3, such as ``/usage/total_tokens``; "" leads to the whole document.

    Raises:
        ValueError: ``text`` is no pointer, in words fit to be shown.
    """

    __slots__ = ("_steps",)

    def __init__(self, text: str) -> None:
        if text and not text.startswith("/"):
            raise ValueError('must begin with "/", as in /usage/total_tokens (RFC 6901)')
        if _NO_ESCAPE.search(text):
            raise ValueError('must write "~" as ~0 and "/" within a name as ~1 (RFC 6901)')
        # ~1 first: the other way round ~01, which is "~1", would become "/" (section 4).
        names = [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]
        self._steps = [(name, int(name) if _INDEX.fullmatch(name) else None) for name in names]

    @property
    def names(self) -> tuple[str, ...] | None:
        """The members it leads through, from the top; None if it may lead through a list."""
        names = tuple(name for name, index in self._steps if index is None)
        return names if len(names) == len(self._steps) else None

    def find(self, document: object) -> object:
        """The value it leads to in a parsed ``document``; None where there is none, or null."""
        return _follow(document, self._steps)

    def cut(self, document: object) -> None:
        """Take what it leads to out of ``document``; in a list null takes its place."""
        holder = self._holder(document)
        if isinstance(holder, dict):
            holder.pop(self._steps[-1][0], None)
        else:
            self.put(document, None)

    def put(self, document: object, value: object) -> None:
        """Replace what it leads to in ``document``; where nothing is there to replace, do nothing.

        The whole document cannot be replaced.
        """
        holder = self._holder(document)
        name, index = self._steps[-1] if self._steps else ("", None)
        if isinstance(holder, dict) and name in holder:
            holder[name] = value
        elif isinstance(holder, list) and index is not None and index < len(holder):
            holder[index] = value

    def _holder(self, document: object) -> object:
        """What holds the value it leads to; None for the whole document."""
        return _follow(document, self._steps[:-1]) if self._steps else None


def _follow(document: object, steps: list[tuple[str, int | None]]) -> object:
    value = document
    for name, index in steps:
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and index is not None and index < len(value):
            value = value[index]
        else:
            return None
    return value
