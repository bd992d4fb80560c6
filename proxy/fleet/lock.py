"""Locks: which replica asks, so that others need not.

A lock saves calls; it never decides what is right. So nothing here is atomic that need not be: two
who hold one for a moment cost one call more.

A lock is a key in Redis for a question in one form. Its value names the replica and its flight. It
is gone after its lease unless it is renewed, and a dead replica's is taken over sooner by whoever
gets no answer from it.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.fleet.letter import NAME_BYTES
from proxy.link.redis import Redis
from proxy.model.entry import CacheKey
from proxy.model.query import Form


class Holder(NamedTuple):
    """What is in a lock."""

    replica: str
    flight: bytes


class Locks:
    """The locks of all replicas that share a Redis and a prefix. What asks raises TierError."""

    def __init__(self, redis: Redis, prefix: str, lease_s: float) -> None:
        self.lease_s = lease_s
        self._redis = redis
        self._prefix = f"{prefix}{{fleet}}:flight:"

    def name(self, key: CacheKey, form: Form) -> str:
        """The lock of a question; its digest covers the scope."""
        return f"{self._prefix}{key.digest.hex()}:{form.stream + 2 * form.usage}"

    async def claim(self, name: str, holder: Holder) -> bool:
        """Take a lock that nobody has; whether that was done."""
        value, lease_ms = _value(holder), int(self.lease_s * 1000)
        return await self._redis.write(name, lambda commands: commands.claim(name, value, lease_ms))

    async def holder(self, name: str) -> Holder | None:
        """Who has a lock; None if nobody has, or nobody that could be asked."""
        value = await self._redis.read(name, lambda commands: commands.get(name))
        return None if value is None else _holder(value)

    async def renew(self, name: str, holder: Holder) -> bool:
        """Go on having a lock; False if it is another's."""
        return await self.leave(name, holder, self.lease_s) or await self.claim(name, holder)

    async def leave(self, name: str, holder: Holder, linger_s: float = 0.0) -> bool:
        """Let a lock go, now or after a while; False if it is another's."""
        if await self.holder(name) != holder:
            return False
        await self.drop(name, linger_s)
        return True

    async def drop(self, name: str, linger_s: float = 0.0) -> None:
        """As ``leave``, where nobody else can have it."""
        if linger_s:
            linger_ms = int(linger_s * 1000)
            await self._redis.write(
                name, lambda commands: commands.expire(name, linger_ms), rests=False
            )
        else:
            await self._redis.write(name, lambda commands: commands.unlink(name), rests=False)


def _value(holder: Holder) -> bytes:
    return f"{holder.replica}:{holder.flight.hex()}".encode()


def _holder(value: bytes) -> Holder | None:
    replica, _, name = value.decode("utf-8", "replace").rpartition(":")
    try:
        flight = bytes.fromhex(name)
    except ValueError:
        return None
    return Holder(replica, flight) if replica and len(flight) == NAME_BYTES else None
