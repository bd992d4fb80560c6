"""The proxy's clock: seconds that only grow, and that pass while the machine sleeps, too.

``time.monotonic`` stands still meanwhile on Linux: entries in memory would outlive their time by as
long as a laptop was shut.
"""

from __future__ import annotations

import time


def seconds() -> float:
    """Seconds since the machine was started, or since some other moment that stays the same."""
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()


_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)  # Linux only
