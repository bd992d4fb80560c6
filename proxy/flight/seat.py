"""A flight and its seats: one append-only log, an index for each seat, what comes handed to all."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.flight.errand import Boarded, Boarding, Errand, Handed, Lagged, Landed, Released
from proxy.flight.gate import Gate, Greeting
from proxy.model.decision import Why
from proxy.model.errors import BrokenReply, UpstreamError
from proxy.model.outcome import Outcome
from proxy.model.pieces import Take
from proxy.model.query import Form

if TYPE_CHECKING:
    from proxy.flight.board import Flights

# Bytes joined into one piece. What is joined is a copy, which a slow reader holds while the log it
# is made from is already there for all.
_GATHERED: Final = 65_536


Suits = Callable[[Form], bool]
"""Whether a caller can use an answer that comes in a form."""


class Flight:
    """One upstream call in the air. Owned by ``Flights``; passengers see it through a ``Seat``."""

    __slots__ = (
        "asking", "background", "began", "boarding", "drained", "dropped", "errand", "error",
        "fresh", "gate", "head_at", "kept", "landed", "listening", "log", "progress", "pulse",
        "pump", "seats", "shared", "size", "storable", "timer", "window",
    )  # fmt: skip

    def __init__(
        self,
        errand: Errand,
        now: float,
        *,
        shared: bool,
        background: bool = False,
        fresh: bool = False,
    ) -> None:
        self.errand = errand
        self.shared = shared  # on the board, where others may join
        self.background = background  # a refresh: it needs no seats
        self.fresh = fresh  # only an answer that has not begun to come will do
        self.asking = False  # the last look is over, the upstream is being asked
        self.boarding: Boarding | None = None
        self.storable = False
        self.kept = False  # near; it is to be handed on
        self.landed: Landed | None = None
        self.error: UpstreamError | None = None
        self.log: list[bytes] = []
        self.dropped = 0  # pieces that are no longer in the log
        self.size = 0  # bytes in the log
        self.window = False  # the log no longer keeps everything
        self.seats: set[Seat] = set()
        self.pulse = asyncio.Event()  # something came
        self.listening: dict[Callable[[], None], None] = {}  # who hears of it without being woken
        self.gate: Gate | None = None  # where followers wait for what comes to begin
        self.drained: asyncio.Event | None = None  # some seat read on, or left; a window has one
        self.progress = now
        self.head_at = now  # when the head came; of use once it has
        self.began = now  # when the upstream was asked, here or by another replica
        self.pump: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def over(self) -> bool:
        return self.landed is not None or self.error is not None

    @property
    def offered(self) -> Form:
        """The form it comes in, or the one that was asked for while nobody knows."""
        known = self.boarding.form if isinstance(self.boarding, Boarded) else None
        return known or self.errand.asked

    def takes(self, suits: Suits, *, fresh: bool) -> bool:
        """Whether somebody may join it yet who is suited by some forms.

        Args:
            fresh: only an answer that has not begun to come will do.
        """
        if self.window or (fresh and not (self.asking and self.boarding is None)):
            return False
        return suits(self.offered)

    def surplus(self, window_bytes: int) -> int:
        """How many pieces have to go to fit the window, of those that some seat has read.

        But none while some have yet to be woken, nor of the half window behind the seat that is
        furthest: who lags so little is not slow.
        """
        if self.gate is not None:
            return 0
        log, surplus, read = self.log, self.size - window_bytes, len(self.log)
        if self.seats:
            read = max(seat.read for seat in self.seats) - self.dropped
            behind = self.size - sum(map(len, log[read:]))
            surplus = min(surplus, behind - window_bytes // 2)
        number = 0
        while surplus > 0 and number < read:
            surplus -= len(log[number])
            number += 1
        return number

    def gathered(self, start: int) -> tuple[bytes, int]:
        """Some pieces from ``start`` in the log on, at least one, as one; and how many they are."""
        log, end = self.log, start + 1
        first = log[start]
        if end == len(log):  # who keeps up: the very bytes, which are all readers'
            return first, 1
        size = len(first)
        while end < len(log) and size + len(log[end]) <= _GATHERED:
            size += len(log[end])
            end += 1
        return (first, 1) if end == start + 1 else (b"".join(log[start:end]), end - start)

    def forget(self, number: int) -> int:
        """Drop so many pieces from the log; the bytes that this frees."""
        freed = sum(map(len, self.log[:number]))
        del self.log[:number]
        self.dropped += number
        self.size -= freed
        return freed

    def publish(self) -> None:
        """Hand on what came to all who listen, and wake all who wait, in the loop's next round."""
        self.pulse.set()
        self.pulse.clear()
        if self.listening:
            for listener in tuple(self.listening):
                listener()
        if self.gate is not None:
            self.gate.look()


class Foretold(NamedTuple):
    """What boarding would come to."""

    why: Why  # of the seat; CROWDED: there is none
    joined: bool = False  # an answer that has begun already


class Seat:
    """One passenger's place on a flight. ``leave`` must be called at the end, however it ends."""

    __slots__ = ("_flight", "_flights", "_index", "_left", "first", "joined", "why")

    def __init__(self, flights: Flights, flight: Flight, *, first: bool, why: Why) -> None:
        self._flights = flights
        self._flight = flight
        self._index = 0  # pieces read, counted from the first that ever came
        self._left = False
        self.first = first
        self.why = why  # JOINED, HIT_FOR_MISS, or UNSEEN for whoever sent a flight that asks
        self.joined = not first and isinstance(flight.boarding, Boarded)  # after the head

    @property
    def errand(self) -> Errand:
        """What the flight was sent to do."""
        return self._flight.errand

    @property
    def leader(self) -> str:
        """The trace context of who sent the flight; "" if he sits here, or nobody traces."""
        if self.first:
            return ""
        return next((told for _name, told in self.errand.request.trace), "")

    @property
    def asked(self) -> Form:
        """The form that was asked of the upstream."""
        return self._flight.errand.asked

    async def boarded(self, greeting: Greeting | None = None) -> Boarding:
        """Wait until it is known what comes, a follower at most ``wait_timeout`` seconds.

        Args:
            greeting: what a follower who waits is told, as soon as that is here; a document may be
                waited for with it. The seat goes on behind what was told.

        Raises:
            UpstreamError: the call failed before its head came.
        """
        flight = self._flight
        if self.first:
            while flight.boarding is None and flight.error is None:
                await flight.pulse.wait()
        elif flight.boarding is None and flight.error is None and flight.shared:
            if flight.gate is None:
                flight.gate = Gate(flight, self._flights.report)
            if not await flight.gate.wait(self, greeting, self._flights.limits.wait_timeout):
                self._flights.counts.wait_timeouts += 1
                return Released(Why.WAIT_TIMEOUT)
        boarding = flight.boarding
        if boarding is None and flight.error is None:
            return Released(Why.GIVE_UP)
        if boarding is None:
            raise _again(flight.error)
        if isinstance(boarding, Handed) and not self.first:
            return Released(Why.GIVE_UP)
        return boarding

    async def landing(self, within: float | None = None) -> Landed | None:
        """Wait for the whole body; None if it is too long to be kept, or not here in time.

        Args:
            within: seconds; None waits as long as the flight makes progress.

        Raises:
            UpstreamError: the body broke off.
        """
        flight = self._flight
        if not flight.over and not flight.window:
            try:
                async with asyncio.timeout(within):
                    while not flight.over and not flight.window:
                        await flight.pulse.wait()
            except TimeoutError:
                return None
        if flight.error is not None:
            raise _again(flight.error)
        return None if flight.window else flight.landed

    def pieces(self) -> AsyncIterator[bytes]:
        """The body from its first byte, live; small pieces that have gathered come as one.

        It can be poured.

        Raises:
            UpstreamError: the body broke off, or this reader fell too far behind.
        """
        return _Pieces(self)

    async def more(self) -> bytes | None:
        """The next of ``pieces``, or None at the end; may be cancelled and called again."""
        while (piece := self._next()) is None and not self._flight.over:
            await self._flight.pulse.wait()
        return piece

    async def pour(self, take: Take) -> bool:
        """As ``Pouring.pour``, of ``pieces``."""
        more = self._hand(take)
        return await self._listen(take) if more is None else more

    async def _listen(self, take: Take) -> bool:
        """Hand on what comes when it comes, until ``take`` takes no more, or the end."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def hear() -> None:
            if answer.done():
                return
            try:
                more = self._hand(take)
            except Exception as fault:  # noqa: BLE001 - this passenger's, who hears it in a moment
                answer.set_exception(fault)
            else:
                if more is not None:
                    answer.set_result(more)

        self._flight.listening[hear] = None
        try:
            return await answer
        finally:
            del self._flight.listening[hear]
            # What it raises goes through here: they would hold on to each other.
            answer = None  # type: ignore[assignment] # ``hear`` is called no more

    def _hand(self, take: Take) -> bool | None:
        """Hand on what has come; whether there may be more, or None if that has yet to come."""
        while (piece := self._next()) is not None:
            if not take(piece):
                return True
        return False if self._flight.over else None

    def _next(self) -> bytes | None:
        """What has come and was not read, or some of it; None if that is nothing."""
        flight = self._flight
        start = self._index - flight.dropped
        if start < 0 or self._left:
            raise Lagged("too slow for a flight that others are on")
        if start < len(flight.log):
            piece, number = flight.gathered(start)
            self._index += number
            if flight.drained is not None:
                flight.drained.set()
            return piece
        if flight.error is not None:
            raise _again(flight.error)
        return None

    def has_read(self, pieces: int) -> None:
        """So many pieces were told this passenger by another; it goes on behind them."""
        self._index = pieces
        if self._flight.drained is not None:
            self._flight.drained.set()

    @property
    def landed(self) -> Landed | None:
        """The whole body, once it is here."""
        return self._flight.landed

    def outcome(self, told: Outcome) -> Outcome:
        """``told`` with what became of the answer: whether it was stored, and if not why."""
        landed = self._flight.landed
        return told if landed is None else landed.told(told)

    def leave(self) -> None:
        """Give the seat up. Idempotent."""
        if not self._left:
            self._left = True
            self._flights.left(self._flight, self)

    @property
    def read(self) -> int:
        """Pieces read, counted from the first that ever came."""
        return self._index

    @property
    def asked_at(self) -> float:
        """When the upstream was asked, in seconds on the flights' clock."""
        return self._flight.began

    @property
    def head_at(self) -> float:
        """When the head came that is here by now, in seconds on the flights' clock."""
        return self._flight.head_at

    @property
    def given_up(self) -> Why:
        """Why the answer was given up, as far as that is known."""
        handed = self._flight.boarding
        return handed.why if isinstance(handed, Handed) else Why.GIVE_UP


class _Pieces:
    """The body as a seat hears it."""

    __slots__ = ("_seat", "pour")

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self.pour = seat.pour

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._seat.more()
        if piece is None:
            raise StopAsyncIteration
        return piece


def _again(error: UpstreamError | None) -> UpstreamError:
    """A fresh copy to raise: one error told to many must not gather all their tracebacks."""
    return BrokenReply("The call ended.") if error is None else copy.copy(error)
