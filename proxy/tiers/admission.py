"""Admission: who is let into the tiers. What is asked once in a month need not push others out.

An answer is let in when its key has been asked for twice. Who asks is all the same: a crowd that
waits for one answer has asked as often as it has heads. Sightings are noted in filters, so a key
that was never seen is now and then taken for one that was, and let in a little early.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.tiers.bloom import Bloom, Filter

_MOST: Final = 500_000  # sightings that a generation has room for; 0.6 MB for each of two filters


class _Generation:
    """Sightings of half a window."""

    __slots__ = ("again", "began", "once")

    def __init__(self, began: float, most: int) -> None:
        self.began = began
        self.once: Filter = Bloom(most)
        self.again: Filter = Bloom(most)  # more than once, or once and known to have been before

    def knows(self, digest: bytes) -> bool:
        return self.once.holds(digest) or self.again.holds(digest)


class Admission:
    """Lets in what was asked for at least twice within the window.

    Two generations of half a window each: a sighting is remembered for half of the window at least,
    and for no more than all of it. When there are more than fit, for less.

    Args:
        window_s: seconds.
        clock: seconds, monotonic.
        most: sightings to remember in half a window, about.
    """

    def __init__(self, window_s: float, clock: Callable[[], float], *, most: int = _MOST) -> None:
        self._half_s = window_s / 2
        self._clock = clock
        self._most = most
        self._before = self._now = _Generation(clock(), most)

    def sight(self, digest: bytes, *, stored: bool = False) -> None:
        """Note that a key was asked for; ``stored`` if it has been let in before."""
        self._turn()
        now, before = self._now, self._before
        seen = stored or now.knows(digest) or before.knows(digest)
        (now.again if seen else now.once).add(digest)

    def admits(self, digest: bytes) -> bool:
        """Whether the answer to a key may be kept."""
        self._turn()
        return self._now.again.holds(digest) or self._before.again.holds(digest)

    def would_admit(self, digest: bytes) -> bool:
        """Whether the answer to a key may be kept, should it be asked for once more now."""
        return any(each.knows(digest) for each in (self._now, self._before))

    def _turn(self) -> None:
        """Begin another generation, if this one is old or full."""
        now, old = self._clock(), self._now
        age = now - old.began
        if age >= 2 * self._half_s:
            self._before = self._now = _Generation(now, self._most)
        elif age >= self._half_s:
            # Where the old one ended, not now: else sightings would be remembered for longer.
            self._before, self._now = old, _Generation(old.began + self._half_s, self._most)
        elif old.once.full or old.again.full:
            self._before, self._now = old, _Generation(now, self._most)
