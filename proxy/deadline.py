"""A moment by which something must have happened, cheap to put off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf


class Deadline:
    """Calls ``missed`` once the time is up.

    Putting it off, or lifting it, touches no timer: the one that is set goes off early, finds that
    there is time left, and is set again. A connection under load sets a timer once per idle time.
    """

    __slots__ = ("_at", "_loop", "_missed", "_set_for", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, missed: Callable[[], None]) -> None:
        self._loop = loop
        self._missed = missed
        self._at = inf  # on the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._set_for = inf  # not asked of the timer: what is due at once has no time with uvloop

    def expect(self, within_s: float) -> None:
        """Let the time be up in that many seconds, whatever it was before."""
        self._at = when = self._loop.time() + within_s
        timer = self._timer
        if timer is not None and self._set_for <= when:
            return
        if timer is not None:
            timer.cancel()
        self._set(when)

    def lift(self) -> None:
        """Let there be no deadline for now."""
        self._at = inf

    def end(self) -> None:
        """Never call ``missed`` again, and let go of it."""
        self.lift()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, when: float) -> None:
        self._set_for = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._at == inf:
            return
        if self._loop.time() < self._at:
            self._set(self._at)
        else:
            self._missed()
