"""Generations that no server asks, in a house without tiers."""

from __future__ import annotations

from typing import Any

from proxy.app.generation import Generation
from proxy.app.house import House
from proxy.app.observing import Observing
from proxy.app.tracing import Traces
from proxy.config.load import Loaded
from proxy.config.settings import Settings
from proxy.flight import Flights, Limits
from proxy.ledger import Ledger
from proxy.overload import Limiter
from proxy.overload import Limits as CallLimits
from proxy.tiers.browsing import Browsing
from proxy.tiers.ladder import Ladder

UPSTREAM = {"url": "http://127.0.0.1:9"}


def house() -> House:
    """What they have in common."""
    board = Flights(Limits(), clock=lambda: 0.0, report=print)
    ladder = Ladder([], Ledger(), lambda _tier, _error: None)
    browsing = Browsing([], ladder, lambda: 0.0)
    observing = Observing(Settings(), version="0", replica="here")
    limiter = Limiter(CallLimits(), clock=lambda: 0.0)
    traces = Traces(Settings())
    return House(b"s" * 32, ladder, browsing, board, board, None, observing, traces, limiter)


def generation(
    loaded: Loaded | None = None,
    shared: House | None = None,
    before: Generation | None = None,
    **settings: Any,
) -> Generation:
    """One of these settings, and the next after ``before``."""
    if loaded is None:
        loaded = Loaded(Settings.model_validate({"upstreams": [UPSTREAM]} | settings), {})
    number = 1 if before is None else before.number + 1
    return Generation(number, loaded, shared or house(), before, 0.0)
