"""The index in Redis 8's vector sets: one set for each namespace, shared by all replicas.

A set is one key, so a namespace lives on one server of a cluster, and different ones spread. It is
forgotten as a whole when its last row is of no use any more; until then rows past their time are
passed over by what they say of themselves. They are dropped as Redis drops expired keys: with each
row that is added a few of the set are drawn, and those whose time is over go. With 8 draws a row,
an eighth of a set that is always in use is dead at most, on average.

Besides what ``proxy.tiers.l2_redis`` tells to allow, the user that the proxy logs in as needs::

    +vadd +vsim +vrem +vrandmember +vgetattr +pexpire
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import orjson

from proxy.link import vectors
from proxy.link.redis import Redis
from proxy.link.replies import NotAllowed
from proxy.link.vectors import Element
from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from proxy.semantic.base import Neighbour, Row
from proxy.semantic.index import wire_rows as kept

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

_EXPIRES: Final = "expires"
_DRAWS: Final = 8  # for each row that is added
_NOBODY: Final = bytes(16)  # a namespace that is as good as never in use
_MOST_KEEP_MS: Final = 2**53


class Quantization(StrEnum):
    """How exactly Redis keeps vectors."""

    Q8 = "Q8"  # a byte for each number; cosines are within about 0.01
    NONE = "NOQUANT"  # four bytes


class RedisVectors:
    """Vector sets, in a Redis that may be shared with answers.

    Args:
        redis: started and closed by whoever made it; its budgets hold here.
        wall: seconds since 1970.
        prefix: what all keys begin with; the deployments that share it share their rows.
        quantization: replicas with different ones do not see each other's rows.
    """

    name = "redis-vectors"

    def __init__(
        self,
        redis: Redis,
        *,
        wall: Callable[[], float],
        prefix: str = "sidecache:",
        quantization: Quantization = Quantization.Q8,
    ) -> None:
        self._redis = redis
        self._wall = wall
        self._prefix = prefix
        self._quantization = quantization
        self._base = ""  # of the keys of all sets, once it is open
        self._dimensions = 0

    async def open(self, fingerprint: str, dimensions: int) -> None:
        self._dimensions = dimensions
        kind = self._quantization.lower()
        self._base = f"{self._prefix}vs:{fingerprint}:{dimensions}:{kind}:"
        try:
            await self._nearest(self._key(_NOBODY), bytes(4 * dimensions), 1)
        except NotAllowed as refusal:
            raise TierError(f"vector sets need Redis 8, and leave to use them: {refusal}") from None

    async def search(self, namespace: bytes, vector: Vector, count: int) -> Sequence[Neighbour]:
        kept.fit(vector, self._dimensions)
        try:
            return [
                kept.near(kept.unpacked(name), score)
                for name, score in await self._nearest(self._key(namespace), _raw(vector), count)
            ]
        except ValueError as error:
            raise TierError(f"Redis gave what is no row: {error}") from error

    async def add(self, rows: Sequence[Row]) -> None:
        now = self._wall()
        sets: dict[bytes, list[Row]] = {}
        for row in kept.fitting(rows, self._dimensions):
            sets.setdefault(row.namespace, []).append(row)
        for namespace, members in sets.items():
            living = [row for row in members if row.expires > now]
            dead = [row.key for row in members if row.expires <= now]
            await self.remove(namespace, dead)
            if living:
                await self._add(self._key(namespace), living, now)

    async def remove(self, namespace: bytes, keys: Sequence[CacheKey]) -> None:
        key = self._key(namespace)
        names = [kept.packed(each) for each in keys]
        if names:
            await self._redis.write(
                key, lambda commands: vectors.drop(commands, key, names), rests=False
            )

    async def clear(self) -> None:
        """Forget all rows of this embedder. May take some seconds, and goes on if cancelled."""
        self._key(_NOBODY)
        await self._redis.sweep(self._base)

    async def close(self) -> None:
        """As every index's. The link is its maker's."""
        self._base = ""

    def _key(self, namespace: bytes) -> str:
        if not self._base:
            raise TierError("the index is not open")
        return self._base + namespace.hex()

    async def _nearest(self, key: str, vector: bytes, count: int) -> Sequence[vectors.Near]:
        alive = f".{_EXPIRES} > {self._wall():.3f}"
        return await self._redis.read(
            key, lambda commands: vectors.nearest(commands, key, vector, count, alive)
        )

    async def _add(self, key: str, rows: Sequence[Row], now: float) -> None:
        elements = [
            Element(kept.packed(row.key), _raw(row.vector), orjson.dumps({_EXPIRES: row.expires}))
            for row in rows
        ]
        keep_ms = int(min((max(row.expires for row in rows) - now) * 1000 + 1, _MOST_KEEP_MS))
        kind = self._quantization.value
        await self._redis.write(
            key, lambda commands: vectors.add(commands, key, elements, kind, keep_ms)
        )
        drawn = await self._redis.read(
            key, lambda commands: vectors.sample(commands, key, _DRAWS * len(rows))
        )
        dead = [name for name, attributes in drawn if _expires(attributes) <= now]
        if dead:
            await self._redis.write(
                key, lambda commands: vectors.drop(commands, key, dead), rests=False
            )


def _raw(vector: Vector) -> bytes:
    return vector.astype("<f4", copy=False).tobytes()


def _expires(attributes: bytes) -> float:
    """When a row is of no more use; long ago if it does not say."""
    try:
        told = orjson.loads(attributes)
    except orjson.JSONDecodeError:
        return 0.0
    when = told.get(_EXPIRES) if isinstance(told, dict) else None
    return float(when) if isinstance(when, int | float) else 0.0
