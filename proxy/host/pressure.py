"""What to do as memory runs out: first hold fewer answers, then take in less, then ask no more.

Pure: the numbers are passed in. The kernel kills a process at its limit without a word, and with it
all streams that it carries; each step here costs less than that. A step is taken at once, and taken
back once use has been well below it for a while, or the proxy would go to and fro.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Level(IntEnum):
    """How far memory has run out. Each level does what those below it do."""

    EASE = 0
    SHRINK = 1  # the memory tier holds less
    SPARE = 2  # long answers are passed on without being kept, and nothing is renewed ahead
    REFUSE = 3  # the backend is asked nothing; what is stored is still served


_RISES: Final = (0.85, 0.92, 0.97)  # of the limit: shares at which a level begins
_BELOW: Final = 0.05  # of the limit, below where it began, a level may end
_CALM_S: Final = 5.0  # for so long

AIM: Final = 0.8  # of the limit: what use is brought to, and may be let grow to
_LEAST: Final = 1 / 16  # of the tier's budget; below, it would hold nothing worth the room
_STEP: Final = 1 / 20  # of the tier's budget, that it is shrunk by at least and grows by
_SHRINK_EVERY_S: Final = 3.0  # what was given up takes that long to show
_GROW_AFTER_S: Final = 60.0  # since it was shrunk last
_GROW_EVERY_S: Final = 10.0


class Pressure:
    """Says which level it is.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self.level = Level.EASE
        self._limit = limit
        self._calm_since: float | None = None

    def heed(self, used: int, now: float) -> Level:
        """The level, with so many bytes in use at ``now``, in seconds."""
        share = used / self._limit
        reached = Level(sum(share >= rise for rise in _RISES))
        if reached >= self.level or share >= _RISES[self.level - 1] - _BELOW:
            self.level = max(self.level, reached)
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= _CALM_S:
            self.level = Level(self.level - 1)
            self._calm_since = now
        return self.level


class Allowance:
    """Says how much of its budget the memory tier may use.

    Args:
        limit: bytes that all processes under it may use together.
        sharers: how many of those are proxies that shrink as this one does.
    """

    def __init__(self, limit: int, sharers: int = 1) -> None:
        self._aim = int(limit * AIM)
        self._sharers = sharers
        self._allowed: int | None = None  # None: all of it
        self._shrunk_at = self._grown_at = float("-inf")

    def heed(self, level: Level, used: int, held: int, budget: int, now: float) -> int:
        """Bytes that the tier may hold.

        Args:
            used: bytes in use, in all.
            held: bytes that the tier holds.
            budget: bytes that it may hold when there is no pressure.
            now: seconds.
        """
        allowed = budget if self._allowed is None else min(self._allowed, budget)
        over, step = (used - self._aim) // self._sharers, int(budget * _STEP)
        if level > Level.EASE:
            if over > 0 and now - self._shrunk_at >= _SHRINK_EVERY_S:
                self._shrunk_at = now
                least = int(budget * _LEAST)
                allowed = min(allowed, max(least, min(allowed, held) - max(over, step)))
        elif (
            allowed < budget
            and over + step <= 0
            and now - self._shrunk_at >= _GROW_AFTER_S
            and now - self._grown_at >= _GROW_EVERY_S
        ):
            self._grown_at = now
            allowed = min(budget, allowed + step)
        self._allowed = None if allowed >= budget else allowed
        return allowed
