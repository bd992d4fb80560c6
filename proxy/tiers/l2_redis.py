"""The shared tier: entries in Redis or Valkey, where every replica of the proxy finds them.

How Redis is spoken to, and how little its troubles cost, stands in ``proxy.link.redis``.

Nothing that is read is trusted: it is bytes, and the codec says whether it is the entry asked for.

The user that the proxy logs in as needs no more than this for the tier (and the default prefix)::

    ACL SETUSER sidecache on >PASSWORD ~sidecache:* resetchannels -@all +get +set +unlink +scan

and on a cluster ``+cluster|slots +command +asking``, and ``+select`` for a database other than 0.
What others ask over the same connections needs more, see ``proxy.link.commands``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from proxy.link import command
from proxy.link.redis import Redis
from proxy.model.entry import CacheKey, Entry
from proxy.tiers.browsing import Fits, Page, Seen
from proxy.tiers.codec import Codec, opened

_LEAST, _MOST, _STEP = 10, 100, 1000  # keys in a step of a listing; where few are wanted of them
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_KEEP_MS = 2**53  # some 285,000 years; Redis refuses what overflows its clock


class L2Redis:
    """The Redis tier. Counters are plain integers that only grow.

    Args:
        redis: where entries are kept; started and closed by whoever made it.
        codec: makes bytes of entries, and entries of bytes; this tier's own.
        clock: seconds on the monotonic clock that ``Entry.stored_at`` was read from.
        wall: seconds since 1970.
        max_entry_bytes: a larger entry is declined (see ``Entry.size``).
        prefix: what all keys begin with; the deployments that share it share their entries.
    """

    name = "l2_redis"

    def __init__(
        self,
        redis: Redis,
        *,
        codec: Codec,
        clock: Callable[[], float],
        wall: Callable[[], float],
        max_entry_bytes: int,
        prefix: str = "sidecache:",
    ) -> None:
        self._redis = redis
        self._codec = codec
        self._clock = clock
        self._wall = wall
        self.max_entry_bytes = max_entry_bytes
        self._prefix = prefix
        self.hits = 0
        self.misses = 0
        self.unreadable = 0  # of these: something was there, but not a living entry of this key
        self.declined = 0  # too large, or dead on arrival

    async def get(self, key: CacheKey) -> Entry | None:
        blob = await self._redis.ask(command.get(self._name(key)))
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

    async def peek(self, digest: bytes) -> Seen | None:
        blob = await self._redis.ask(command.get(self._prefix + digest.hex()))
        if blob is None:
            return None
        entry = opened(self._codec, digest, blob, self._clock(), self._wall())
        return None if entry is None else Seen(entry)

    async def page(self, after: str, prefix: str, fits: Fits, most: int) -> Page:
        """As that of an open tier: one step of a SCAN, which may tell of an entry twice."""
        server, _, at = after.partition(".")
        begins, count = self._prefix + prefix, _STEP if prefix else max(_LEAST, min(most, _MOST))
        names, cursor = await self._redis.read(
            self._prefix,
            lambda commands: commands.scan(begins, int(server or 0), int(at or 0), count),
        )
        digests = [name.removeprefix(self._prefix) for name in dict.fromkeys(names)]
        seen = [
            each
            for digest in digests
            if _DIGEST.fullmatch(digest)
            and (each := await self.peek(bytes.fromhex(digest))) is not None
            and fits(each.entry)
        ]
        return Page(seen, None if cursor is None else "{}.{}".format(*cursor), len(digests))

    async def put(self, entry: Entry) -> bool:
        """As every tier's. A put that was too slow may yet be stored: it was not cut short."""
        now = self._clock()
        keep_ms = int(min((entry.lifetime.keep - entry.age(now)) * 1000, _MOST_KEEP_MS))
        blob = None
        if keep_ms > 0 and entry.size <= self.max_entry_bytes:
            with suppress(ValueError):
                blob = self._codec.encode(entry, now, self._wall())
        if blob is None:
            self.declined += 1
            await self.delete(entry.key)
            return False
        stored = command.put(self._name(entry.key), blob, keep_ms)
        await self._redis.ask(stored, rides=True)  # puts are made behind: no client waits
        return True

    async def delete(self, key: CacheKey) -> None:
        await self._redis.ask(command.unlink(self._name(key)), rests=False)

    async def clear(self) -> None:
        """As every tier's. May take some seconds, and goes on if its caller is cancelled."""
        await self._redis.sweep(self._prefix)

    def _name(self, key: CacheKey) -> str:
        return self._prefix + key.digest.hex()  # which covers the scope
