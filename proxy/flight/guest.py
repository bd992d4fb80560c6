"""A seat for another replica."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from proxy.flight.errand import Boarded, Errand, Found, Handed, Released
from proxy.flight.seat import Seat
from proxy.model.meeting import Begun, GivenUp, Stored


class SeatedGuest:
    """A ``proxy.model.meeting.Guest`` on a seat like any other.

    Args:
        seat: a follower's.
        errand: what its flight was sent to do.
        clock: the flights'.
    """

    def __init__(self, seat: Seat, errand: Errand, clock: Callable[[], float]) -> None:
        self._seat = seat
        self._errand = errand
        self._clock = clock

    async def begun(self) -> Begun | Stored | GivenUp:
        match await self._seat.boarded():
            case Boarded(head, _, length):
                asked_s = self._clock() - self._seat.asked_at
                return Begun(self._errand.telling(head), length, asked_s)
            case Found():
                return Stored()
            case Released() | Handed():
                return GivenUp(self._seat.given_up)
            case other:
                assert_never(other)

    async def more(self) -> bytes | None:
        return await self._seat.more()

    def leave(self) -> None:
        self._seat.leave()
