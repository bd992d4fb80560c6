"""Replicas in one process: flights that meet, each with an upstream cranked by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from proxy.fleet.base import Locks, Post
from proxy.fleet.locks_file import FileLocks
from proxy.fleet.locks_redis import RedisLocks
from proxy.fleet.post_redis import RedisPost
from proxy.fleet.post_socket import SocketPost
from proxy.fleet.relay import Relay
from proxy.flight import Boarded, Flights, Limits, Seat
from proxy.link.place import Place
from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from support.cranked import Call, Clock, Crank, Errand, settle
from support.redis_links import Link
from support.started import started

SECRET = b"the same for all replicas"
PATIENT: dict[str, float] = {"answer_s": 20.0, "silent_s": 20.0}  # that no machine is too slow for


class Replica:
    """One of them. Its flights' clock is turned by hand; where it meets others there is real time.

    Args:
        place: of Redis, or a directory for the sockets of one host.
        lost: nothing that is stored can be found by others.
    """

    def __init__(
        self, place: Place | int | Path, *, operation_s: float, limits: Limits,
        lease_s: float = 5.0, lost: bool = False, **settings: Any,
    ) -> None:  # fmt: skip
        self.clock = Clock()
        self.crank = Crank()
        self.bugs: list[BaseException] = []
        self.told: list[tuple[bool, str]] = []
        self.written = asyncio.Event()  # what is stored can be found by others
        self.written.set()
        now = settings.get("clock", monotonic)
        self.post: Post
        self.locks: Locks
        if isinstance(place, Path):
            self.post = SocketPost(place, report=self._told, room_s=operation_s)
            self.locks = FileLocks(place / "locks", clock=now, lease_s=lease_s)
        else:
            self.link = Link(place, operation_s=operation_s)
            redis = self.link.redis
            self.post = RedisPost(redis, prefix="sidecache:", clock=now, report=self._told)
            self.locks = RedisLocks(redis, "sidecache:", lease_s)
        self.relay = Relay(
            self.post,
            self.locks,
            stored=None if lost else self._stored,
            bug=self.bugs.append,
            **({"secret": SECRET, "clock": now} | settings),
        )
        self.flights = Flights(limits, clock=self.clock, report=self.bugs.append, fleet=self.relay)
        self.errand = Errand(self.crank, self.clock)

    @property
    def redis(self) -> bool:
        """Whether it meets others in Redis."""
        return hasattr(self, "link")

    def _told(self, trouble: TierError | None) -> None:
        self.told.append((trouble is None, str(trouble or "")))

    async def _stored(self, _key: CacheKey) -> None:
        await self.written.wait()

    @property
    def calls(self) -> list[Call]:
        return self.crank.calls

    def board(self, errand: Errand | None = None, *, fresh: bool = False) -> Seat:
        seat = self.flights.board(errand or self.errand, lambda _form: True, fresh=fresh)
        assert isinstance(seat, Seat)
        return seat

    def listen(self, errand: Errand | None = None, *, fresh: bool = False) -> Heard:
        return Heard(self.board(errand, fresh=fresh))

    async def call(self, number: int = 0) -> Call:
        """Its upstream's call of this number, once it has been asked."""
        await until(lambda: len(self.calls) > number)
        return self.calls[number]

    async def followed(self, by: int = 1) -> None:
        """Return once so many other replicas have places on its flights."""
        await until(lambda: len(self.relay._leader._guests) == by)

    async def hears(self, letters: int = 1) -> None:
        """Return once so many letters have come of a flight that it follows."""
        await until(lambda: any(f._number >= letters for f in self.relay._followed.values()))

    async def die(self) -> None:
        """As kill -9: nobody is told anything but by the kernel."""
        if self.redis:
            await self.link.redis.close()
        else:
            await self.post.close()

    async def close(self) -> None:
        await self.flights.close()
        await self.relay.close()
        if self.redis:
            await self.link.redis.close()
        await settle()
        assert self.bugs == []
        assert len(self.flights) == 0
        assert (len(self.relay._leader._guests), len(self.relay._followed)) == (0, 0)


class Heard:
    """Who sits on a seat, and what he has ``heard`` so far."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.heard = b""
        self.boarding: Any = None
        self.task = started(self._listen())
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen

    async def _listen(self) -> bytes:
        try:
            self.boarding = await self.seat.boarded()
            if isinstance(self.boarding, Boarded):
                async for piece in self.seat.pieces():
                    self.heard += piece
        finally:
            self.seat.leave()
        return self.heard

    async def until(self, heard: bytes) -> None:
        await until(lambda: self.heard == heard)

    async def end(self) -> bytes:
        async with asyncio.timeout(20):
            return await self.task

    async def hang_up(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def until(true: Callable[[], object]) -> None:
    """Return once something is ``true``."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is waited for comes through sockets of this loop
            await asyncio.sleep(0)


@asynccontextmanager
async def replica(
    place: Place | int | Path,
    *,
    operation_s: float = 20.0,
    limits: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Replica]:
    """A replica whose relay has these settings, and all the patience there is."""
    one = Replica(
        place,
        operation_s=operation_s,
        limits=replace(Limits(), **(limits or {})),
        **(PATIENT | settings),
    )
    if one.redis:
        await one.link.redis.start()
    await one.relay.start()
    try:
        yield one
    finally:
        await one.close()
