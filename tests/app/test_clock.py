"""The proxy's clock."""

from __future__ import annotations

import sys
import time

import pytest

from proxy.app.clock import seconds


def test_it_never_goes_back() -> None:
    readings = [seconds() for _ in range(1000)]
    assert readings == sorted(readings)


@pytest.mark.skipif(sys.platform != "linux", reason="the clock that counts sleep is Linux's")
def test_it_counts_the_time_that_the_machine_slept() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= seconds() <= time.clock_gettime(time.CLOCK_BOOTTIME)
