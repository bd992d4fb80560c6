"""Flights that nobody listens to any more, and how long each may go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.flight.errand import Counts, Limits
from proxy.flight.seat import Flight


class Orphans:
    """All orphans.

    Args:
        call_off: ends a flight.
    """

    def __init__(self, limits: Limits, counts: Counts, call_off: Callable[[Flight], None]) -> None:
        self.limits = limits
        self._counts = counts
        self._call_off = call_off
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def add(self, flight: Flight) -> None:
        """Nobody listens to ``flight``: it is called off now or later, unless it is adopted."""
        self.adopt(flight)
        if flight.boarding is None:
            wait_s = self.limits.orphan_grace
        elif flight.storable and self._number < self.limits.orphans:
            wait_s = self.limits.orphan_budget
            self._counts.kept_orphans += 1
        else:
            self.end(flight)
            return
        self._number += 1
        flight.timer = asyncio.get_running_loop().call_later(wait_s, self.end, flight)

    def adopt(self, flight: Flight) -> None:
        """Somebody listens, or it is over: its clock stops."""
        if flight.timer is not None:
            flight.timer.cancel()
            flight.timer = None
            self._number -= 1

    def end(self, flight: Flight) -> None:
        """Call ``flight`` off."""
        self._counts.cancelled_orphans += 1
        self.adopt(flight)
        self._call_off(flight)
