"""One finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Final, NamedTuple

from proxy.reporting.told import Told

ENOUGH: Final = 20  # requests, calls, lookups: of fewer, no share is worth a word


class Weight(IntEnum):
    """How pressing it is; the lower, the more."""

    ACT = 1  # something does not work, or may be wrong
    CHANGE = 2  # a change would bring something
    NOTE = 3  # good to know

    @property
    def word(self) -> str:
        """For people."""
        return ("act", "change", "note")[self - 1]


class Finding(NamedTuple):
    """What was found.

    Attributes:
        title: what is the case, in a few words.
        why: the numbers that say so.
        advice: what to do, and what for.
        settings: those that the advice is about, by their dotted names.
        reach: the share of requests, or of their time, that it is about: from 0 to 1.
    """

    weight: Weight
    title: str
    why: str
    advice: str
    settings: tuple[str, ...] = ()
    reach: float = 0.0


Rule = Callable[[Told], Iterable[Finding]]


def part(some: float, of: float) -> float:
    """The share that ``some`` is of ``of``; 0 of nothing."""
    return some / of if of else 0.0
