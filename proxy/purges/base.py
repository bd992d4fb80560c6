"""What the purges ask of a journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from proxy.model.purge import Purge

LARGEST: Final = 2**43 - 1
"""The largest number a note may have: milliseconds since 1970, in the year 2248."""


class Note(NamedTuple):
    """A purge as a journal holds it."""

    number: int  # of the journal's own counting, larger than those before it
    purge: Purge
    wall: float  # when, in seconds since 1970


class Absent(NamedTuple):
    """A replica that has not said that it obeys."""

    replica: str
    silent_s: float  # seconds since it was last heard of


def next_number(last: int, wall: float) -> int:
    """The number of the next note: the time in milliseconds, unless the last had that or more.

    A clock that is far ahead for a moment must not use up all numbers there are.
    """
    return max(last + 1, int(min(wall * 1000, LARGEST - 2**32)))


Learn = Callable[[Note], None]
"""Told of each note once, in the order of their numbers, before whoever wrote it goes on."""


class Journal(Protocol):
    """Where purges are written down, in one order for all who share it.

    Its first note says that everything from before it is purged: a journal that was lost and begun
    anew cannot know what it had said.
    """

    @property
    def name(self) -> str: ...

    async def start(self, learn: Learn) -> None:
        """Read what is written, and go on reading until ``close``. Raises nothing.

        Where that takes longer than a moment it goes on in the background.
        """
        ...

    async def close(self) -> None:
        """Stop reading, and be no replica any more. Raises nothing."""
        ...

    async def append(self, purge: Purge) -> int:
        """Write ``purge`` down; its number. When this returns, this replica has learned it.

        Raises:
            TierError: it could not be written, or nobody knows whether it was.
        """
        ...

    async def absent(self, number: int) -> Sequence[Absent]:
        """Wait until all replicas have learned of ``number``; those that have not in good time.

        Raises:
            TierError: nobody can tell.
        """
        ...
