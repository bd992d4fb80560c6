"""Redis tiers over real servers, and what they reported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.link.place import NONE, Credentials, Place
from proxy.tiers.codec import Codec
from proxy.tiers.l2_redis import L2Redis
from support.cranked import Clock
from support.redis_links import HERE, PATIENT_S, Link

__all__ = ["HERE", "PATIENT_S", "Scene", "redis_tier"]


class Scene(Link):
    """A tier, and the way to its Redis."""

    def __init__(self, place: Place | int, clock: Clock | None, *, operation_s: float, prefix: str,
                 connections: int, credentials: Credentials) -> None:  # fmt: skip
        super().__init__(
            place, clock, operation_s=operation_s, prefix=prefix, connections=connections,
            credentials=credentials,
        )  # fmt: skip
        self.codec = Codec()
        self.tier = L2Redis(
            self.redis,
            codec=self.codec,
            clock=self.clock,
            wall=lambda: self.clock() + 1.7e9,
            max_entry_bytes=65_536,
            prefix=prefix,
        )


@asynccontextmanager
async def redis_tier(
    place: Place | int,
    clock: Clock | None = None,
    *,
    operation_s: float = PATIENT_S,
    prefix: str = "sidecache:",
    connections: int = 16,
    credentials: Credentials = NONE,
    start: bool = True,
) -> AsyncIterator[Scene]:
    """A tier at ``place``, or at the server on that port; closed when the block ends."""
    scene = Scene(
        place, clock, operation_s=operation_s, prefix=prefix, connections=connections,
        credentials=credentials,
    )  # fmt: skip
    try:
        if start:
            await scene.redis.start()
        yield scene
    finally:
        await scene.redis.close()
