"""Indexes in engines elsewhere, and what they reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypedDict

from proxy.semantic.index.engine import Engine
from support.cranked import Clock

PATIENT_S: Final = 20.0  # a budget that no machine is too slow for


class Parts(TypedDict):
    """What every such index is made of."""

    wall: Callable[[], float]
    engine: Engine


class Watch:
    """A clock turned by hand, and reports of changes."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.reports: list[tuple[bool, str]] = []

    def parts(self, wall: Callable[[], float], operation_s: float = PATIENT_S) -> Parts:
        """What to make an index of, which then tells its changes here."""
        return Parts(wall=wall, engine=self.engine(operation_s))

    def engine(self, operation_s: float = PATIENT_S, connections: int = 8) -> Engine:
        """An engine that tells its changes here."""
        return Engine(
            "tested",
            clock=self.clock,
            dice=lambda: 0.5,
            report=lambda closed, why: self.reports.append((closed, why)),
            operation_s=operation_s,
            setup_s=PATIENT_S,
            connections=connections,
        )
