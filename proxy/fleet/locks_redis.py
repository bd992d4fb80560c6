"""Locks in Redis: a key for a question in one form, whose value names the replica and its flight.

Nothing here is atomic that need not be. A lock is gone after its lease unless it is renewed, and a
dead replica's is taken over sooner by whoever gets no answer from it.
"""

from __future__ import annotations

from proxy.fleet.base import Holder
from proxy.fleet.letter import NAME_BYTES
from proxy.link import command
from proxy.link.redis import Redis


class RedisLocks:
    """The locks of all replicas that share a Redis and a prefix."""

    def __init__(self, redis: Redis, prefix: str, lease_s: float = 5.0) -> None:
        self.lease_s = lease_s
        self._redis = redis
        self._prefix = f"{prefix}{{fleet}}:flight:"

    @property
    def doubtful(self) -> bool:
        return self._redis.doubtful

    def close(self) -> None:
        pass  # Redis is another's

    async def claim(self, name: bytes, holder: Holder) -> bool:
        lease_ms = int(self.lease_s * 1000)
        return await self._redis.ask(command.claim(self.key(name), _value(holder), lease_ms))

    async def holder(self, name: bytes) -> Holder | None:
        value = await self._redis.ask(command.get(self.key(name)))
        return None if value is None else _holder(value)

    async def renew(self, name: bytes, holder: Holder) -> bool:
        return await self.leave(name, holder, self.lease_s) or await self.claim(name, holder)

    async def leave(
        self, name: bytes, holder: Holder, linger_s: float = 0.0, *, sure: bool = False
    ) -> bool:
        if not sure and await self.holder(name) != holder:
            return False
        key, linger_ms = self.key(name), int(linger_s * 1000)
        if linger_ms:
            await self._redis.ask(command.expire(key, linger_ms), rests=False, rides=True)
        else:
            await self._redis.ask(command.unlink(key), rests=False)
        return True

    def key(self, name: bytes) -> str:
        """The key of a lock in Redis."""
        return f"{self._prefix}{name[:-1].hex()}:{name[-1]}"


def _value(holder: Holder) -> bytes:
    return f"{holder.replica}:{holder.flight.hex()}".encode()


def _holder(value: bytes) -> Holder | None:
    replica, _, name = value.decode("utf-8", "replace").rpartition(":")
    try:
        flight = bytes.fromhex(name)
    except ValueError:
        return None
    return Holder(replica, flight) if replica and len(flight) == NAME_BYTES else None
