"""What follows from the names of header fields, worked out once for all heads that have the same.

Clients and backends send the same names in the same order every time, whatever the values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Generic, TypeVar

T = TypeVar("T", str, bytes)
V = TypeVar("V")

# Names come from outside. Bounds, not tunings: together they are a bound in bytes.
_MOST_HEADS: Final = 256
_MOST_NAMES: Final = 64  # in one of them
_MOST_LENGTH: Final = 16 * _MOST_NAMES  # of them, together


class ByNames(Generic[T, V]):
    """Remembers what ``work_out`` made of names.

    Args:
        work_out: always makes the same of the same names.
    """

    __slots__ = ("_known", "_work_out")

    def __init__(self, work_out: Callable[[tuple[T, ...]], V]) -> None:
        self._work_out: Callable[[tuple[T, ...]], V] = work_out
        self._known: dict[tuple[T, ...], V] = {}

    def __call__(self, names: tuple[T, ...]) -> V:
        """What follows from ``names``."""
        known = self._known.get(names)
        return self._learn(names) if known is None else known

    def __len__(self) -> int:
        return len(self._known)

    def _learn(self, names: tuple[T, ...]) -> V:
        made: V = self._work_out(names)
        if len(names) <= _MOST_NAMES and sum(map(len, names)) <= _MOST_LENGTH:
            if len(self._known) >= _MOST_HEADS:
                self._known.clear()
            self._known[names] = made
        return made


def by_name(find: Callable[[str], V], *, longest: int = 256) -> Callable[[str], V]:
    """``find``, remembering what it made of the last 1,024 names of up to ``longest`` characters.

    Names come from outside, of models as of fields: only with their length it is a bound in bytes.
    """
    known = lru_cache(maxsize=1024)(find)

    def found(name: str) -> V:
        return known(name) if len(name) <= longest else find(name)

    return found
