"""From settings to bounds: of clients, of flights, and of calls."""

from __future__ import annotations

from dataclasses import replace

from proxy.app.clock import seconds
from proxy.app.machine import Machine
from proxy.config.settings import Settings
from proxy.downstream.limits import Limits as ClientLimits
from proxy.flight import Limits as FlightLimits
from proxy.overload import Gradient
from proxy.overload import Limits as CallLimits


def express_bytes(settings: Settings, budget: int) -> int:
    """What the express lane may take of the ``budget`` of the memory tier."""
    # A span is to be made of each request.
    return 0 if settings.tracing.enabled else int(budget * settings.l1_memory.express_share)


def flight_limits(settings: Settings) -> FlightLimits:
    """The bounds of flights."""
    flights = settings.flights
    return FlightLimits(
        wait_timeout=flights.wait_timeout_s,
        stall_timeout=flights.stall_timeout_s,
        flights=flights.max_flights,
        followers=flights.max_followers,
        flight_bytes=flights.max_flight_bytes,
        total_bytes=flights.max_total_bytes,
        window_bytes=flights.lag_limit_bytes,
        orphan_grace=flights.orphan_grace_s,
        orphan_budget=flights.orphan_budget_s,
        orphans=flights.max_orphans,
        hit_for_miss_ttl=flights.hit_for_miss_s,
        hit_for_miss_keys=flights.hit_for_miss_max,
        elections=flights.elections,
        refreshes=flights.max_refreshes,
    )


def spared(limits: FlightLimits, most: int) -> FlightLimits:
    """``limits`` while memory is scarce: what is longer than ``most`` bytes is only passed on."""
    return replace(
        limits,
        flight_bytes=min(limits.flight_bytes, most),
        window_bytes=min(limits.window_bytes, most),
        refreshes=0,
        orphans=0,
    )


def client_limits(settings: Settings, machine: Machine) -> ClientLimits:
    """The bounds of clients."""
    limits = settings.downstream.limits
    return ClientLimits(
        connections=machine.clients(settings),
        line_bytes=limits.max_header_line_bytes,
        field_bytes=limits.max_header_field_bytes,
        fields=limits.max_headers,
        header_deadline_s=limits.header_deadline_s,
        idle_s=limits.idle_keepalive_s,
        body_cap=limits.max_body_bytes,
        body_deadline_s=limits.body_deadline_s,
        min_rate=limits.body_min_rate_bytes,
        stall_s=limits.write_stall_s,
        half_close_grace_s=limits.half_close_grace_s,
    )


def call_limits(settings: Settings) -> CallLimits:
    """The bounds of calls."""
    chosen = settings.overload
    return CallLimits(chosen.max_calls, chosen.queued, chosen.queue_s, chosen.scope_share)


def adaptive(settings: Settings, before: Gradient | None) -> Gradient | None:
    """What finds out how many calls the backends bear, where wanted; the one ``before`` goes on."""
    chosen = settings.overload
    if not chosen.adaptive:
        return None
    if before is None:
        return Gradient(chosen.min_calls, chosen.max_calls, clock=seconds)
    before.bound(chosen.min_calls, chosen.max_calls)
    return before
