"""The limiter that every call of a backend goes through; see the rules in ``proxy.overload``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import Final, Protocol

from proxy.model.errors import Overloaded, ShareExceeded
from proxy.overload.gradient import Gradient

_KNOWN: Final = 16  # calls that must have ended before it is foretold how long one waits
_REMEMBERED: Final = 64  # calls; how long they take is a mean over about so many
_DEVIATIONS: Final = 2.0  # of a Poisson process: who is that unlucky would not make it


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of calls.

    Args:
        calls: under way at once.
        queued: that wait for a place.
        queue_s: seconds that one waits.
        share: of both that one caller has while others ask, above 0; 1: callers do not matter.
    """

    calls: int = 1024
    queued: int = 1024
    queue_s: float = 1.0
    share: float = 0.5


class Shed(StrEnum):
    """Why a call was not made."""

    FULL = "full"  # as many wait as may
    LATE = "late"  # it waited as long as it may
    HOPELESS = "hopeless"  # it would have
    SHARE = "share"  # its caller has his share
    MEMORY = "memory"  # there is none left for one more answer
    BACKGROUND = "background"  # no client waits for it, and no place was free


class Timer(Protocol):
    """What can be called off."""

    def cancel(self) -> None:
        """Have it not happen."""
        ...


CallLater = Callable[[float, Callable[[], None]], Timer]


class _Caller:
    """Whose calls they are."""

    __slots__ = ("calls", "name", "row")

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0  # under way
        self.row: deque[asyncio.Future[Place]] = deque()  # of those that wait, in order


class Place:
    """One call's place. Whoever has it gives it back by ``leave``."""

    __slots__ = ("_caller", "_limiter", "lasting", "since")

    def __init__(self, limiter: Limiter, caller: _Caller, since: float) -> None:
        self._limiter: Limiter | None = limiter
        self._caller = caller
        self.since = since  # seconds on the limiter's clock
        self.lasting = False  # a tunnel: how long it takes says nothing of other calls

    def last(self) -> None:
        """Take this call for a tunnel."""
        if self._limiter is not None and not self.lasting:
            self.lasting = True
            self._limiter.lasting += 1

    def answered(self, backend: str) -> None:
        """The head of the response of ``backend`` is here."""
        if self._limiter is not None:
            self._limiter.answered(backend, self.since)

    def leave(self) -> None:
        """The call is over. Idempotent."""
        if (limiter := self._limiter) is not None:
            self._limiter = None
            limiter.left(self, self._caller)


class Limiter:
    """Lets calls through. Belongs to the event loop it is used on.

    Args:
        limits: those of the beginning; see ``adopt``.
        clock: seconds, monotonic.
        adaptive: finds out how many calls the backends bear; None: as many as ``limits`` say.
        call_later: calls back after so many seconds; None: the running loop's.
        may_call: whether the machine can bear one more call, whatever the bounds say.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float],
        adaptive: Gradient | None = None,
        call_later: CallLater | None = None,
        may_call: Callable[[], bool] = lambda: True,
    ) -> None:
        self.under_way = 0  # calls
        self.lasting = 0  # of these: tunnels
        self.queued = 0
        self.shed = dict.fromkeys(Shed, 0)
        self._clock = clock
        self._call_later = call_later
        self._may_call = may_call
        self._callers: dict[str, _Caller] = {}  # that have calls under way or waiting
        self._rows: dict[str, _Caller] = {}  # of these: those who wait, longest not served first
        self._mean_s = 0.0  # how long calls take
        self._ended = 0
        self._limits = limits
        self._adaptive = adaptive
        self.limit = limits.calls
        self.adopt(limits, adaptive)

    def adopt(self, limits: Limits, adaptive: Gradient | None) -> None:
        """Go on with other bounds. Calls under way count on, and nobody is called back."""
        self._limits, self._adaptive = limits, adaptive
        self.limit = self._allowed()
        self._admit()

    @property
    def adaptive(self) -> Gradient | None:
        """What finds out how many calls the backends bear, if anything."""
        return self._adaptive

    async def enter(self, name: str, *, waits: bool = True) -> Place:
        """A place for a call of the caller called ``name``.

        Args:
            waits: whether a client waits for the call; else it does not wait for a place.

        Raises:
            Overloaded: there is none, nor will there be one in time; nothing was sent.
            ShareExceeded: it is this caller who asks too much.
        """
        if (place := self.at_once(name)) is not None:
            return place
        caller = self._caller(name)
        if not waits:
            raise self._turned_away(caller, Shed.BACKGROUND)
        self._make_room(caller)
        return await self._wait(caller)

    def at_once(self, name: str) -> Place | None:
        """As ``enter``, where a place is free; None: one has to wait for it."""
        caller = self._caller(name)
        if not self._may_call():
            raise self._turned_away(caller, Shed.MEMORY)
        # Whoever waits could not be let in: not for want of places, then, if one is free.
        if self.under_way < self.limit and not caller.row and caller.calls < self._most(self.limit):
            return self._let_in(caller)
        self._forget(caller)
        return None

    def answered(self, backend: str, since: float) -> None:
        """The head of a response is here, of a call that was let in at ``since``."""
        if (adaptive := self._adaptive) is not None:
            adaptive.noted(backend, self._clock() - since, self.under_way)
            if (allowed := self._allowed()) != self.limit:
                self.limit = allowed
                self._admit()

    def left(self, place: Place, caller: _Caller) -> None:
        """A call is over."""
        self.under_way -= 1
        caller.calls -= 1
        if place.lasting:
            self.lasting -= 1
        else:
            self._ended += 1
            took_s = self._clock() - place.since
            self._mean_s += (took_s - self._mean_s) / min(self._ended, _REMEMBERED)
        self._forget(caller)
        self._admit()

    # -- places -----------------------------------------------------------------------------------

    def _allowed(self) -> int:
        calls, adaptive = self._limits.calls, self._adaptive
        return calls if adaptive is None else min(calls, adaptive.limit)

    def _most(self, whole: int) -> int:
        """How many of a ``whole`` one caller may have now."""
        share = self._limits.share
        if share >= 1.0 or len(self._callers) == 1:
            return whole
        return max(1, int(whole * share))

    def _let_in(self, caller: _Caller) -> Place:
        self.under_way += 1
        caller.calls += 1
        return Place(self, caller, self._clock())

    def _admit(self) -> None:
        """Let in all who may be."""
        rows = self._rows
        while rows and self.under_way < self.limit:
            caller = _next(rows.values())
            if caller.calls >= self._most(self.limit):
                return
            turn = caller.row.popleft()
            self.queued -= 1
            del rows[caller.name]
            if caller.row:
                rows[caller.name] = caller
            turn.set_result(self._let_in(caller))

    def _caller(self, name: str) -> _Caller:
        caller = self._callers.get(name)
        if caller is None:
            caller = self._callers[name] = _Caller(name)
        return caller

    def _forget(self, caller: _Caller) -> None:
        """Forget ``caller`` if he asks nothing any more."""
        if not (caller.calls or caller.row):
            self._callers.pop(caller.name, None)

    # -- waiting ----------------------------------------------------------------------------------

    def _make_room(self, caller: _Caller) -> None:
        """See to it that one more of ``caller`` can wait. Raises Overloaded."""
        limits, row = self._limits, len(caller.row)
        if row >= self._most(limits.queued) < limits.queued:
            raise self._turned_away(caller, Shed.SHARE)
        if self._is_hopeless(caller):
            raise self._turned_away(caller, Shed.HOPELESS)
        if self.queued < limits.queued:
            return
        longest = max(self._rows.values(), key=_row, default=None)
        if limits.share >= 1.0 or longest is None or len(longest.row) < row + 2:
            raise self._turned_away(caller, Shed.FULL)
        last = longest.row[-1]
        self._leave_row(longest, last)
        last.set_exception(self._turned_away(longest, Shed.SHARE))

    def _is_hopeless(self, caller: _Caller) -> bool:
        """Whether one more of ``caller`` would still wait when its time is up, as far as is known.

        By Little's law as many calls end in a second as are under way, over how long they take.
        """
        if self._ended < _KNOWN:
            return False
        row = len(caller.row)
        if self._is_at_share(caller):  # only his own calls make place
            calls, ahead = caller.calls, row
        else:
            calls, ahead = self.under_way - self.lasting, min(self.queued, row * len(self._rows))
        ending = calls * self._limits.queue_s / max(self._mean_s, 1e-6)
        return ahead > ending + _DEVIATIONS * sqrt(ending)

    def _is_at_share(self, caller: _Caller) -> bool:
        """Whether it is for his own calls that ``caller`` gets no place."""
        return caller.calls >= self._most(self.limit) < self.limit

    async def _wait(self, caller: _Caller) -> Place:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Place] = loop.create_future()
        caller.row.append(turn)
        self._rows.setdefault(caller.name, caller)
        self.queued += 1

        def late() -> None:
            if not turn.done():
                self._leave_row(caller, turn)
                turn.set_exception(self._turned_away(caller, Shed.LATE))

        later: CallLater = self._call_later or loop.call_later
        timer = later(self._limits.queue_s, late)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave_row(caller, turn)
                self._forget(caller)
            elif turn.exception() is None:  # it was let in at that very moment
                turn.result().leave()
            raise
        finally:
            timer.cancel()

    def _leave_row(self, caller: _Caller, turn: asyncio.Future[Place]) -> None:
        caller.row.remove(turn)
        self.queued -= 1
        if not caller.row:
            del self._rows[caller.name]

    def _turned_away(self, caller: _Caller, why: Shed) -> Overloaded:
        """What to tell ``caller``, one of whose calls is not made."""
        self.shed[why] += 1
        own = why is Shed.SHARE or self._is_at_share(caller)
        self._forget(caller)
        if why is Shed.MEMORY:
            return Overloaded("This proxy is short of memory; ask again in a moment.")
        if own:
            return ShareExceeded(
                "This caller has as many calls under way as it may while others ask; "
                "ask again in a moment."
            )
        return Overloaded("As many calls are under way as may be; ask again in a moment.")


def _next(callers: Iterable[_Caller]) -> _Caller:
    """Who has the fewest calls under way; of equals the first, who was served longest ago."""
    fewest: _Caller | None = None
    for caller in callers:
        if not caller.calls:
            return caller
        if fewest is None or caller.calls < fewest.calls:
            fewest = caller
    assert fewest is not None  # noqa: S101 - somebody waits
    return fewest


def _row(caller: _Caller) -> int:
    return len(caller.row)
