"""The flights that this replica leads, and what other replicas are told of them.

Nobody is told anything until he asks: then a guest takes a seat on the flight, and what he hears is
sent to the replica that asked, at the pace at which the post takes it. What comes meanwhile gathers
in the flight's log and goes as one letter. The flight's own passengers never wait for any of this.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar, assert_never

from proxy.fleet.base import Holder, Locks, Post
from proxy.fleet.chores import Chores
from proxy.fleet.content import Wish, failure_as_bytes, head_as_bytes, read_wish
from proxy.fleet.counts import Counts
from proxy.fleet.letter import NAME_BYTES, Conversation, Kind, Letter, Sealing
from proxy.ledger import SHARED
from proxy.model.entry import CacheKey
from proxy.model.errors import TierError, UpstreamError
from proxy.model.meeting import Admit, Begun, GivenUp, Guest, Leading, Sought, Stored

_T = TypeVar("_T")

_PAUSES_S: Final = (0.0, 0.05, 0.25, 1.0)  # together shorter than anybody waits for a letter
_WRITING_S: Final = 1.0  # for an entry to be where other replicas find it
_PIECE_BYTES: Final = 256 * 1024  # in one letter


class Leader:
    """All flights that this replica leads, and their guests.

    Args:
        stored: waits until an entry is where other replicas find it, or never will be; None: there
            is no such place.
        clock: seconds, monotonic.
        beat_s: how often a guest hears that there is nothing new.
        linger_s: how long a lock outlives the storing of an answer, for those who had looked for
            it in vain just before that.
    """

    def __init__(
        self,
        post: Post,
        locks: Locks,
        sealing: Sealing,
        chores: Chores,
        counts: Counts,
        *,
        stored: Callable[[CacheKey], Awaitable[None]] | None,
        clock: Callable[[], float],
        beat_s: float,
        linger_s: float,
    ) -> None:
        self._post = post
        self._locks = locks
        self._sealing = sealing
        self._chores = chores
        self._counts = counts
        self._stored = stored
        self._clock = clock
        self._beat_s = beat_s
        self._linger_s = linger_s
        self._renew_s = locks.lease_s / 3
        self._led: dict[bytes, _Led] = {}
        self._guests: dict[bytes, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._led)

    async def claim(self, name: bytes, sought: Sought, admit: Admit) -> Leading | None:
        """The lead, unless somebody has it. Raises TierError."""
        led = _Led(name, Holder(self._post.owner, secrets.token_bytes(NAME_BYTES)), sought, admit)
        # Before the lock can be seen: who sees it may ask at once.
        self._led[led.holder.flight] = led
        claimed = False
        try:
            claimed = await self._locks.claim(name, led.holder)
        finally:
            if not claimed:
                del self._led[led.holder.flight]
        if not claimed:
            return None
        self._counts.led += 1
        led.held_since = self._clock()
        return Leading(partial(self._over, led))

    def disown(self, flight: bytes) -> None:
        """The lock is to be another flight's."""
        if (led := self._led.get(flight)) is not None:
            led.lost = True

    async def keep_renewing(self) -> None:
        """Renew the locks of flights that take long, for as long as this is let."""
        while True:
            await asyncio.sleep(self._renew_s)
            now = self._clock()
            for led in tuple(self._led.values()):
                if led.admit is None or led.lost or now - led.held_since < self._renew_s:
                    continue
                with suppress(TierError):
                    led.lost = not await self._locks.renew(led.name, led.holder)
                    led.held_since = now
                await asyncio.sleep(0)  # there may be thousands, and locks that wait for nothing

    # -- the end ------------------------------------------------------------------------------

    def _over(self, led: _Led, stored: bool) -> None:  # noqa: FBT001 - as ``Leading`` has it
        led.admit = None
        if stored and self._stored is not None:
            led.landed = asyncio.Event()
        else:
            del self._led[led.holder.flight]
        _ = self._chores.begin(self._let_go(led))

    async def _let_go(self, led: _Led) -> None:
        linger_s = 0.0
        if led.landed is not None and self._stored is not None:
            linger_s = self._linger_s
            with suppress(TimeoutError):
                async with asyncio.timeout(_WRITING_S):
                    await self._stored(led.key)
            led.landed.set()
            asyncio.get_running_loop().call_later(linger_s, self._led.pop, led.holder.flight, None)
        if led.lost:
            return
        with suppress(TierError):  # then it ends with its lease
            sure = self._clock() - led.held_since < self._renew_s
            await self._locks.leave(led.name, led.holder, linger_s, sure=sure)

    # -- guests -------------------------------------------------------------------------------

    def receive(self, letter: Letter) -> None:
        """Another replica wants to hear a flight, or no longer wants to."""
        content = self._sealing.between(letter.flight, letter.follower, None).open(letter)
        guest = self._guests.get(letter.follower)
        if content is None:
            self._counts.odd += 1
        elif letter.kind is Kind.LEAVE:
            if guest is not None:
                guest.cancel()
        elif (wish := read_wish(content)) is not None and guest is None:
            task = self._chores.begin(self._receive_guest(letter, wish))
            self._guests[letter.follower] = task
            task.add_done_callback(lambda _task: self._guests.pop(letter.follower, None))

    async def _receive_guest(self, letter: Letter, wish: Wish) -> None:
        conversation = self._sealing.between(letter.flight, letter.follower, wish.key)
        teller = _Teller(self._post, wish.mailbox, conversation)
        with suppress(TierError):  # he will notice that nothing more comes
            led = self._led.get(letter.flight)
            if led is None or led.key != wish.key:
                await teller.say(Kind.NO)
            elif letter.follower in led.heard_by:
                return  # put there again by somebody: two tellings under one number would mix
            elif led.landed is not None and led.serves(wish):
                await teller.say(Kind.HERE)
                await led.landed.wait()
                await teller.say(Kind.STORED)
            elif led.admit is None or not led.serves(wish) or not (guest := led.admit(wish.fresh)):
                led.lost = True  # whoever is told No takes the lock
                await teller.say(Kind.NO)
            else:
                led.heard_by.add(letter.follower)
                try:
                    await self._entertain(guest, teller)
                finally:
                    guest.leave()

    async def _entertain(self, guest: Guest, teller: _Teller) -> None:
        await teller.say(Kind.HERE)
        try:
            match await self._beating(guest.begun, teller):
                case Stored():  # where nobody else finds it, each has to ask
                    await teller.say(Kind.NO if self._stored is None else Kind.STORED)
                    return
                case GivenUp(why):
                    await teller.say(Kind.GIVEN_UP, why.encode())
                    return
                case Begun() as begun:
                    await teller.say(Kind.HEAD, head_as_bytes(begun))
                case other:
                    assert_never(other)
        except UpstreamError as error:
            await teller.say(Kind.FAILED, failure_as_bytes(error))
            return
        try:
            while (piece := await self._beating(guest.more, teller)) is not None:
                for start in range(0, len(piece), _PIECE_BYTES):
                    await teller.say(Kind.PIECE, piece[start : start + _PIECE_BYTES])
        except UpstreamError as error:
            await teller.say(Kind.BROKEN, failure_as_bytes(error))
        else:
            await teller.say(Kind.END)

    async def _beating(self, wait: Callable[[], Awaitable[_T]], teller: _Teller) -> _T:
        """What ``wait`` comes to, however long that takes."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat_s):
                    return await wait()
            await teller.say(Kind.BEAT)


class _Led:
    """A flight that this replica leads."""

    __slots__ = (
        "admit", "generation", "heard_by", "held_since", "holder", "key", "landed", "lost", "name"
    )  # fmt: skip

    def __init__(self, name: bytes, holder: Holder, sought: Sought, admit: Admit) -> None:
        self.name = name  # of its lock
        self.holder = holder
        self.key = sought.key
        self.generation = sought.generation
        self.admit: Admit | None = admit  # None: it is over
        self.landed: asyncio.Event | None = None  # it was stored; set once others can find it
        self.heard_by: set[bytes] = set()  # followers, those that have left among them
        self.held_since = 0.0
        self.lost = False  # the lock is, or is to be, another's

    def serves(self, wish: Wish) -> bool:
        """Whether what this brings may be had by somebody who knows of all purges he knows of.

        Only numbers that the journal gave out mean the same to both (see ``proxy.ledger``).
        """
        if wish.fresh and self.landed is not None:
            return False
        return self.generation // SHARED * SHARED >= wish.generation


class _Teller:
    """Tells one follower of one flight."""

    def __init__(self, post: Post, mailbox: str, conversation: Conversation) -> None:
        self._post = post
        self._mailbox = mailbox
        self._conversation = conversation
        self._number = 0

    async def say(self, kind: Kind, content: bytes = b"") -> None:
        """Send the next letter. Raises TierError once that seems to be in vain.

        A letter of which nobody knows whether it came is sent again, which does no harm: it has a
        number.
        """
        letter = self._conversation.write(kind, self._number, content)
        self._number += 1
        for pause_s in _PAUSES_S:
            with suppress(TierError):
                there = await self._post.send(self._mailbox, letter)
                break
            await asyncio.sleep(pause_s)
        else:
            there = await self._post.send(self._mailbox, letter)
        if not there:
            raise TierError("nobody reads that mailbox any more")
