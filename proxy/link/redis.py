"""What is asked of Redis or Valkey, and what that may cost: budgets, a breaker, and its standing.

Nothing that Redis does reaches a client. Each operation has a budget, after which its caller goes
on without; nothing is tried twice. A breaker hears how each command really ended: after a few that
failed, callers are turned away at once, and one probe a second, which nobody waits for, finds out
when Redis is back. If Redis answers but takes no writes (a replica, out of memory, a disk that is
full, an ACL), writes rest for a while and reads go on.

A command goes with those that others ask in the same turn (``proxy.link.lines``), and a caller's
leaving does not touch it: a command that is cut short half-way costs its connection, and was once
how answers got to the wrong callers. What is more than one command, and all that is asked of a
cluster, goes over the library, in a task of its own; there are never more tasks than connections.
Who finds none free waits within the budget.

Waiting for entries of streams is apart from all this: it takes long by its nature, so it has
connections of its own, nothing else waits for it, and it is cut short when its caller leaves.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from proxy.link import command as words
from proxy.link.command import Command
from proxy.link.health import Health, Known, Standing
from proxy.link.place import NONE, Credentials, Kind, Place
from proxy.link.replies import Records, Refusal, unquoting
from proxy.model.errors import TierError

if TYPE_CHECKING:
    from proxy.link.commands import Commands  # which loads the library
    from proxy.link.lines import Lines

__all__ = ["Redis", "Standing"]

_T = TypeVar("_T")

_CLEAR_S = 30.0  # a million keys take about three seconds
_CLOSE_S = 1.0  # no server need agree to it, but over TLS it is asked
_WAITS = 2  # at a time
_CUT_AGAIN_S = 0.01
_LONGEST_WAIT_S = 30.0  # a peer that is gone without a word is noticed no sooner


class Redis(Known):
    """Redis, as far as it may be asked. Counters are plain integers that only grow.

    Making one connects to nothing; ``start`` does, and ``close`` must be awaited in the end. What
    cannot be had is a TierError, and a ``Refusal`` where Redis is well but said no.

    Args:
        place: where Redis is, see ``read_place``.
        clock: seconds on a monotonic clock.
        dice: a number from 0 up to 1, each time another.
        report: told once of each change of ``standing``, and why it changed.
        operation_s: seconds a caller waits for one operation.
        connect_s: seconds a connection may take to be made; only ``start`` waits for it.
        connections: the most to each server, of either kind.
        credentials: besides those of the place.
        probe_key: what a probe reads while no key has failed; it need not be there.
    """

    def __init__(
        self,
        place: Place,
        *,
        clock: Callable[[], float],
        dice: Callable[[], float],
        report: Callable[[Standing, str], None],
        operation_s: float = 0.05,
        connect_s: float = 0.25,
        connections: int = 16,
        credentials: Credentials = NONE,
        probe_key: str = "sidecache:",
    ) -> None:
        super().__init__(Health(clock=clock, dice=dice, report=self._changed, suspect=probe_key))
        # Only who has a Redis pays.
        from proxy.link.commands import Commands  # noqa: PLC0415
        from proxy.link.dial import Dial  # noqa: PLC0415
        from proxy.link.lines import Lines  # noqa: PLC0415

        self._commands = Commands(
            place,
            connections=connections,
            operation_s=operation_s,
            connect_s=connect_s,
            waits=_WAITS,
            longest_wait_s=_LONGEST_WAIT_S,
            credentials=credentials,
        )
        self._report = report
        self._operation_s = operation_s
        self._connect_s = connect_s
        self._free = asyncio.Semaphore(connections)
        self._tasks: set[asyncio.Task[object]] = set()
        self._free_waits = asyncio.Semaphore(_WAITS)
        self._waits: set[asyncio.Task[object]] = set()
        self._closing = False
        self._sweeping = asyncio.Lock()  # the pools have room for one at a time
        self._probing = False
        self._news = asyncio.Event()  # for back()
        # A cluster's client knows which server to ask, and follows what moves.
        self._lines: Lines | None = None
        if place.kind is not Kind.CLUSTER:
            self._lines = Lines(
                Dial(place, credentials, self._commands.address).line,
                self._health,
                most=connections,
                answer_s=operation_s,
                limit_s=connect_s + operation_s,
                follows=place.kind is Kind.SENTINEL,
            )

    async def start(self) -> None:
        """Look whether Redis is there, for as long as a connection may take. Raises nothing."""
        await asyncio.wait((self._spawn(self._probe(), self._tasks),), timeout=self._connect_s)

    async def close(self) -> None:
        """End what is under way, within what an operation may take, and all connections."""
        self._closing = True
        self._tell()
        waits = tuple(self._waits)
        for task in waits:
            self._cut(task)
        if self._lines is not None:
            await self._lines.close()
        elif self._tasks:
            await asyncio.wait(self._tasks, timeout=self._operation_s)
        late = tuple(self._tasks)
        for task in late:
            self._cut(task)
        await asyncio.gather(*waits, *late, return_exceptions=True)
        with suppress(Exception):  # what cannot be closed in order is dropped
            async with asyncio.timeout(_CLOSE_S):
                await self._commands.close()

    async def ask(self, command: Command[_T], *, rests: bool = True, rides: bool = False) -> _T:
        """What one command comes to; together with what others ask at the same time.

        Args:
            command: one that writes and is too slow may yet be done. If it is refused with
                ``NoWrites``, writes rest.
            rests: as in ``write``.
            rides: nobody is in a hurry for it: it may go some milliseconds later, with others.
        """
        if self._lines is None:
            if command.writes:
                return await self.write(command.key, lambda it: it.do(command), rests=rests)
            return await self.read(command.key, lambda it: it.do(command))
        self._turn_away()
        trial = rests and command.writes and self._is_trial()
        found = await self._lines.ask(command, rides=rides)
        if trial:
            self._health.writes.recovered()
        return found

    async def read(self, key: str, command: Callable[[Commands], Awaitable[_T]]) -> _T:
        """What comes of something that changes nothing, and is more than one command.

        ``key`` is what it is about: should it fail, probes ask for this key.
        """
        return await self._ask(partial(self._work, key, command))

    async def write(
        self, key: str, command: Callable[[Commands], Awaitable[_T]], *, rests: bool = True
    ) -> _T:
        """What comes of something that changes something. If it is too slow, it may yet be done.

        Args:
            key: as in ``read``.
            command: if it is refused with ``NoWrites``, writes rest.
            rests: it is turned away while writes rest, but for one in a while: if that is done,
                Redis takes writes again. False for what frees memory, which Redis does when it
                takes nothing else, and for what must be tried.
        """
        trial = rests and self._is_trial()
        return await self._ask(partial(self._write, key, command, trial=trial))

    async def sweep(self, prefix: str) -> None:
        """Forget what ``Commands.sweep`` does, and what is being written at this moment too.

        May take some seconds, and goes on if its caller is cancelled.
        """
        self._turn_away()
        await asyncio.shield(self._spawn(self._sweep(prefix, tuple(self._tasks)), self._tasks))

    async def wait(
        self, cursors: Sequence[tuple[str, str]], block_s: float, count: int
    ) -> list[tuple[str, Records]]:
        """Entries of streams as they come, see ``Commands.wait``; none if none come in time.

        Who asks again after an error waits a little, and then for ``back``: not every error means
        that Redis is off.

        Args:
            cursors: streams, each with the id after which entries are new. At least one.
            block_s: seconds to wait. At most 30 of them; who wants more asks again.
            count: the most entries of each stream.
        """
        block_s = min(block_s, _LONGEST_WAIT_S)
        limit_s = block_s + self._connect_s + self._operation_s
        block_ms = max(1, math.ceil(block_s * 1000))  # 0 would be for ever
        work = partial(
            self._work,
            cursors[0][0],
            lambda commands: commands.wait(cursors, block_ms, count),
            limit_s,
        )
        self._turn_away()
        try:
            async with asyncio.timeout(limit_s):
                task = await self._begin(work, self._free_waits, self._waits)
        except TimeoutError as error:
            self._health.late += 1
            raise TierError("too many wait for Redis") from error
        try:
            return await self._outcome(task)
        finally:
            self._cut(task)  # it ends with its caller: there is nothing to finish

    async def back(self) -> None:
        """Return once Redis may be asked, or raise TierError once this is closed."""
        while not self._closing:
            if self._health.breaker.closed:
                return
            self._look_again()
            # How a probe went is news in any case; where none is under way, the next is for
            # somebody to send who has nothing else to ask.
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    None if self._probing else self._health.breaker.next_probe_s
                ):
                    await self._news.wait()
        raise TierError("Redis is off")

    def _turn_away(self) -> None:
        """Raise TierError if Redis is not to be asked; send somebody to look when it is time."""
        if self._health.breaker.closed and not self._closing:
            return
        self._health.turned_away += 1
        self._look_again()
        raise TierError("Redis is off")

    def _is_trial(self) -> bool:
        """Whether a write is the one to try if Redis takes any; TierError if they rest."""
        writes = self._health.writes
        if writes.closed:
            return False
        self._turn_away()
        if not writes.probe_due():
            self._health.turned_away += 1
            raise TierError("Redis takes no writes at present")
        return True

    def _look_again(self) -> None:
        if not (self._closing or self._probing) and self._health.breaker.probe_due():
            _ = self._spawn(self._probe(), self._tasks)  # for nobody to wait for

    async def _ask(self, work: Callable[[], Coroutine[None, None, _T]]) -> _T:
        """What ``work`` comes to, if it is done in time; it goes on if not, or if cancelled."""
        self._turn_away()
        try:
            async with asyncio.timeout(self._operation_s):
                task = await self._begin(work, self._free, self._tasks)
                return await self._outcome(task)
        except TimeoutError as error:
            raise self._health.note_late() from error

    async def _begin(
        self,
        work: Callable[[], Coroutine[None, None, _T]],
        free: asyncio.Semaphore,
        among: set[asyncio.Task[object]],
    ) -> asyncio.Task[_T]:
        """A task that does ``work``, once there is room for it."""
        await free.acquire()
        if self._closing or not self._health.breaker.closed:  # since this began to wait
            free.release()
            self._turn_away()
        # No await in between: from here on, the task lets go of what was acquired.
        task = self._spawn(work(), among)
        task.add_done_callback(lambda _task: free.release())
        return task

    async def _outcome(self, task: asyncio.Task[_T]) -> _T:
        """What comes of it, which goes on if the caller does not. ``close`` is a TierError."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if not task.cancelled():
                raise
            caller = asyncio.current_task()
            if caller is not None and caller.cancelling():
                raise
            raise TierError("Redis is off") from error

    def _cut(self, task: asyncio.Task[object]) -> None:
        """Cancel ``task`` until it ends: what waits in ``asyncio.wait_for`` may not heed it once.

        Before Python 3.12 that loses a cancellation which meets what it waited for half-way.
        """
        if not task.done():
            task.cancel()
            asyncio.get_running_loop().call_later(_CUT_AGAIN_S, self._cut, task)

    def _spawn(
        self, work: Coroutine[None, None, _T], among: set[asyncio.Task[object]]
    ) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)  # noqa: TID251 - its own, ended by close()
        among.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        self._waits.discard(task)
        if not task.cancelled():
            task.exception()  # seen here: its caller may be gone

    async def _work(
        self,
        key: str,
        command: Callable[[Commands], Awaitable[_T]],
        limit_s: float | None = None,
    ) -> _T:
        """The root of every task that talks to Redis: tells the breaker how it really went."""
        self._health.sent += 1
        try:
            async with asyncio.timeout(limit_s or self._connect_s + self._operation_s):
                found = await command(self._commands)
        except Refusal as refusal:  # is an answer
            self._health.note_refusal(refusal)
            raise
        except Exception as error:  # a task's root, and the library raises all sorts
            why = f"{type(error).__name__}: {unquoting(str(error))}"
            raise self._health.note_failure(key, why) from error
        self._health.note_answer()
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # The library awaits with ``wait_for``, which before Python 3.12 forgets a cancellation
            # that comes at the same time as what it waits for.
            raise asyncio.CancelledError
        return found

    async def _write(
        self,
        key: str,
        command: Callable[[Commands], Awaitable[_T]],
        limit_s: float | None = None,
        *,
        trial: bool = False,
    ) -> _T:
        """As ``_work``; if it was done, a trial lets writes be made again."""
        done = await self._work(key, command, limit_s)
        if trial:
            self._health.writes.recovered()
        return done

    async def _sweep(self, prefix: str, under_way: Collection[asyncio.Task[object]]) -> None:
        if under_way:
            await asyncio.wait(under_way)  # each has a limit of its own
        if self._lines is not None:
            await self._lines.settle()
        async with self._sweeping:
            await self._write(prefix, lambda commands: commands.sweep(prefix), _CLEAR_S)

    async def _probe(self) -> None:
        """Ask for the key that failed last: in a cluster, only its server may be in trouble."""
        self._probing = True
        look = words.get(self._health.suspect)
        try:
            if self._lines is None:
                _ = await self._work(look.key, lambda commands: commands.do(look))
            else:
                _ = await self._lines.ask(look, patient=True)
        except TierError as error:
            self._health.breaker.trip(str(error))
        else:
            self._health.breaker.recovered()
        finally:
            self._probing = False
            self._tell()

    def _tell(self) -> None:
        """Wake all who wait for Redis to be back, to see for themselves."""
        self._news.set()
        self._news.clear()

    def _changed(self, standing: Standing, why: str) -> None:
        if standing is Standing.OFF and self._lines is not None:
            self._health.turned_away += self._lines.turn_away()
        self._report(standing, why)
