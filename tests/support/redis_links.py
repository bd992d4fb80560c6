"""Redis on real servers, as the proxy sees it, and what it reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from proxy.link.place import NONE, Credentials, Place, read_place
from proxy.link.redis import Redis, Standing
from proxy.model.errors import TierError
from support.cranked import Clock

HERE = "127.0.0.1"
PATIENT_S = 10.0  # a budget that no machine is too slow for


class Link:
    """Redis on a clock turned by hand; the budgets alone run on the real one."""

    def __init__(self, place: Place | int, clock: Clock | None = None, *,
                 operation_s: float = PATIENT_S, prefix: str = "sidecache:",
                 connections: int = 16, credentials: Credentials = NONE) -> None:  # fmt: skip
        self.clock = clock = clock or Clock()
        self.reports: list[tuple[Standing, str]] = []
        self.redis = Redis(
            read_place(f"redis://{HERE}:{place}") if isinstance(place, int) else place,
            clock=clock,
            dice=lambda: 0.5,
            report=lambda standing, why: self.reports.append((standing, why)),
            operation_s=operation_s,
            connect_s=operation_s,
            connections=connections,
            credentials=credentials,
            probe_key=prefix,
        )

    @property
    def standings(self) -> list[Standing]:
        return [standing for standing, _ in self.reports]

    async def sent(self, operations: int) -> None:
        """Return once Redis has been asked for so many in all, before it can have answered."""
        for _ in range(100):
            if self.redis.sent == operations:
                return
            await asyncio.sleep(0)
        raise AssertionError(self.redis.sent)

    async def until(self, standing: Standing, act: Callable[[], Awaitable[object]]) -> None:
        """Do ``act`` again and again, a probe's time apart, until Redis stands like this."""
        async with asyncio.timeout(30):
            while self.redis.standing is not standing:
                self.clock.turn(1.25)
                try:
                    await act()
                except TierError:
                    await asyncio.sleep(0.005)  # a probe is under way, in real time


async def refused(asking: Awaitable[object]) -> None:
    """Return once it has been answered with a TierError, as it must be."""
    with pytest.raises(TierError):
        await asking


@asynccontextmanager
async def redis_link(
    place: Place | int,
    clock: Clock | None = None,
    *,
    operation_s: float = PATIENT_S,
    start: bool = True,
) -> AsyncIterator[Link]:
    """Redis at ``place``, or at the server on that port; closed when the block ends."""
    link = Link(place, clock, operation_s=operation_s)
    try:
        if start:
            await link.redis.start()
        yield link
    finally:
        await link.redis.close()
