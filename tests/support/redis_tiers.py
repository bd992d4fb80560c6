"""Redis tiers over real servers, and what they reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from proxy.model.errors import TierError
from proxy.tiers.codec import Codec
from proxy.tiers.l2_redis import L2Redis, Standing
from proxy.tiers.redis_place import Place, read_place
from support.cranked import Clock

HERE = "127.0.0.1"
PATIENT_S = 10.0  # a budget that no machine is too slow for


class Scene:
    """A tier on a clock turned by hand; the budgets alone run on the real one."""

    def __init__(self, place: Place | int, clock: Clock, *, operation_s: float, prefix: str,
                 connections: int, ca_file: str) -> None:  # fmt: skip
        self.clock = clock
        self.codec = Codec()
        self.reports: list[tuple[Standing, str]] = []
        self.tier = L2Redis(
            read_place(f"redis://{HERE}:{place}") if isinstance(place, int) else place,
            codec=self.codec,
            clock=clock,
            wall=lambda: clock() + 1.7e9,
            dice=lambda: 0.5,
            report=lambda standing, why: self.reports.append((standing, why)),
            max_entry_bytes=65_536,
            prefix=prefix,
            operation_s=operation_s,
            connect_s=operation_s,
            connections=connections,
            ca_file=ca_file,
        )

    @property
    def standings(self) -> list[Standing]:
        return [standing for standing, _ in self.reports]

    async def sent(self, operations: int) -> None:
        """Return once Redis has been asked for so many in all, before it can have answered."""
        for _ in range(100):
            if self.tier.sent == operations:
                return
            await asyncio.sleep(0)
        raise AssertionError(self.tier.sent)

    async def until(self, standing: Standing, act: Callable[[], Awaitable[object]]) -> None:
        """Do ``act`` again and again, a probe's time apart, until the tier's standing is this."""
        async with asyncio.timeout(30):
            while self.tier.standing is not standing:
                self.clock.turn(1.25)
                try:
                    await act()
                except TierError:
                    await asyncio.sleep(0.005)  # a probe is under way, in real time


@asynccontextmanager
async def redis_tier(
    place: Place | int,
    clock: Clock | None = None,
    *,
    operation_s: float = PATIENT_S,
    prefix: str = "sidecache:",
    connections: int = 16,
    ca_file: str = "",
    start: bool = True,
) -> AsyncIterator[Scene]:
    """A tier at ``place``, or at the server on that port; closed when the block ends."""
    scene = Scene(
        place, clock or Clock(), operation_s=operation_s, prefix=prefix, connections=connections,
        ca_file=ca_file,
    )  # fmt: skip
    try:
        if start:
            await scene.tier.start()
        yield scene
    finally:
        await scene.tier.close()
