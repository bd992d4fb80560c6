"""Picking the fields that count out of headers.

Which they are follows from their names, so where they stand is remembered by all the names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.model.message import Headers
from proxy.wire.by_names import ByNames

_TEXT: Final = 60  # bytes a text takes besides its characters, and a place in a tuple


Picked = tuple[tuple[str, ...], tuple[str, ...]]
"""The names of fields, as spelled, and their values, each in order."""


class Picking:
    """Picks fields out of headers.

    Args:
        counts: whether a field counts, by its name in lower case; always the same for one name.
    """

    def __init__(self, counts: Callable[[str], bool]) -> None:
        self._counts = counts
        self._places = ByNames[str, tuple[tuple[str, ...], tuple[int, ...]]](self._find)

    def __call__(self, headers: Headers) -> Picked:
        """The fields that count."""
        names, places = self._places(headers.names)
        values = headers.values
        return names, tuple([values[place] for place in places])

    def _find(self, spelled: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
        places = tuple(place for place, name in enumerate(spelled) if self._counts(name.lower()))
        return tuple(spelled[place] for place in places), places


def size_of(picked: Picked) -> int:
    """Bytes that ``picked`` takes, about."""
    return sum([sum(map(len, texts)) + _TEXT * len(texts) for texts in picked])
