"""Picking the fields that count out of headers.

Which they are follows from their names. Clients send the same names in the same order with every
request, whatever the values, so where the fields that count stand is remembered by all the names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.model.message import Headers

# Names come from clients. Bounds, not tunings: together they are a bound in bytes.
_MOST_HEADS: Final = 256
_MOST_NAMES: Final = 64  # in one of them
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
        self._places: dict[tuple[str, ...], tuple[tuple[str, ...], tuple[int, ...]]] = {}

    def __call__(self, headers: Headers) -> Picked:
        """The fields that count."""
        spelled, values = headers.names, headers.values
        names, places = self._places.get(spelled) or self._find(spelled)
        return names, tuple([values[place] for place in places])

    def _find(self, spelled: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
        places = tuple(place for place, name in enumerate(spelled) if self._counts(name.lower()))
        found = tuple(spelled[place] for place in places), places
        if len(spelled) <= _MOST_NAMES and sum(map(len, spelled)) <= 16 * _MOST_NAMES:
            if len(self._places) >= _MOST_HEADS:
                self._places.clear()
            self._places[spelled] = found
        return found


def size_of(picked: Picked) -> int:
    """Bytes that ``picked`` takes, about."""
    return sum([sum(map(len, texts)) + _TEXT * len(texts) for texts in picked])
