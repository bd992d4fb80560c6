"""What lives as long as the process, and what every generation uses of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.app.machine import Machine
from proxy.app.observing import Observing
from proxy.app.tracing import Traces
from proxy.flight import Flights
from proxy.overload import Limiter
from proxy.resources.shelf import Written
from proxy.tiers.browsing import Browsing
from proxy.tiers.ladder import Ladder
from proxy.versions import Versions

if TYPE_CHECKING:
    from proxy.app.semantic import Semantic  # loaded with what it needs, or not at all


@dataclass(frozen=True, slots=True)
class House:
    """What generations have in common.

    Args:
        secret: keys the hashes that scopes and cache keys are.
        browsing: the tiers, as the ladder has them.
        flights: of questions.
        fetches: the flights of everything else.
        semantic: finds answers in other words; None: nobody does.
        observing: counts and tells.
        limiter: before all calls of the backends.
        traces: puts spans around requests, where that is wanted.
        machine: what this process may take of.
        versions: of knowledge bases.
        written: the URIs that were written to lately.
    """

    secret: bytes
    ladder: Ladder
    browsing: Browsing
    flights: Flights
    fetches: Flights
    semantic: Semantic | None
    observing: Observing
    traces: Traces
    limiter: Limiter
    machine: Machine = Machine()  # noqa: RUF009 - frozen
    versions: Versions = field(default_factory=Versions)
    written: Written = field(default_factory=Written)
