"""Headers of which something comes again and again: what follows from that is worked out once.

``Received`` are those of a request: a client sends the same names in the same order every time.
``Continued`` are those of a reply that begins as many others do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from proxy.model.message import Headers


class Names(NamedTuple):
    """The names of fields in order; heads that have the same can share one of these."""

    spelled: tuple[str, ...]
    places: dict[str, int]  # where each stands, in lower case; of equal ones the first
    apart: bool  # no two are equal

    @classmethod
    def of(cls, spelled: Iterable[str]) -> Names:
        """The names that are spelled like this."""
        spelled = tuple(spelled)
        places: dict[str, int] = {}
        for place, name in enumerate(spelled):
            places.setdefault(name.lower(), place)
        return cls(spelled, places, len(places) == len(spelled))


class Received(Headers):
    """Headers made of names and values, which are as many; the rest is made when asked for."""

    __slots__ = ("_names", "_pairs", "_values")

    def __init__(self, names: Names, values: Sequence[str]) -> None:
        self._names = names
        self._values = values
        self._pairs: tuple[tuple[str, str], ...] | None = None
        self._index = None

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override] # read as it is there
        if self._pairs is None:
            self._pairs = tuple(zip(self._names.spelled, self._values, strict=True))
        return self._pairs

    @property
    def names(self) -> tuple[str, ...]:
        return self._names.spelled

    @property
    def values(self) -> Sequence[str]:
        return self._values

    def get(self, name: str, default: str = "") -> str:
        names = self._names
        if not names.apart:
            return self.index().get(name, default)
        place = names.places.get(name)
        return default if place is None else self._values[place]

    def __contains__(self, name: str) -> bool:
        return name in self._names.places

    def __len__(self) -> int:
        return len(self._values)


class Lines(NamedTuple):
    """Fields of a response as they are sent."""

    text: str  # each line begins with its line break
    breaks: int  # line breaks in it
    dated: bool  # ``Date`` is among them


class Beginning(Headers):
    """Headers that those of many replies begin with."""

    __slots__ = ("lines",)

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self.lines: Lines | None = None  # kept by who has written them

    def then(self, *pairs: tuple[str, str]) -> Continued:
        """As ``plus``."""
        return Continued(self, pairs)


class Continued(Headers):
    """Headers that begin with others, and go on with ``rest``."""

    __slots__ = ("beginning", "rest")

    def __init__(self, beginning: Beginning, rest: tuple[tuple[str, str], ...]) -> None:
        super().__init__(beginning.pairs + rest)
        self.beginning = beginning
        self.rest = rest
