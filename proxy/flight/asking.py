"""Asking: the call of a flight, and once more where nobody can have heard it."""

from __future__ import annotations

from proxy.flight.errand import Counts, Errand
from proxy.model.errors import ConnectFailed
from proxy.model.message import Arrival


async def ask(errand: Errand, elections: int, counts: Counts) -> Arrival:
    """Ask; where no connection could be made, nothing was sent and asking again is safe.

    Raises:
        UpstreamError: in the end.
    """
    for _ in range(elections):
        try:
            return await errand.ask()
        except ConnectFailed:
            counts.elected += 1
    return await errand.ask()
