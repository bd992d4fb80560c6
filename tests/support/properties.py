"""Properties without a stopwatch: how fast a machine is says nothing about what holds."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
