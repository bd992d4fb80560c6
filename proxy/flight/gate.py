"""The gate: followers wait here until a flight begins, and are told one right after the other.

To wake a task and have it work out what to send takes ten times as long as sending it, and where a
thousand wait the last would hear of the answer long after the first. So whoever can be told without
being woken brings a ``Greeting``: what it says first is written once for all who are told the same,
and goes out to all of them before any of them is woken.

A document is greeted with when it is whole, or when it has taken so long that it is better heard
piece by piece. There is one deadline for all, not a timer for each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from proxy.deadline import Deadline
from proxy.flight.errand import Boarded, Landed
from proxy.model.outlet import Draft

if TYPE_CHECKING:
    from proxy.flight.seat import Flight, Seat

# In one turn of the loop, some 4 ms each: what else goes on in this process goes on in between.
_TOLD_AT_ONCE: Final = 256
_WOKEN_AT_ONCE: Final = 64
_SLACK_S: Final = 0.01  # by which somebody's time may be up later than told, if many wait


class Greeting(Protocol):
    """What one who waits is told first, and the way it goes."""

    @property
    def kind(self) -> Hashable:
        """Equal for those on one flight who are told the same."""
        ...

    @property
    def settle_s(self) -> float:
        """For how many seconds a document is waited for, to be told whole."""
        ...

    def suits(self, boarded: Boarded) -> bool:
        """Whether all of this kind can be told what comes; if not they are woken, no later."""
        ...

    def draft(self, boarded: Boarded, landed: Landed | None, body: bytes) -> Draft | None:
        """What all of this kind are told; None: they are to be woken instead.

        Args:
            landed: the whole body, if it is a document that is here.
            body: what is here of it otherwise.
        """
        ...

    def begin(self, draft: Draft) -> bool:
        """Tell it; False if nothing was told. Must not wait, and raises nothing."""
        ...


class _Stage(Enum):
    CLOSED = "closed"  # nobody knows what comes
    BEGINNING = "beginning"  # the head is here
    SETTLING = "settling"  # of a document, which is waited for
    OPEN = "open"  # all are told, and woken


class _Cohort:
    """Those who are told the same."""

    __slots__ = ("draft", "suits", "turn")

    def __init__(self) -> None:
        self.suits: bool | None = None  # whether they can be told at all; None: nobody has looked
        self.draft: Draft | None = None
        self.turn = 0  # of the loop, in which that was made


class _Waiting:
    """One who waits."""

    __slots__ = ("cohort", "greeting", "seat", "until", "woken")

    def __init__(
        self,
        seat: Seat,
        greeting: Greeting | None,
        cohort: _Cohort,
        until: float,
        woken: asyncio.Future[bool],
    ) -> None:
        self.seat = seat
        self.greeting = greeting  # None: there is nothing to tell
        self.cohort = cohort
        self.until = until  # on the loop's clock
        self.woken = woken  # whether that is in time


class Gate:
    """The gate of ``flight``.

    Args:
        report: told of an exception that no rule foresees; a bug.
    """

    __slots__ = (
        "_cohorts", "_deadline", "_due", "_flight", "_loop", "_report", "_stage", "_turn",
        "_untold", "_waiting",
    )  # fmt: skip

    def __init__(self, flight: Flight, report: Callable[[BaseException], None]) -> None:
        self._flight = flight
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._stage = _Stage.CLOSED
        self._waiting: dict[Seat, _Waiting] = {}
        self._untold: deque[_Waiting] = deque()  # of these, once the gate is open
        self._cohorts: dict[Hashable, _Cohort] = {}
        self._turn = 0  # counts those in which somebody was told
        self._deadline = Deadline(self._loop, self._too_late)
        self._due = inf  # when it is, on the loop's clock

    async def wait(self, seat: Seat, greeting: Greeting | None, within_s: float) -> bool:
        """Return when it is known what comes, or that nothing does; False: time is up.

        Args:
            greeting: tells who waits what comes, before this returns.
            within_s: for how long to wait until something is known.
        """
        until = self._loop.time() + within_s
        kind = None if greeting is None else greeting.kind
        cohort = self._cohorts.setdefault(kind, _Cohort())
        woken: asyncio.Future[bool] = self._loop.create_future()
        self._waiting[seat] = _Waiting(seat, greeting, cohort, until, woken)
        if until < self._due:
            self._expect(until)
        try:
            return await woken
        finally:
            del self._waiting[seat]
            if not self._waiting:
                self._deadline.end()
                flight = self._flight
                flight.gate = None  # they lead to each other
                if flight.drained is not None:
                    flight.drained.set()  # nothing was dropped till now (``Flight.surplus``)

    def look(self) -> None:
        """Something came, or nothing will: see to it that all are told who are to be told."""
        flight, stage = self._flight, self._stage
        boarded = flight.boarding
        if stage is _Stage.SETTLING and (flight.over or flight.window):
            self._stage = _Stage.OPEN
            self._deadline.lift()
            self._loop.call_soon(self._open)  # after who asked first, who is woken by now
        elif stage is not _Stage.CLOSED:
            return
        elif isinstance(boarded, Boarded):
            self._stage = _Stage.BEGINNING
            self._deadline.lift()
            # As above; and what has come along with the head goes out with it.
            self._loop.call_soon(self._begin, boarded)
        elif boarded is not None or flight.error is not None or not flight.shared:
            self._stage = _Stage.OPEN
            self._deadline.lift()
            self._wake([*self._waiting.values()])

    # -- telling ----------------------------------------------------------------------------------

    def _begin(self, boarded: Boarded) -> None:
        """Tell what comes, or wait until it is whole."""
        flight, form, waiting = self._flight, boarded.form, self._waiting.values()
        try:
            self._sort(boarded)
        except Exception as bug:  # noqa: BLE001 - a call of the loop: all must be woken, whatever it is
            self._report(bug)
            self._wake([*waiting])
            return
        settling = [each.greeting.settle_s for each in waiting if each.greeting is not None]
        if not settling or flight.over or flight.window or (form is not None and form.stream):
            self._open()
            return
        self._stage = _Stage.SETTLING
        self._expect(self._loop.time() + max(settling))
        self._wake([each for each in waiting if each.greeting is None])

    def _sort(self, boarded: Boarded) -> None:
        """Leave a greeting to none but those who can be told by it."""
        for each in self._waiting.values():
            if each.greeting is not None:
                if each.cohort.suits is None:
                    each.cohort.suits = each.greeting.suits(boarded)
                if not each.cohort.suits:
                    each.greeting = None

    def _open(self) -> None:
        self._stage = _Stage.OPEN
        self._untold = deque(self._waiting.values())
        self._tell()

    def _tell(self) -> None:
        """Tell some; then, in the loop's next turns, the others, and wake them."""
        try:
            self._tell_some()
        except Exception as bug:  # noqa: BLE001 - as above
            self._report(bug)
            self._untold.clear()
        if self._untold:
            self._loop.call_soon(self._tell)
        else:
            self._wake([*self._waiting.values()])

    def _tell_some(self) -> None:
        flight, untold = self._flight, self._untold
        boarded = flight.boarding
        if not isinstance(boarded, Boarded) or flight.error is not None:
            untold.clear()  # they hear of it when they are woken
            return
        form = boarded.form
        landed = None if form is not None and form.stream else flight.landed
        body, read = flight.gathered(0) if flight.log else (b"", 0)
        self._turn = turn = self._turn + 1
        for _ in range(min(_TOLD_AT_ONCE, len(untold))):
            each = untold.popleft()
            greeting, cohort = each.greeting, each.cohort
            if greeting is None or each.woken.done():
                continue
            if cohort.turn != turn:
                cohort.turn = turn
                cohort.draft = greeting.draft(boarded, landed, body)
            if cohort.draft is not None and greeting.begin(cohort.draft):
                each.seat.has_read(read)

    # -- waking -----------------------------------------------------------------------------------

    def _wake(self, those: list[_Waiting]) -> None:
        """Wake ``those``, many in several turns of the loop."""
        for each in those[:_WOKEN_AT_ONCE]:
            if not each.woken.done():
                each.woken.set_result(True)
        if len(those) > _WOKEN_AT_ONCE:
            self._loop.call_soon(self._wake, those[_WOKEN_AT_ONCE:])

    # -- time -------------------------------------------------------------------------------------

    def _expect(self, when: float) -> None:
        self._due = when
        self._deadline.expect(when - self._loop.time())

    def _too_late(self) -> None:
        if self._stage is _Stage.SETTLING:
            self._open()
            return
        now, earliest = self._loop.time(), inf
        for each in self._waiting.values():
            if each.until > now:
                earliest = min(earliest, each.until)
            elif not each.woken.done():
                each.woken.set_result(False)
        self._due = inf
        if earliest < inf:
            self._expect(max(earliest, now + _SLACK_S))
