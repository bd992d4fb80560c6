"""Where replicas can meet: a Redis, or a directory of one host."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Protocol

import pytest

from proxy.fleet.locks_file import _BUCKET_BYTES, _SLOT
from proxy.link.place import Place
from support.redis_servers import Server, needs_redis, server

GROUNDS = [pytest.param("redis", marks=needs_redis), "directory"]
"""For tests that are to hold wherever replicas meet; see ``ground``."""


class Ground(Protocol):
    """One such place."""

    @property
    def place(self) -> Place | int | Path:
        """For ``support.replicas.replica``."""
        ...

    async def locks(self) -> int:
        """How many locks are held there."""
        ...


class InRedis:
    """A Redis of its own."""

    def __init__(self, redis: Server) -> None:
        self.redis = redis
        self.place = redis.port

    async def locks(self) -> int:
        return len((await self.redis.say("KEYS", "sidecache:{fleet}:flight:*")).split())


class InDirectory:
    """A directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.place = directory

    async def locks(self) -> int:
        table = (self.place / "locks").read_bytes()
        return sum(
            _held(table[at : at + _BUCKET_BYTES]) for at in range(0, len(table), _BUCKET_BYTES)
        )


def _held(bucket: bytes) -> int:
    slots = _SLOT.iter_unpack(bucket.ljust(_BUCKET_BYTES, b"\0")) if any(bucket) else ()
    return sum(ends_at > monotonic() for _, _, _, ends_at in slots)


@asynccontextmanager
async def ground(kind: str) -> AsyncIterator[Ground]:
    """One of ``GROUNDS``, as long as the block lasts."""
    if kind == "redis":
        async with server() as redis:
            yield InRedis(redis)
    else:
        # The path of a socket must be short.
        with tempfile.TemporaryDirectory(prefix="fleet-") as directory:
            yield InDirectory(Path(directory))
