"""The journal in Redis: a stream of purges that every replica reads as it grows.

The id of a record is the number of its purge, so Redis keeps the order, and refuses who tries to
write behind somebody he has not read yet. Numbers are milliseconds since 1970, or one more than the
last where that is more; nothing depends on clocks that agree.

Redis may lose the end of the stream (a failover) or all of it (a restart without persistence).
Replicas remember what they have read, and when they come back to a stream that does not have their
last record, they put right what can be:

1. The stream has only records that this replica knows: it lost its end, or is being put right by
   another. The missing ones are written again, under the numbers they had.
2. It has others in their place: two histories, of which nobody knows both. A purge of everything is
   written, which holds whatever either said.
3. It is empty and this replica knows nothing: it begins the journal, with a purge of everything.

Each replica says under a key of its own, about once a second, up to which number it has read. A key
outlives its replica by ten minutes, unless that ends in order: who cannot reach Redis may still be
serving, and must be named as one that has not obeyed. So Redis is told of those it has forgotten
with its journal, by whoever is back first and remembers them.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from proxy.link import command
from proxy.link.command import Command
from proxy.link.persist import persist
from proxy.link.redis import Redis
from proxy.link.replies import Records, TooLow
from proxy.model.errors import TierError
from proxy.model.purge import Kind, Purge
from proxy.purges.base import LARGEST, Absent, Learn, Note, next_number

T = TypeVar("T")

_MOST: Final = 10_000  # records kept; who has read none before that takes all older for purged
_PAGE: Final = 500  # records read at once: well within what an operation may take
_BEAT_S: Final = 1.0
_SILENT_S: Final = 3.0  # who was not heard of for so long is not waited for
_LOOK_AGAIN_S: Final = 0.005
_REMEMBERED_MS: Final = 600_000
_START_S: Final = 0.25  # for the first reading; it goes on in the background
_WRITE_S: Final = 5.0  # where others write at the same time
_TRIES: Final = 20  # to put right what others put right at the same time


class RedisJournal:
    """The journal of all replicas that share a Redis and a prefix. A ``proxy.purges.base.Journal``.

    Args:
        redis: started, and closed after this.
        prefix: what all keys begin with.
        place: where this replica is, for people: a host and a port. Another that starts there takes
            its place.
        wall: seconds since 1970.
        report: told of each change: None once the journal is read as it grows, else why it is not.
        most: records to keep.
        patience_s: how long ``absent`` waits for the others.
    """

    name = "redis"

    def __init__(
        self,
        redis: Redis,
        *,
        prefix: str,
        place: str,
        wall: Callable[[], float],
        report: Callable[[TierError | None], None],
        most: int = _MOST,
        patience_s: float = 2.0,
    ) -> None:
        self._redis = redis
        # One slot of a cluster for all, so that one connection can wait for them.
        self._stream = f"{prefix}{{fleet}}:journal"
        self._replicas = f"{prefix}{{fleet}}:replicas"
        self._place = place
        self._replica = f"{place}#{secrets.token_hex(4)}"
        self._wall = wall
        self._report = report
        self._most = most
        self._patience_s = patience_s
        self._learn: Learn = lambda _note: None
        self._read = 0  # the number of the last record that was learned
        self._known: deque[tuple[int, bytes]] = deque(maxlen=most)
        self._others: frozenset[bytes] = frozenset()  # replicas, when Redis was last asked
        self._writing = asyncio.Lock()  # among ourselves; other replicas are met in Redis
        self._in_touch = False
        self._caught_up = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None

    @property
    def in_touch(self) -> bool:
        """Whether what others purge is learned of at once."""
        return self._in_touch

    @property
    def replica(self) -> str:
        """What this replica is called here."""
        return self._replica

    async def start(self, learn: Learn) -> None:
        self._learn = learn
        following = persist(self._redis, self._follow, self._changed)
        self._follower = asyncio.create_task(following)  # noqa: TID251 - close() ends it
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                await self._caught_up.wait()

    async def close(self) -> None:
        follower, self._follower = self._follower, None
        if follower is None:
            return
        self._in_touch = False  # nothing is learned any more, so nothing can be written
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)
        with suppress(TierError):
            await self._forget(self._replica)

    async def append(self, purge: Purge) -> int:
        async with self._writing:
            # Of those who write at once one gets through each time, so all do; but in good time.
            until = asyncio.get_running_loop().time() + _WRITE_S
            while asyncio.get_running_loop().time() < until:
                if not self._in_touch:
                    raise TierError("the journal cannot be read at present")
                number = next_number(self._read, self._wall())
                with suppress(TooLow):
                    await self._write(number, _encode(purge, self._wall()))
                    await self._read_on()
                    return number
                await self._read_on()
        raise TierError("too many write at once")

    async def absent(self, number: int) -> Sequence[Absent]:
        if self._follower is None:
            raise TierError("the journal is closed")
        until = asyncio.get_running_loop().time() + self._patience_s
        while True:
            behind = [each async for each in self._behind(number)]
            if not self._in_touch:  # Redis may have forgotten who there is
                raise TierError("the journal cannot be read at present")
            late = asyncio.get_running_loop().time() >= until
            if late or all(each.silent_s > _SILENT_S for each in behind):
                return behind
            await asyncio.sleep(_LOOK_AGAIN_S)

    # -- reading ------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Read what is written, until that fails. Raises TierError."""
        await self._say_obeyed()  # first, so that nobody overlooks who is about to read
        await self._put_right()
        self._changed(None)
        self._caught_up.set()
        while True:
            await self._say_obeyed()
            await self._look_around()
            found = await self._redis.wait([(self._stream, f"{self._read}-0")], _BEAT_S, _PAGE)
            for _, records in found:
                if len(records) == _PAGE:  # so far behind, some may be gone already
                    await self._put_right()
                self._take(records)
            if not found:  # a failover may go unnoticed, where the library hides it
                await self._put_right()

    async def _read_on(self) -> None:
        """Learn what has been written since."""
        while True:
            records = await self._page(self._read)
            self._take(records)
            if len(records) < _PAGE:
                return

    def _take(self, records: Records) -> None:
        """Learn of records, in their order; those that are known already are passed over."""
        for number, said in map(_said, records):
            if number > self._read:
                self._remember(number, said, _decode(number, said, self._wall()))

    def _remember(self, number: int, said: bytes, note: Note) -> None:
        """Learn of a record. Only then is it known: what failed on the way is learned again."""
        self._learn(note)
        self._read = number
        self._known.append((number, said))

    async def _page(self, after: int) -> Records:
        return await self._redis.read(
            self._stream, lambda commands: commands.entries(self._stream, f"{after}-0", _PAGE)
        )

    async def _write(self, number: int, said: bytes) -> None:
        record = {b"purge": said}
        await self._change(command.append(self._stream, f"{number}-0", record, most=self._most))

    async def _change(self, change: Command[T]) -> None:
        # Tried even while writes rest: somebody waits to be told that a purge holds everywhere.
        await self._redis.ask(change, rests=False)

    # -- putting it right ---------------------------------------------------------------------

    async def _put_right(self) -> None:
        """See that the stream and what this replica knows are one history, and read on."""
        for _ in range(_TRIES):
            with suppress(TooLow):  # somebody else was quicker; look again
                if await self._agrees():
                    await self._read_on()
                    return
        raise TierError("the journal changes faster than it can be read")

    async def _agrees(self) -> bool:
        """Whether all that is known is in the stream; else something was done about it."""
        last = await self._page(self._read - 1) if self._read else []
        if last and _said(last[0]) == self._known[-1]:
            return True
        await self._recall()
        stream = await self._all()
        if not self._known:
            if not stream:
                await self._write(
                    next_number(0, self._wall()), _encode(Purge(Kind.ALL), self._wall())
                )
                return False
            number, said = stream[0]  # what was before it is all purged
            self._remember(number, said, Note(number, Purge(Kind.ALL), self._wall()))
            return True
        known = dict(self._known)
        oldest = self._known[0][0]
        strange = [n for n, said in stream if n >= oldest and known.get(n) != said]
        top = stream[-1][0] if stream else 0
        if not strange:
            for number, said in tuple(self._known):
                if number > top:
                    await self._write(number, said)
            return False
        number = next_number(max(top, self._read), self._wall())
        said = _encode(Purge(Kind.ALL), self._wall())
        await self._write(number, said)
        self._remember(number, said, _decode(number, said, self._wall()))
        self._known = deque(((number, said),), self._most)
        return True

    async def _all(self) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        while True:
            records = await self._page(found[-1][0] if found else 0)
            found += map(_said, records)
            if len(records) < _PAGE:
                return found

    # -- who obeys ----------------------------------------------------------------------------

    async def _say_obeyed(self) -> None:
        """Say up to where this replica has read; it is read on, whether it can be said or not."""
        replica, said = self._replica.encode(), b"%d" % self._read
        with suppress(TierError):
            await self._change(command.put(self._key(replica), said, _REMEMBERED_MS))
            await self._change(command.add_member(self._replicas, replica))

    async def _look_around(self) -> None:
        """Remember which replicas there are, should Redis forget it."""
        with suppress(TierError):
            self._others = await self._members() - {self._own}

    async def _recall(self) -> None:
        """Tell Redis of the replicas it may have forgotten: they may serve, and not be back yet."""
        for name in self._others:
            await self._vouch(self._key(name), name)

    async def _vouch(self, key: str, replica: bytes) -> None:
        await self._change(command.claim(key, b"0", _REMEMBERED_MS))
        await self._change(command.add_member(self._replicas, replica))

    async def _members(self) -> frozenset[bytes]:
        return await self._redis.read(
            self._stream, lambda commands: commands.members(self._replicas)
        )

    async def _behind(self, number: int) -> AsyncIterator[Absent]:
        """Those who have not said that they have read so far; ghosts are laid."""
        others = [(name, await self._heard(name)) for name in await self._members() - {self._own}]
        alive = {_place(name) for name, (_, silent_s) in others if silent_s <= _SILENT_S}
        alive.add(self._place)
        for name, (read, silent_s) in others:
            if silent_s > _SILENT_S and (read is None or _place(name) in alive):
                await self._forget(name.decode(errors="replace"))
            elif read is None or read < number:
                yield Absent(_place(name), silent_s)

    async def _heard(self, replica: bytes) -> tuple[int | None, float]:
        """Up to where a replica said it has read, and how many seconds ago."""
        key = self._key(replica)
        said = await self._redis.ask(command.get(key))
        left_ms = await self._redis.ask(command.left_ms(key))
        if said is None or left_ms is None or not said.isdigit():
            return None, _REMEMBERED_MS / 1000
        return int(said), max(0.0, (_REMEMBERED_MS - left_ms) / 1000)

    async def _forget(self, replica: str) -> None:
        name = replica.encode()
        await self._change(command.drop_member(self._replicas, name))
        await self._change(command.unlink(self._key(name)))

    @property
    def _own(self) -> bytes:
        return self._replica.encode()

    def _key(self, replica: bytes) -> str:
        return f"{self._replicas}:{replica.decode(errors='replace')}"

    def _changed(self, trouble: TierError | None) -> None:
        in_touch = trouble is None
        if in_touch != self._in_touch or not self._caught_up.is_set():
            self._in_touch = in_touch
            self._report(trouble)


def _place(replica: bytes) -> str:
    return replica.rpartition(b"#")[0].decode(errors="replace")


def _said(record: tuple[bytes, dict[bytes, bytes]]) -> tuple[int, bytes]:
    """The number of a record, and what it says. Raises TierError if no replica wrote it."""
    record_id, fields = record
    digits, _, rest = record_id.partition(b"-")
    if not digits.isdigit() or rest != b"0" or int(digits) > LARGEST:
        raise TierError("the journal holds something else")
    return int(digits), fields.get(b"purge", b"")


def _encode(purge: Purge, wall: float) -> bytes:
    # Two histories are told apart by the last: no two records say the same. Not orjson, which
    # refuses what a path may hold.
    return json.dumps([*purge, wall, secrets.token_hex(8)]).encode()


def _decode(number: int, said: bytes, wall: float) -> Note:
    """What a record says; what cannot be understood may be about anything."""
    try:
        kind, value, soft, when, *_ = json.loads(said)
        return Note(number, Purge(Kind(kind), str(value), soft is True), float(when))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return Note(number, Purge(Kind.ALL), wall)
