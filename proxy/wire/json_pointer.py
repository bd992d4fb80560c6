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

    def find(self, document: object) -> object:
        """The value it leads to in a parsed ``document``; None where there is none, or null."""
        value = document
        for name, index in self._steps:
            if isinstance(value, dict):
                value = value.get(name)
            elif isinstance(value, list) and index is not None and index < len(value):
                value = value[index]
            else:
                return None
        return value
