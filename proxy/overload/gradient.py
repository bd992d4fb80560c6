"""How many calls the backends bear, found out from how soon they answer. Pure.

A backend that is asked more than it can work on lets calls wait, and its responses begin later. So
the seconds to the head of each response are compared with what that backend takes when it is not
pressed, and the limit follows the ratio, as in Netflix's concurrency-limits (Gradient2) and Envoy's
adaptive concurrency:

    limit <- limit x min(1, tolerance / ratio) + half the square root of it

What is added is what finds out whether more would do; where the ratio is above the tolerance, the
first factor takes more away. Until the first time that it does, the limit doubles.

What is unlike them is where the base comes from: the mean of all (Gradient2) follows an overload
that lasts, and asking next to nothing once a minute (Envoy) idles for long where calls are long.
Here the base is learned for each backend

- both ways while fewer than half the calls are under way that may be: the load is not to blame;
- downwards only while there are more;
- upwards at once while no more are let through than ``low``, as there is nobody left to blame; the
  limit then doubles again until it is too high.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from statistics import median
from typing import Final

_LEAST_S: Final = 1.0  # that a window lasts
_MOST_S: Final = 10.0  # after which one is looked at that has few samples
_LEAST: Final = 32  # samples in a window: a median of so many is within a tenth or two
_FEW: Final = 16
_MOST: Final = 4096  # samples kept
_TOLERANCE: Final = 1.25  # Envoy's buffer over its smallest round trip is as much
_HARDEST: Final = 0.5  # that is left of the limit, at least, after one window
_EAGER: Final = 2.0  # by which it grows as long as nobody has complained
_LEARNS: Final = 0.25  # how much one window says of the base
_BACKENDS: Final = 256  # whose base is remembered; a bound, not a tuning


class Gradient:
    """Finds out how many calls there may be.

    Args:
        low: that there may be in any case, at least 1.
        high: that there may be at most.
        clock: seconds, monotonic.
    """

    def __init__(self, low: int, high: int, *, clock: Callable[[], float]) -> None:
        self._low = max(1, low)
        self._high = max(self._low, high)
        self._clock = clock
        self._limit = float(self._low)
        self._eager = True
        self._bases: dict[str, float] = {}  # seconds to the head, by backend
        self._samples: dict[str, list[float]] = {}  # of this window
        self._count = 0
        self._peak = 0  # calls under way in this window, at most
        self._began = clock()
        self._since = self._began  # when the limit was last changed

    @property
    def limit(self) -> int:
        """How many calls there may be now."""
        return int(self._limit)

    def bound(self, low: int, high: int) -> None:
        """Go on between other bounds."""
        self._low = max(1, low)
        self._high = max(self._low, high)
        self._limit = self._bounded(self._limit)

    def noted(self, backend: str, seconds: float, calls: int) -> None:
        """A response of ``backend`` began after ``seconds``, with so many ``calls`` under way."""
        now = self._clock()
        if now - seconds < self._since:
            return  # it was begun under another limit, and would have this one judged by that
        if not self._count:  # what was not asked says nothing of how long it would have taken
            self._began = now
        if self._count < _MOST:
            self._samples.setdefault(backend, []).append(seconds)
        self._count += 1
        self._peak = max(self._peak, calls)
        took_s = now - self._began
        if (took_s >= _LEAST_S and self._count >= _LEAST) or (
            took_s >= _MOST_S and self._count >= _FEW
        ):
            self._conclude()

    def _conclude(self) -> None:
        """Learn from what came in this window, and begin another."""
        pressed = 2 * self._peak >= self._limit
        ratio = self._ratio(pressed=pressed)
        self._samples, self._count, self._peak = {}, 0, 0
        if ratio > _TOLERANCE:
            self._eager = False
        elif not pressed:
            return  # nobody wants more, so nobody can tell whether it would do
        before = self.limit
        if self._eager:
            self._limit = self._bounded(self._limit * _EAGER)
        else:
            kept = max(_HARDEST, min(1.0, _TOLERANCE / ratio))
            self._limit = self._bounded(self._limit * kept + sqrt(self._limit) / 2)
        if self.limit != before:
            self._since = self._clock()

    def _ratio(self, *, pressed: bool) -> float:
        """How much longer than as a rule the backends took, in the mean of all calls."""
        lowest = self.limit <= self._low
        summed = 0.0
        counted = 0
        for backend, samples in self._samples.items():
            seen = max(median(samples), 1e-6)
            base = self._bases.get(backend, seen)
            if lowest and seen > _TOLERANCE * base:
                base = seen
                self._eager = True  # what was learned is void
            elif seen < base or not pressed:
                base += (seen - base) * _LEARNS
            if backend in self._bases or len(self._bases) < _BACKENDS:
                self._bases[backend] = base
            summed += seen / base * len(samples)
            counted += len(samples)
        return summed / counted

    def _bounded(self, limit: float) -> float:
        return min(float(self._high), max(float(self._low), limit))
