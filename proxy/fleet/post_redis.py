"""The post in Redis: a mailbox for each replica, which all may write to and its owner reads.

A mailbox is a stream. Only its owner makes it, and renews it while he lives; nobody else's letter
makes one, so that what is sent to the dead is not kept. Letters are read as they come, by a command
that waits for them in Redis, and are dropped once they were read. A mailbox that nobody reads is
bounded by the number of its letters, and gone some seconds later.

Letters may be lost: with Redis, or when too many are unread. Who needs to know numbers them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from proxy.fleet.base import Reader, owner
from proxy.link import command
from proxy.link.persist import persist
from proxy.link.redis import Redis, Standing
from proxy.model.errors import TierError

_MOST: Final = 10_000  # letters unread; a busy replica gets some thousands in a second
_BATCH: Final = 200  # letters read at once
_KEEP_S: Final = 10.0  # how long a mailbox outlives its owner
_RENEW_S: Final = 1.0  # how often it is renewed, and emptied of what was read
_LETTER: Final = b"letter"


class RedisPost:
    """A ``proxy.fleet.base.Post`` of all replicas that share a Redis and a prefix.

    ``start`` it, and ``close`` it in the end.

    Args:
        redis: started, and closed after this.
        prefix: what all keys begin with.
        clock: seconds, monotonic.
        report: told of each change: None when the mailbox can be read, else why it cannot.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        prefix: str,
        clock: Callable[[], float],
        report: Callable[[TierError | None], None],
    ) -> None:
        self._redis = redis
        self._prefix = f"{prefix}{{fleet}}:post:"
        self._clock = clock
        self._report = report
        self._read_to = "0"  # the id of the last letter that was read
        self._renewed_at = 0.0
        self._open = False
        self._told = False  # of being shut
        self._task: asyncio.Task[None] | None = None
        self.owner = owner()
        self.sent = 0
        self.sent_bytes = 0
        self.received = 0

    @property
    def is_open(self) -> bool:
        return self._open and self._redis.standing is Standing.ON

    async def start(self, reader: Reader) -> None:
        opened = asyncio.Event()
        # Ended by close(): it reads as long as the proxy runs.
        self._task = asyncio.create_task(self._keep_reading(reader, opened))  # noqa: TID251
        await opened.wait()

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._open = False
        own = self._prefix + self.owner
        with suppress(TierError):
            await self._redis.ask(command.unlink(own), rests=False)

    async def send(self, to: str, letter: bytes) -> bool:
        name = self._prefix + to
        put = await self._redis.ask(
            command.append(name, "*", {_LETTER: letter}, most=_MOST, only_if_there=True)
        )
        self.sent += 1
        self.sent_bytes += len(letter)
        return put is not None

    async def _keep_reading(self, reader: Reader, opened: asyncio.Event) -> None:
        async def read_on() -> None:
            await self._renew()
            self._changed(None)
            opened.set()
            while True:
                await self._read(reader)
                if self._clock() - self._renewed_at >= _RENEW_S:
                    with suppress(TierError):  # it can wait; what is read does not depend on it
                        await self._renew()

        def shut(trouble: TierError) -> None:
            self._changed(trouble)
            opened.set()
            reader.cut_off()

        await persist(self._redis, read_on, shut)

    async def _read(self, reader: Reader) -> None:
        own = self._prefix + self.owner
        for _, letters in await self._redis.wait([(own, self._read_to)], _RENEW_S, _BATCH):
            for letter_id, fields in letters:
                self._read_to = letter_id.decode()
                self.received += 1
                reader.receive(fields.get(_LETTER, b""))

    async def _renew(self) -> None:
        """Keep the mailbox a while longer, without what was read; make it if it is not there."""
        own, keep_ms = self._prefix + self.owner, int(_KEEP_S * 1000)
        self._renewed_at = self._clock()
        there = await self._redis.ask(command.expire(own, keep_ms), rests=False)
        if there:
            await self._redis.ask(command.trim(own, self._read_to), rests=False)
            return
        made = await self._redis.ask(command.append(own, "*", {_LETTER: b""}))
        # Ids are times of Redis's own clock, which may be another's since the last mailbox.
        self._read_to = made.decode() if made is not None else "0"
        await self._redis.ask(command.expire(own, keep_ms), rests=False)

    def _changed(self, trouble: TierError | None) -> None:
        is_open = trouble is None
        if is_open != self._open or not (is_open or self._told):
            self._open = is_open
            self._told = True
            self._report(trouble)
