"""Commands of many callers on few connections: what comes in one turn of the loop goes together.

To send a command and to hear the reply costs a system call and a turn of the loop each, and a task
and a timer, had each its own, cost more than all else. So there is one future for each command, one
write for each batch, and one timer for all.

1. A batch is what was asked in one turn, up to a number and a size. It has a line to itself: what
   is slow to come keeps nobody waiting but those who asked in the same turn.
   What nobody waits for is gathered over some turns, and goes with whatever is asked first.
2. Where all lines are taken, batches wait, and fill up; where there may be more lines, one is made.
3. Each caller waits for so long, then goes on without; the command goes on if it was sent. What was
   not sent by then is not sent at all.
4. A line on which nothing moves for that long is dropped, and so is one whose batch takes longer
   than anything may: all that was to come on it has failed. That is one failure, however many
   commands it meets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Final, TypeVar, cast

from proxy.link.batch import Asked, Batch
from proxy.link.command import Command
from proxy.link.health import Health
from proxy.link.line import Address, Line

T = TypeVar("T")

_OFF: Final = "Redis is off"
_RIDE_S: Final = 0.005  # as long as a proxy in use is seldom silent
_CLOSE_S: Final = 1.0  # no server need agree to it, but over TLS it is asked


class Lines:
    """All lines to one server. ``close`` must be awaited in the end.

    Args:
        dial: makes one; may raise anything.
        health: is told how it goes.
        most: lines at a time.
        answer_s: how long a caller waits, and how long nothing may move on a line.
        limit_s: how long a batch may take in all, or a line to be made.
        follows: whether the server may be another at any time: then one that takes no writes is the
            wrong one, and not a refusal.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[Line]],
        health: Health,
        *,
        most: int,
        answer_s: float,
        limit_s: float,
        follows: bool,
    ) -> None:
        self._dial = dial
        self._health = health
        self._most = most
        self._answer_s = answer_s
        self._limit_s = limit_s
        self._follows = follows
        self._batch: Batch | None = None  # gathers in this turn
        self._going = False  # it is sent at the end of the turn
        self._ride: asyncio.TimerHandle | None = None  # or a moment later
        self._waiting: deque[Batch] = deque()  # for lines
        self._under_way: dict[Batch, None] = {}  # all that have not ended, oldest first
        self._lines: set[Line] = set()
        self._idle: list[Line] = []
        self._dials: dict[asyncio.Task[None], float] = {}  # since when each is under way
        self._timer: asyncio.Handle | None = None
        self._peer: Address | None = None  # of the newest line
        self._closed = False

    async def ask(self, command: Command[T], *, rides: bool = False, patient: bool = False) -> T:
        """What a command comes to.

        Args:
            rides: nobody is in a hurry for it: it goes with what is asked next, or in a moment.
            patient: wait for as long as it may take, and not only for ``answer_s``.

        Raises:
            TierError: a ``Refusal``, or there is no answer, or none in time.
        """
        loop = asyncio.get_running_loop()
        found: asyncio.Future[object] = loop.create_future()
        due = inf if patient else loop.time() + self._answer_s
        asked = Asked(cast("Command[object]", command), due, found)
        batch = self._batch
        if batch is None:
            batch = self._open_batch(loop)
        batch.add(asked)
        if batch is self._batch:
            if batch.full:
                self._go()
            elif rides:
                if self._ride is None:
                    self._ride = loop.call_later(_RIDE_S, self._depart)
            elif not self._going:
                self._going = True
                loop.call_soon(self._go)
        return cast("T", await found)

    def turn_away(self) -> int:
        """Tell all whose commands were not sent that they will not be; how many."""
        batches, self._waiting = self._waiting, deque()
        for batch in batches:
            self._end(batch)
        return sum(batch.release(_OFF) for batch in batches)

    async def settle(self) -> None:
        """Return once all that was asked so far has come to an end, of which ever kind."""
        ends = []
        for batch in self._under_way:
            batch.ended = batch.ended or asyncio.get_running_loop().create_future()
            ends.append(batch.ended)
        if ends:
            await asyncio.wait(ends)

    async def close(self) -> None:
        """Let what was sent come to its end, within what that may take, and close all lines."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._answer_s):
                await self.settle()
        self._closed = True
        self._waiting.clear()  # else one of the last answers would have a line made for them
        for batch in tuple(self._under_way):
            self._end(batch)
            batch.release(_OFF)
        for timer in (self._timer, self._ride):
            if timer is not None:
                timer.cancel()
        dials = tuple(self._dials)
        for dial in dials:
            dial.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        lines = tuple(self._lines)
        for line in lines:
            line.drop(_OFF)
        if lines:
            await asyncio.wait([line.ended for line in lines], timeout=_CLOSE_S)

    # -- there --------------------------------------------------------------------------------

    def _open_batch(self, loop: asyncio.AbstractEventLoop) -> Batch:
        """The batch that takes what is asked now."""
        if self._waiting and not self._waiting[-1].full:
            return self._waiting[-1]
        batch = self._batch = Batch(self, self._health, follows=self._follows)
        self._under_way[batch] = None
        if self._timer is None:
            self._timer = loop.call_later(self._answer_s, self._on_time)
        return batch

    def _depart(self) -> None:
        self._ride = None
        self._go()

    def _go(self) -> None:
        self._going = False
        batch, self._batch = self._batch, None
        if batch is None or batch not in self._under_way:
            return
        while self._idle:
            line = self._idle.pop()
            if not line.open:  # closed while nobody used it
                self._lines.discard(line)
            elif self._send(batch, line):
                return
            else:
                self._idle.append(line)
                return
        self._waiting.append(batch)
        self._make_lines()

    def _send(self, batch: Batch, line: Line) -> bool:
        """Send it; False if nobody waits for it any more, and the line is free."""
        if batch.send(line, asyncio.get_running_loop().time()):
            return True
        self._end(batch)
        return False

    def _free(self, line: Line) -> None:
        """Give a line the next batch, if it may go on."""
        if line.peer != self._peer:
            self._lines.discard(line)
            line.drop("Redis has moved")
            self._make_lines()
            return
        while self._waiting:
            if self._send(self._waiting.popleft(), line):
                return
        self._idle.append(line)

    def _make_lines(self) -> None:
        """Have a line made for each batch that waits, as far as there may be more."""
        while len(self._dials) < len(self._waiting) and (
            len(self._lines) + len(self._dials) < self._most
        ):
            task = asyncio.create_task(self._make_line())  # noqa: TID251 - its own, close() ends it
            self._dials[task] = asyncio.get_running_loop().time()

    async def _make_line(self) -> None:
        """The root of a task."""
        line: Line | None = None
        why = ""
        try:
            async with asyncio.timeout(self._limit_s):
                line = await self._dial()
        except Exception as error:  # noqa: BLE001 - a task's root, and all sorts are raised
            why = f"{type(error).__name__}: {error}"
        finally:
            del self._dials[_this()]
        if line is None:
            self._not_made(why)
            return
        self._peer = line.peer
        self._lines.add(line)
        self._free(line)

    def _not_made(self, why: str) -> None:
        """The first who waits for a line is told that there is none."""
        if not self._waiting:  # for so long that all of them have gone
            self._health.breaker.failed(why)
            return
        batch = self._waiting.popleft()
        self._health.sent += len(batch.asked)
        self.lost(batch, why)

    # -- and back -----------------------------------------------------------------------------

    def came(self, batch: Batch, *, last: bool, sound: bool) -> None:
        line = batch.line
        if last:
            self._end(batch)
        if line is None:
            return
        if not sound:
            self._lines.discard(line)
            line.drop("it made no sense")
            self._make_lines()
        elif last:
            self._free(line)

    def lost(self, batch: Batch, why: str) -> None:
        self._end(batch)
        if batch.line is not None:
            self._lines.discard(batch.line)
        if self._closed:
            batch.release(_OFF)
            return
        batch.fail(why)
        self._make_lines()

    def _end(self, batch: Batch) -> None:
        self._under_way.pop(batch, None)
        if batch.ended is not None and not batch.ended.done():
            batch.ended.set_result(None)

    # -- too late -----------------------------------------------------------------------------

    def _on_time(self) -> None:
        # If the loop was kept busy, what came meanwhile has its turn before anybody is late: with
        # uvloop not before the turn after the next.
        self._timer = asyncio.get_running_loop().call_soon(self._in_time)

    def _in_time(self) -> None:
        self._timer = asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Let go those who waited long enough, and lines on which nothing comes; and look again."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        again = now + self._answer_s
        waiting = len(self._waiting)
        for batch in tuple(self._under_way):
            again = min(again, batch.let_go(now), self._give_up(batch, now))
        if waiting > len(self._waiting) and not self._lines:
            self._doubt(now)
        self._timer = loop.call_at(again, self._on_time) if self._under_way else None

    def _give_up(self, batch: Batch, now: float) -> float:
        """Drop the line of a batch if nothing comes; when to look again."""
        line = batch.line
        if line is None:
            if batch in self._waiting and not batch.wanted:
                self._waiting.remove(batch)
                self._end(batch)
            return inf
        until = min(line.still_since() + self._answer_s, batch.sent_at + self._limit_s)
        if until > now or batch not in self._under_way:
            return max(until, now)
        line.drop(f"TimeoutError: no answer within {self._answer_s:g} s")
        return inf

    def _doubt(self, now: float) -> None:
        """Somebody has waited for a line in vain: whose fault is it, if there is none?"""
        since = min(self._dials.values(), default=inf)
        if since + self._answer_s <= now:  # else others had them all a moment ago
            self._health.breaker.failed("TimeoutError: no connection in time")


def _this() -> asyncio.Task[None]:
    return cast("asyncio.Task[None]", asyncio.current_task())
