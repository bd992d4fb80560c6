"""The breaker: stops asking a server that does not answer, and lets one in a while look again.

Closed, every call may be made, and its outcome is told here before anybody swallows it. Open, none
may; now and then somebody is told that a probe is due, makes one, and says how it went. Only such a
probe closes it: a straggler that was sent before the trouble began proves nothing about now.

Pure but for its counts: clock and dice are passed in, and nobody waits here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_CONSECUTIVE = 5  # failures with no success between them
_SHARE = 0.5  # of the calls in the window
_LEAST = 20  # calls in the window before their share says anything
_WINDOW_S = 10.0


class Breaker:
    """Open after 5 failures in a row, or when half of at least 20 calls in 10 seconds failed.

    Args:
        clock: seconds on a monotonic clock.
        dice: a number from 0 up to 1, each time another. It spreads the probes of many replicas.
        report: told once of each change: whether the breaker is closed now, and why.
        consecutive: how many failures in a row open it.
        probe_s: seconds between probes, on average; each is between 3/4 and 5/4 of it.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        dice: Callable[[], float],
        report: Callable[[bool, str], None],
        consecutive: int = _CONSECUTIVE,
        probe_s: float = 1.0,
    ) -> None:
        self._clock = clock
        self._dice = dice
        self._report = report
        self._consecutive = consecutive
        self._probe_s = probe_s
        self._closed = True
        self._probe_at = 0.0
        self._in_a_row = 0
        self._window: deque[_Second] = deque()

    @property
    def closed(self) -> bool:
        """Whether calls may be made."""
        return self._closed

    @property
    def next_probe_s(self) -> float:
        """Seconds until a probe is due, while it is open; not above 0 when one is."""
        return self._probe_at - self._clock()

    def probe_due(self) -> bool:
        """Whether the caller shall probe now; the next one is told so only a while later."""
        now = self._clock()
        if self._closed or now < self._probe_at:
            return False
        self._set_next_probe(now)
        return True

    def succeeded(self) -> None:
        """A call that was let through got an answer."""
        if self._closed:
            self._in_a_row = 0
            self._this_second().calls += 1

    def failed(self, why: str) -> None:
        """A call that was let through got none."""
        if not self._closed:
            return
        self._in_a_row += 1
        second = self._this_second()
        second.calls += 1
        second.failures += 1
        if self._in_a_row >= self._consecutive or self._mostly_failing():
            self.trip(why)

    def trip(self, why: str) -> None:
        """Open, whatever was counted; a probe that failed says so too."""
        if self._closed:
            self._closed = False
            self._set_next_probe(self._clock())
            self._report(False, why)  # noqa: FBT003 - the change itself, as the callback has it

    def recovered(self) -> None:
        """A probe got its answer: close, and forget what was counted."""
        if not self._closed:
            self._closed = True
            self._in_a_row = 0
            self._window.clear()
            self._report(True, "a probe was answered")  # noqa: FBT003 - as above

    def _set_next_probe(self, now: float) -> None:
        self._probe_at = now + self._probe_s * (0.75 + 0.5 * self._dice())

    def _this_second(self) -> _Second:
        """The count to add to; what has left the window is gone."""
        now = self._clock()
        window = self._window
        if not window or now - window[-1].since >= 1.0:
            while window and now - window[0].since >= _WINDOW_S:
                window.popleft()
            window.append(_Second(now))
        return window[-1]

    def _mostly_failing(self) -> bool:
        calls = sum(second.calls for second in self._window)
        failures = sum(second.failures for second in self._window)
        return calls >= _LEAST and failures >= _SHARE * calls


class _Second:
    """What happened within about one second of the window."""

    __slots__ = ("calls", "failures", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.calls = 0
        self.failures = 0
