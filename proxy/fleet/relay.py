"""The relay: replicas that can meet ask once, and all hear it as it comes.

Before a flight asks, it tries to take a lock on its question. Whoever gets it leads: asks, and lets
go of the lock at the end. Whoever finds it taken writes to the replica that has it, and follows:
hears the answer live, as one who sits on that replica's own flight.

Rules

1. Nothing here is needed. Whatever fails, a flight asks for itself; with the post away it does not
   even try. A lock only saves calls.
2. A leader tells nobody anything before somebody asks. A flight that nobody follows costs a lock,
   taken and let go.
3. A leader answers at once that it is there, and says so again while there is nothing to tell. Who
   does not is dead: its lock is taken over. So is that of a leader whose flight is of no use: too
   old for a purge, too long, or begun where only a new answer will do.
4. Before the first byte of the body nothing is lost by that. After it, a leader that falls silent,
   or a letter that is lost or damaged, breaks the answer off here; it never ends it.
5. A lock is let go only when the answer is where others find it, and a moment later, for those who
   had just looked there in vain: they are told to look again. Where there is no such place, it is
   let go at once, and nobody is told to look.

Where replicas meet is another's: in Redis (``post_redis``, ``locks_redis``), or, those of one host,
in a directory (``post_socket``, ``locks_file``).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from proxy.fleet.base import Holder, Locks, Post, lock_name
from proxy.fleet.chores import Chores
from proxy.fleet.content import Wish, wish_as_bytes
from proxy.fleet.counts import Counts
from proxy.fleet.follower import Following
from proxy.fleet.leader import Leader
from proxy.fleet.letter import NAME_BYTES, Kind, Sealing, read_letter
from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from proxy.model.meeting import Admit, Alone, Joined, Meeting, Sought

_TRIES: Final = 3  # leaders that turn out to be of no use, before a flight asks for itself
_CLOSE_S: Final = 0.25  # for those who follow to be told that it is over, and to let go of locks


class Relay:
    """The other replicas. A ``proxy.model.meeting.Fleet``.

    ``start`` it before the first flight, and ``close`` it after the last.

    Args:
        post: the way to them; started and closed by this.
        locks: what says which of them asks; closed by this.
        secret: what the replicas share, and nobody else who can write to a mailbox.
        keys: as ``Sealing`` has them.
        stored: waits until an entry is where other replicas find it, or never will be; None: there
            is no such place.
        clock: seconds, monotonic.
        bug: told of an exception that no rule foresees.
        answer_s: for a leader to say that it is there.
        silent_s: a leader who says nothing for so long is dead.
        beat_s: how often a leader says that there is nothing new.
        linger_s: see ``Leader``.

    Raises:
        ImportError: as ``Sealing``.
    """

    def __init__(
        self,
        post: Post,
        locks: Locks,
        *,
        secret: bytes,
        keys: Mapping[int, bytes] | None = None,
        stored: Callable[[CacheKey], Awaitable[None]] | None,
        clock: Callable[[], float],
        bug: Callable[[BaseException], None],
        answer_s: float = 0.25,
        silent_s: float = 3.0,
        beat_s: float = 1.0,
        linger_s: float = 1.0,
    ) -> None:
        self.counts = Counts()
        self.post = post
        self._locks = locks
        self._sealing = Sealing(secret, keys)
        self._chores = Chores(bug)
        self._leader = Leader(
            self.post,
            self._locks,
            self._sealing,
            self._chores,
            self.counts,
            stored=stored,
            clock=clock,
            beat_s=beat_s,
            linger_s=linger_s,
        )
        self._answer_s = answer_s
        self._silent_s = silent_s
        self._followed: dict[bytes, Following] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Be there for other replicas. Raises nothing."""
        await self.post.start(self)
        self._renewing = self._chores.begin(self._leader.keep_renewing())

    async def close(self) -> None:
        """Tell those who follow that it is over, and be there no more. Raises nothing."""
        if self._renewing is not None:
            self._renewing.cancel()
        await self._chores.close(_CLOSE_S)
        await self.post.close()
        self._locks.close()

    async def meet(self, sought: Sought, admit: Admit) -> Meeting:
        # Who has just waited in vain for an entry does not wait again for a lock.
        if self.post.is_open and not self._locks.doubtful:
            name = lock_name(sought.key, sought.form)
            with suppress(TierError):
                for _ in range(_TRIES):
                    leading = await self._leader.claim(name, sought, admit)
                    if leading is not None:
                        return leading
                    holder = await self._locks.holder(name)
                    if holder is None:
                        continue  # let go in between
                    if (met := await self._follow(sought, holder)) is not None:
                        return met
                    self.counts.taken_over += 1
                    await self._locks.leave(name, holder)
        self.counts.alone += 1
        return Alone()

    async def _follow(self, sought: Sought, holder: Holder) -> Meeting | None:
        """What comes of the flight that another replica leads; None if it is of no use."""
        if holder.replica == self.post.owner:  # newer than one's own, or it would have joined that
            self._leader.disown(holder.flight)
            return None
        follower = secrets.token_bytes(NAME_BYTES)
        following = Following(
            holder.replica,
            self._sealing.between(holder.flight, follower, sought.key),
            self.counts,
            silent_s=self._silent_s,
            ended=partial(self._ended, holder, follower),
        )
        self._followed[follower] = following
        wish = Wish(self.post.owner, sought.key, sought.generation, sought.fresh)
        met: Meeting | None = None
        try:
            if await self._write(holder, follower, Kind.WANT, 0, wish_as_bytes(wish)):
                met = await following.meet(self._answer_s)
            return met
        finally:
            if not isinstance(met, Joined):  # else whoever hears it closes it
                following.close()

    def _ended(self, holder: Holder, follower: bytes, untold: bool) -> None:  # noqa: FBT001 - as ``Following`` has it
        del self._followed[follower]
        if untold:
            _ = self._chores.begin(self._take_leave(holder, follower))

    async def _take_leave(self, holder: Holder, follower: bytes) -> None:
        with suppress(TierError):  # it will notice when the answer is over
            await self._write(holder, follower, Kind.LEAVE, 1)

    async def _write(
        self, holder: Holder, follower: bytes, kind: Kind, number: int, content: bytes = b""
    ) -> bool:
        """Write to a leader; False if it is no more. Raises TierError."""
        conversation = self._sealing.between(holder.flight, follower, None)
        return await self.post.send(holder.replica, conversation.write(kind, number, content))

    # -- the mailbox --------------------------------------------------------------------------

    def receive(self, letter: bytes) -> None:
        read = read_letter(letter)
        if read is None:
            return
        if read.kind in {Kind.WANT, Kind.LEAVE}:
            self._leader.receive(read)
        elif (following := self._followed.get(read.follower)) is not None:
            following.receive(read)

    def cut_off(self) -> None:
        for following in tuple(self._followed.values()):
            following.cut_off()

    def lost(self, replica: str) -> None:
        for following in tuple(self._followed.values()):
            if following.leader == replica:
                following.lost()
