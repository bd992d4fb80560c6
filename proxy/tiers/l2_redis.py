"""The shared tier: entries in Redis or Valkey, where every replica of the proxy finds them.

Nothing that Redis does reaches a client. Each operation has a budget, after which its caller goes
on without; nothing is tried twice. A breaker hears how each command really ended: after a few that
failed, callers are turned away at once, and one probe a second, which nobody waits for, finds out
when Redis is back. If Redis answers but takes no writes (a replica, out of memory, a disk that is
full, an ACL), writes rest for a while and reads go on.

A command runs in a task of its own, which its caller's cancellation does not touch: a command that
is cut short half-way costs its connection, and was once how answers got to the wrong callers. There
are never more tasks than connections; who finds none free waits within the budget.

Nothing that is read is trusted: it is bytes, and the codec says whether it is the entry asked for.

The user that the proxy logs in as needs no more than this (for the default prefix)::

    ACL SETUSER sidecache on >PASSWORD ~sidecache:* resetchannels -@all +get +set +unlink +scan

and on a cluster ``+cluster|slots +command +asking``, and ``+select`` for a database other than 0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import TypeVar

from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import TierError
from proxy.tiers.breaker import Breaker
from proxy.tiers.codec import Codec
from proxy.tiers.redis_place import Place

_T = TypeVar("_T")

_CLEAR_S = 30.0  # a million keys take about three seconds
_CLOSE_S = 1.0  # no server need agree to it, but over TLS it is asked
_WRITES_REST_S = 5.0  # as long as a failover or an eviction takes; one put then tries
_MOST_WORDS = 200  # of what a server says that is logged
_MOST_KEEP_MS = 2**53  # some 285,000 years; Redis refuses what overflows its clock


class Standing(StrEnum):
    """What the tier is good for at present."""

    ON = "on"
    READS_ONLY = "reads only"
    OFF = "off"


class L2Redis:
    """The Redis tier. Counters are plain integers that only grow.

    Making one connects to nothing; ``start`` does, and ``close`` must be awaited in the end.

    Args:
        place: where Redis is, see ``read_place``.
        codec: makes bytes of entries, and entries of bytes; this tier's own.
        clock: seconds on the monotonic clock that ``Entry.stored_at`` was read from.
        wall: seconds since 1970.
        dice: a number from 0 up to 1, each time another.
        report: told once of each change of ``standing``, and why it changed.
        max_entry_bytes: a larger entry is declined (see ``Entry.size``).
        prefix: what all keys begin with; the deployments that share it share their entries.
        operation_s: seconds a caller waits for one operation.
        connect_s: seconds a connection may take to be made; only ``start`` waits for it.
        connections: the most commands at a time, to each server.
        ca_file: whom to trust over TLS, in place of whom the system trusts.
    """

    name = "l2_redis"

    def __init__(
        self,
        place: Place,
        *,
        codec: Codec,
        clock: Callable[[], float],
        wall: Callable[[], float],
        dice: Callable[[], float],
        report: Callable[[Standing, str], None],
        max_entry_bytes: int,
        prefix: str = "sidecache:",
        operation_s: float = 0.05,
        connect_s: float = 0.25,
        connections: int = 16,
        ca_file: str = "",
    ) -> None:
        from proxy.tiers.redis_link import RedisLink  # noqa: PLC0415 - only who has a Redis pays

        self._link = RedisLink(
            place,
            connections=connections,
            operation_s=operation_s,
            connect_s=connect_s,
            ca_file=ca_file,
        )
        self._codec = codec
        self._clock = clock
        self._wall = wall
        self._report = report
        self._max_entry_bytes = max_entry_bytes
        self._prefix = prefix
        self._operation_s = operation_s
        self._connect_s = connect_s
        self._free = asyncio.Semaphore(connections)
        self._tasks: set[asyncio.Task[object]] = set()
        self._closing = False
        self._clearing = asyncio.Lock()  # the pools have room for one at a time
        self._probing = False
        self._suspect = prefix  # the key a probe asks for
        self._standing = Standing.ON
        self._breaker = Breaker(clock=clock, dice=dice, report=self._changed)
        self._writes = Breaker(
            clock=clock, dice=dice, report=self._changed, consecutive=1, probe_s=_WRITES_REST_S
        )
        self.sent = 0  # operations that Redis was asked for, probes among them
        self.failed = 0  # of these: no answer, or one that made no sense
        self.refused = 0  # of these: writes that Redis does not take now
        self.late = 0  # callers that went on without an answer, or found no connection free
        self.turned_away = 0  # callers, because Redis is off or takes no writes
        self.hits = 0
        self.misses = 0
        self.unreadable = 0  # of these: something was there, but not a living entry of this key
        self.declined = 0  # too large, or dead on arrival

    @property
    def standing(self) -> Standing:
        """What the tier is good for now."""
        return self._standing

    async def start(self) -> None:
        """Look whether Redis is there, for as long as a connection may take. Raises nothing."""
        await asyncio.wait((self._spawn(self._probe()),), timeout=self._connect_s)

    async def close(self) -> None:
        """End what is under way, within what an operation may take, and all connections."""
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._operation_s)
        ending = tuple(self._tasks)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        with suppress(Exception):  # what cannot be closed in order is dropped
            async with asyncio.timeout(_CLOSE_S):
                await self._link.close()

    async def get(self, key: CacheKey) -> Entry | None:
        name = self._name(key)
        blob = await self._ask(partial(self._work, name, partial(self._link.get, name)))
        if blob is None:
            self.misses += 1
            return None
        entry = self._codec.decode(key, blob, self._clock(), self._wall())
        if entry is None:
            self.misses += 1
            self.unreadable += 1
        else:
            self.hits += 1
        return entry

    async def put(self, entry: Entry) -> bool:
        """As every tier's. A put that was too slow may yet be stored: it was not cut short."""
        now = self._clock()
        keep_ms = int(min((entry.lifetime.keep - entry.age(now)) * 1000, _MOST_KEEP_MS))
        blob = None
        if keep_ms > 0 and entry.size <= self._max_entry_bytes:
            with suppress(ValueError):
                blob = self._codec.encode(entry, now, self._wall())
        if blob is None:
            self.declined += 1
            await self.delete(entry.key)
            return False
        self._turn_away()
        trial = not self._writes.closed
        if trial and not self._writes.probe_due():
            self.turned_away += 1
            raise TierError("Redis takes no writes at present")
        name = self._name(entry.key)
        storing = partial(self._link.set, name, blob, keep_ms)
        await self._ask(partial(self._write, name, storing, trial=trial))
        return True

    async def delete(self, key: CacheKey) -> None:
        name = self._name(key)
        await self._ask(partial(self._write, name, partial(self._link.unlink, name)))

    async def clear(self) -> None:
        """As every tier's. May take some seconds, and goes on if its caller is cancelled."""
        self._turn_away()
        await asyncio.shield(self._spawn(self._sweep(tuple(self._tasks))))

    def _name(self, key: CacheKey) -> str:
        return self._prefix + key.digest.hex()  # which covers the scope

    def _turn_away(self) -> None:
        """Raise TierError if Redis is not to be asked; send somebody to look when it is time."""
        if self._breaker.closed and not self._closing:
            return
        self.turned_away += 1
        if not (self._closing or self._probing) and self._breaker.probe_due():
            _ = self._spawn(self._probe())  # for nobody to wait for
        raise TierError("Redis is off")

    async def _ask(self, work: Callable[[], Coroutine[None, None, _T]]) -> _T:
        """What ``work`` comes to, if it is done in time; it goes on if not, or if cancelled."""
        self._turn_away()
        try:
            async with asyncio.timeout(self._operation_s):
                await self._free.acquire()
                if self._closing or not self._breaker.closed:  # since this began to wait
                    self._free.release()
                    self._turn_away()
                # No await in between: from here on, the task lets go of what was acquired.
                task = self._spawn(work())
                task.add_done_callback(lambda _task: self._free.release())
                return await asyncio.shield(task)
        except TimeoutError as error:
            self.late += 1
            raise TierError("Redis was too slow") from error

    def _spawn(self, work: Coroutine[None, None, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)  # noqa: TID251 - the tier's own, ended by close()
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen here: its caller may be gone

    async def _work(
        self, name: str, act: Callable[[], Awaitable[_T]], limit_s: float | None = None
    ) -> _T:
        """The root of every task that talks to Redis: tells the breaker how it really went."""
        self.sent += 1
        try:
            async with asyncio.timeout(limit_s or self._connect_s + self._operation_s):
                found = await act()
        except Exception as error:  # a task's root, and the library raises all sorts
            self.failed += 1
            self._suspect = name
            why = f"{type(error).__name__}: {error}"[:_MOST_WORDS]
            self._breaker.failed(why)
            raise TierError(why) from error
        self._breaker.succeeded()
        return found

    async def _write(
        self, name: str, act: Callable[[], Awaitable[str]], *, trial: bool = False
    ) -> None:
        """As ``_work``, and tells the writes' own breaker of what was answered."""
        self._heed(await self._work(name, act), trial=trial)

    async def _sweep(self, under_way: Collection[asyncio.Task[object]]) -> None:
        """Forget everything, what is being put at this moment too."""
        if under_way:
            await asyncio.wait(under_way)  # each has a limit of its own
        async with self._clearing:
            sweep = partial(self._link.sweep, self._prefix)
            self._heed(await self._work(self._prefix, sweep, _CLEAR_S))

    def _heed(self, refusal: str, *, trial: bool = False) -> None:
        if refusal:
            self.refused += 1
            self._writes.trip(refusal[:_MOST_WORDS])
            raise TierError(refusal)
        if trial:
            self._writes.recovered()

    async def _probe(self) -> None:
        """Ask for the key that failed last: in a cluster, only its server may be in trouble."""
        self._probing = True
        try:
            await self._work(self._suspect, partial(self._link.get, self._suspect))
        except TierError as error:
            self._breaker.trip(str(error))
        else:
            self._breaker.recovered()
        finally:
            self._probing = False

    def _changed(self, _closed: bool, why: str) -> None:  # noqa: FBT001 - as a breaker reports
        if not self._breaker.closed:
            standing = Standing.OFF
        else:
            standing = Standing.ON if self._writes.closed else Standing.READS_ONLY
        if standing is not self._standing:
            self._standing = standing
            self._report(standing, why)
