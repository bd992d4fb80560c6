"""The proxy's clock: seconds that only grow, and that pass while the machine sleeps, too.

``time.monotonic`` stands still meanwhile on Linux: entries in memory would outlive their time by as
long as a laptop was shut.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

seconds: Callable[[], float] = time.monotonic
"""Seconds since the machine was started, or since some other moment that stays the same."""

if hasattr(time, "CLOCK_BOOTTIME"):  # Linux only
    seconds = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
