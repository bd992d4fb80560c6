"""Sees to it that the guard of a file knows what the file holds, a slice at a time.

The file is gone through in the lane that writes, so that nothing is written in the middle of a
slice, and between slices that lane does what else it is asked. Where others write all the time,
going through the file is in vain: so there is a rest after each time, long beside what it took.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from proxy.tiers.disk_file import DiskFile
from proxy.tiers.guard import Guard

_REST_S: Final = 1.0  # at least
_REST_SHARE: Final = 100.0  # times as long as it took


class Refill:
    """Asks the guard, and has it filled when it wants that. On the loop.

    Args:
        file: what it guards.
        guard: of that file.
        submit: has a job done by the thread that writes the file.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        file: DiskFile,
        guard: Guard,
        submit: Callable[[Callable[[], bool]], asyncio.Future[bool]],
        clock: Callable[[], float],
    ) -> None:
        self._file = file
        self._guard = guard
        self._submit = submit
        self._clock = clock
        self._began: float | None = None
        self._rested_at = -float("inf")
        self._stopped = False

    def rules_out(self, digest: bytes) -> bool:
        """Whether ``digest`` is surely not in the file. Waits for nothing, raises nothing."""
        passed = self._guard.passed
        if self._guard.rules_out(digest):
            return True
        if self._guard.passed == passed:  # it was silent; if it is full, the next write sees that
            self.look()
        return False

    def look(self) -> None:
        """Have the guard filled, if it wants that and the last time is long enough ago."""
        if self._began is None and self._guard.wanting and self._clock() >= self._rested_at:
            self._began = self._clock()
            self._do(self._file.begin_survey)

    def stop(self) -> None:
        """Have no more slices done."""
        self._stopped = True

    def _do(self, job: Callable[[], bool]) -> None:
        self._submit(job).add_done_callback(self._on_done)

    def _on_done(self, slice_: asyncio.Future[bool]) -> None:
        goes_on = slice_.exception() is None and slice_.result()
        if goes_on and not self._stopped:
            self._do(self._file.survey)
        elif self._began is not None:
            now = self._clock()
            self._rested_at = now + max(_REST_S, _REST_SHARE * (now - self._began))
            self._began = None
