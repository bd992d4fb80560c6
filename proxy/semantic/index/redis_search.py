"""The index in Redis's Query Engine or Valkey Search: one over hashes, shared by all replicas.

A row is a hash whose key says all that there is to know of it, with the namespace as a tag that the
engine filters by. Redis forgets each by itself when its time is over. The engine spreads an index
over a cluster.

Besides what ``proxy.tiers.l2_redis`` tells to allow, the user that the proxy logs in as needs::

    +ft.create +ft.search +hset +pexpire
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from proxy.link import vectors
from proxy.link.redis import Redis
from proxy.link.replies import NotAllowed
from proxy.link.vectors import Gone, Hash
from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from proxy.semantic.base import Neighbour, Row
from proxy.semantic.index import wire_rows as kept

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

_MOST_KEEP_MS: Final = 2**53


class RedisSearch:
    """An index over hashes, in a Redis or Valkey that may be shared with answers.

    Args:
        redis: started and closed by whoever made it; its budgets hold here.
        wall: seconds since 1970.
        prefix: what all keys begin with; the deployments that share it share their rows.
    """

    name = "redis-search"

    def __init__(
        self, redis: Redis, *, wall: Callable[[], float], prefix: str = "sidecache:"
    ) -> None:
        self._redis = redis
        self._wall = wall
        self._prefix = prefix
        self._base = ""  # of all keys, and the index's name, once it is open
        self._dimensions = 0
        self._made = False

    async def open(self, fingerprint: str, dimensions: int) -> None:
        self._dimensions = dimensions
        self._base = f"{self._prefix}vx:{fingerprint}:{dimensions}:"
        self._made = False
        await self._make()

    async def search(self, namespace: bytes, vector: Vector, count: int) -> Sequence[Neighbour]:
        kept.fit(vector, self._dimensions)
        await self._make()
        index, raw = self._base, vector.astype("<f4", copy=False).tobytes()
        try:
            found = await self._redis.read(
                index,
                lambda commands: vectors.find(commands, index, namespace.hex(), raw, count),
            )
        except Gone:
            self._made = False  # the next one makes it anew
            raise
        try:
            return [kept.near(self._key(name), score) for name, score in found]
        except ValueError as error:
            raise TierError(f"Redis gave what is no row: {error}") from error

    async def add(self, rows: Sequence[Row]) -> None:
        now = self._wall()
        fitting = kept.fitting(rows, self._dimensions)
        await self._make()
        hashes = [
            Hash(
                self._name(row.namespace, row.key),
                row.namespace.hex(),
                row.vector.astype("<f4", copy=False).tobytes(),
                int(min((row.expires - now) * 1000 + 1, _MOST_KEEP_MS)),
            )
            for row in fitting
            if row.expires > now
        ]
        await self._forget(
            [self._name(row.namespace, row.key) for row in fitting if row.expires <= now]
        )
        if hashes:
            await self._redis.write(hashes[0].key, lambda commands: vectors.put(commands, hashes))

    async def remove(self, namespace: bytes, keys: Sequence[CacheKey]) -> None:
        await self._forget([self._name(namespace, key) for key in keys])

    async def clear(self) -> None:
        """Forget all rows of this embedder. May take some seconds, and goes on if cancelled."""
        self._opened()
        await self._redis.sweep(self._base)

    async def close(self) -> None:
        """As every index's. The link is its maker's."""
        self._base = ""

    async def _forget(self, names: Sequence[str]) -> None:
        if names:
            await self._redis.write(
                names[0], lambda commands: vectors.forget(commands, names), rests=False
            )

    async def _make(self) -> None:
        """Make the index, unless it is known to be there."""
        base = self._opened()
        if self._made:
            return
        dimensions = self._dimensions
        try:
            await self._redis.write(
                base, lambda commands: vectors.create(commands, base, base, dimensions)
            )
        except NotAllowed as refusal:
            raise TierError(
                "an index needs Redis's Query Engine or Valkey Search, and leave to use it:"
                f" {refusal}"
            ) from None
        self._made = True

    def _opened(self) -> str:
        if not self._base:
            raise TierError("the index is not open")
        return self._base

    def _name(self, namespace: bytes, key: CacheKey) -> str:
        return f"{self._opened()}{namespace.hex()}:{key.digest.hex()}:{key.scope}"

    def _key(self, name: bytes) -> CacheKey:
        """The key that a hash's name tells. Raises ValueError if it tells none."""
        base = self._base.encode()
        if not name.startswith(base):
            raise ValueError("a hash of something else")
        _, digest, scope = name[len(base) :].split(b":", 2)
        return kept.made(scope, bytes.fromhex(digest.decode()))
