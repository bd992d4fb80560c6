"""The first tier: entries in this process's memory, bounded in bytes.

What is accounted never exceeds the budget, not even between two awaits; there are no awaits. The
methods whose names end in ``_now`` are the tier, the asynchronous ones make it fit the ladder.

Entries are packed (``packing``), which takes a sixth of what they take as objects; those asked for
lately are here unpacked as well, for a small part of the budget.

There is no background task. The dead, those past their keep, are dropped when they are asked for,
and each ``put`` drops a few more, so that they go before anything living has to. Among the living
the order is that of ``S3Fifo``. Every call does a bounded amount of work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from proxy.model.entry import CacheKey, Entry
from proxy.tiers.browsing import Digest, Fits, Lowest, Page, Seen
from proxy.tiers.eviction import MOST_USES, S3Fifo, Slot, Wheel
from proxy.tiers.packing import MOST_BYTES, Packing, unpacked
from proxy.tiers.unpacked import Lately, Unpacked

_LATELY = 64  # one part in so many of the budget is for entries that are unpacked
_SMALL_SHARE = 0.1  # of the budget, for newcomers; half and twice as much differ by a point
_SWEPT = 2  # dead entries a put drops without need: one more than it brings, so that they run out
_SLICE = 50  # entries that are looked at on end when they are listed; half as many
_SWEEP = 100  # entries between two looks at what else there is to do: about a millisecond
_LEAVE = 250  # the same where they leave without being looked at
_SWEEP_BYTES = 2**25  # of them
_BYTES_A_GHOST = 4096  # of budget; entries are seldom smaller, and a ghost takes 8 bytes
_GHOSTS = (1024, 2**20)  # at least, at most


class L1Memory:
    """The memory tier. Counters are plain integers that only grow, but for ``bytes``.

    Args:
        max_bytes: the budget, overhead included (see ``Entry.stored_size``).
        max_entry_bytes: a larger entry is declined.
        clock: seconds on the monotonic clock that ``Entry.stored_at`` was read from.
        scope_share: the part of the budget that one scope may defend against others, from 0 to 1.
            What it holds beyond that is still cached, but the first to go. Off at 1: where scopes
            trust each other, a limit costs the busiest of them hits.
        rest: awaited between two slices of long work: others go on meanwhile.
        sized: how many bytes to account an entry for; None: as many as it takes.
    """

    name = "l1_memory"

    def __init__(
        self,
        *,
        max_bytes: int,
        max_entry_bytes: int,
        clock: Callable[[], float],
        scope_share: float = 1.0,
        rest: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0),
        sized: Callable[[Entry], int] | None = None,
    ) -> None:
        self._rest = rest
        self._max_bytes = max_bytes
        self._max_entry_bytes = min(max_entry_bytes, max_bytes, MOST_BYTES)
        self._clock = clock
        self._order = S3Fifo(
            _small(max_bytes, self._max_entry_bytes),
            _ghosts(max_bytes),
            share=_share(max_bytes, scope_share),
        )
        self._wheel = Wheel(clock())
        self._packing = Packing(sized)
        self._lately = Lately(max_bytes // _LATELY)
        self._find = self._lately.find
        self._lent = 0  # bytes of the budget that another has
        self._room = max_bytes - self._lately.most  # for what is packed
        self.hits = 0
        self.misses = 0
        self.taken = 0
        self.declined = 0  # too large, or dead on arrival
        self.evicted = 0  # to make room
        self.expired = 0
        self.replaced = 0
        self.deleted = 0

    async def limit(self, *, max_bytes: int, max_entry_bytes: int, scope_share: float) -> None:
        """Take other bounds: at once, but that a budget shrinks with what it holds, bit by bit.

        What is here and larger than an entry may be from now on goes in its own time.
        """
        self._max_entry_bytes = min(max_entry_bytes, max_bytes, MOST_BYTES)
        self._order.limit(
            _small(max_bytes, self._max_entry_bytes),
            _ghosts(max_bytes),
            share=_share(max_bytes, scope_share),
        )
        self._lately.limit(max_bytes // _LATELY)
        most = max_bytes - self._lately.most
        # What is lent may change between two slices.
        while self._packed_bytes > (room := most - self._lent) and len(self._order):
            enough = max(room, self._packed_bytes - _SWEEP_BYTES)
            for _ in range(_LEAVE):
                if self._packed_bytes > enough and len(self._order):
                    self._evict(0)
            self._room = self._packed_bytes
            self._max_bytes = self._room + self._lately.most + self._lent
            await self._rest()
        self._room, self._max_bytes = room, max_bytes

    @property
    def entries(self) -> int:
        """How many entries are here, the dead that were not found yet among them."""
        return len(self._order)

    @property
    def max_bytes(self) -> int:
        """The budget."""
        return self._max_bytes

    @property
    def bytes(self) -> int:
        """Bytes accounted for, those that are lent among them; never more than the budget."""
        return self._packed_bytes + self._lately.bytes + self._lent

    def get_now(self, key: CacheKey) -> Entry | None:
        """As ``get``, at once. Of what is asked for again soon, the same object."""
        slot = self._order.find(key.digest)
        entry = None if slot is None else self.at_hand(key)
        if entry is None:
            self.misses += 1
            if slot is not None and slot.dead_at <= self._clock():
                self._drop(slot)
                self.expired += 1
        return entry

    def at_hand(self, key: CacheKey) -> Entry | None:
        """As ``get_now``, where that is a hit; else None, and nothing is counted."""
        known = self._find(key.digest)
        if known is None:
            return self._unpack(key)
        entry = known.entry
        if entry.key.scope != key.scope or known.dead_at <= self._clock():
            return None
        self._count(known)
        return entry

    def keeps(self, entry: Entry) -> bool:
        """Whether ``get_now`` would return this very object; counted as a hit if so."""
        known = self._find(entry.key.digest)
        if known is None or known.entry is not entry or known.dead_at <= self._clock():
            return False
        self._count(known)
        return True

    def lend(self, size: int) -> None:
        """Leave ``size`` bytes more of the budget to another, or below zero take them back."""
        self._lent += size
        self._room -= size
        while self._packed_bytes > self._room and len(self._order):
            self._evict(0)

    def put_now(self, entry: Entry) -> bool:
        """As ``put``, at once."""
        now = self._clock()
        dead_at = entry.stored_at + entry.lifetime.keep - entry.initial_age
        slot = self._order.find(entry.key.digest)
        packed = self._packing.pack(entry)
        if packed.size > self._max_entry_bytes or packed.alone > self._room or dead_at <= now:
            self._packing.release(packed.kind)
            self.declined += 1
            if slot is not None:  # what is superseded must not be served in place of the new
                self._drop(slot)
                self.replaced += 1
            return False
        if slot is None:
            self._make_room(packed.size, now)
            slot = Slot(entry.key.digest, packed)
            self._order.add(slot, packed.size)
            self._wheel.add(slot, dead_at)
        else:
            slot.take_out()
            self._forget(slot)
            self._order.refill(slot, packed)
            self._wheel.add(slot, dead_at)
            self.replaced += 1
            self._make_room(0, now)
        self.taken += 1
        return True

    def delete_now(self, key: CacheKey) -> None:
        """As ``delete``, at once."""
        slot = self._order.find(key.digest)
        if slot is not None:
            self._drop(slot)
            self.deleted += 1

    def clear_now(self) -> None:
        """As ``clear``, at once."""
        self.deleted += len(self._order)
        self._order.clear()
        self._wheel.clear()
        self._packing.clear()
        self._lately.clear()

    async def get(self, key: CacheKey) -> Entry | None:
        return self.get_now(key)

    async def peek(self, digest: Digest) -> Seen | None:
        slot = self._order.find(digest)
        if slot is None or slot.dead_at <= self._clock():
            return None
        return Seen(self._seen(slot), slot.uses)

    async def page(self, after: str, prefix: str, fits: Fits, most: int) -> Page:
        """As that of an open tier: by digest. All that is here is looked at, some at a time."""
        beyond, lowest, slots = bytes.fromhex(after), Lowest(most), self._order.slots()
        looked_at = 0
        while slots:
            now = self._clock()
            for slot in slots[-_SLICE:]:
                if slot.digest <= beyond or slot.dead_at <= now:
                    continue
                looked_at += 1
                if not lowest.may_take(slot.digest) or not slot.digest.hex().startswith(prefix):
                    continue
                entry = self._seen(slot)
                if fits(entry):
                    lowest.offer(slot.digest, Seen(entry, slot.uses))
            del slots[-_SLICE:]
            await asyncio.sleep(0)
        seen = lowest.seen
        after = seen[-1].entry.key.digest.hex() if lowest.more else ""
        return Page(seen, after or None, looked_at)

    async def put(self, entry: Entry) -> bool:
        return self.put_now(entry)

    async def delete(self, key: CacheKey) -> None:
        self.delete_now(key)

    async def clear(self) -> None:
        self.clear_now()

    async def sweep(self, gone: Callable[[Entry], bool] | None = None) -> None:
        """Forget what ``gone`` says, a few entries at a time, so that nobody waits for it.

        None: all that is here now.
        """
        slots = self._order.slots()
        while slots:
            for slot in slots[-_SWEEP:]:
                # It may have left, or hold something newer, since the list was made.
                if self._order.find(slot.digest) is not slot:
                    continue
                if gone is None or gone(self._seen(slot)):
                    self._drop(slot)
                    self.deleted += 1
            del slots[-_SWEEP:]
            await self._rest()

    @property
    def _packed_bytes(self) -> int:
        return self._order.bytes + self._packing.bytes

    def _count(self, known: Unpacked) -> None:
        known.asked = True
        slot = known.slot
        if slot.uses < MOST_USES:
            slot.uses += 1
        self.hits += 1

    def _unpack(self, key: CacheKey) -> Entry | None:
        """``at_hand`` for what is not here unpacked."""
        slot = self._order.find(key.digest)
        if slot is None or slot.scope != key.scope or slot.dead_at <= self._clock():
            return None
        entry = unpacked(slot.digest, slot.kind, slot.rest, slot.body)
        self._lately.keep(Unpacked(slot, entry))
        slot.uses = min(slot.uses + 1, MOST_USES)
        self.hits += 1
        return entry

    def _seen(self, slot: Slot) -> Entry:
        """The entry in a slot, for who only looks."""
        known = self._find(slot.digest)
        if known is not None:
            return known.entry
        return unpacked(slot.digest, slot.kind, slot.rest, slot.body)

    def _drop(self, slot: Slot) -> None:
        self._order.remove(slot)
        slot.take_out()
        self._forget(slot)

    def _forget(self, slot: Slot) -> None:
        """Let go of what belongs to the entry that is in a slot, beside the slot."""
        self._lately.drop(slot.digest)
        self._packing.release(slot.kind)

    def _make_room(self, incoming: int, now: float) -> None:
        """Drop a few of the dead, and then as many of whom it takes to fit ``incoming`` bytes."""
        swept = 0
        while swept < _SWEPT and self._bury(now):
            swept += 1
        while self._packed_bytes + incoming > self._room:
            if not self._bury(now):
                self._evict(incoming)

    def _evict(self, incoming: int) -> None:
        slot = self._order.evict(incoming)
        slot.take_out()
        self._forget(slot)
        self.evicted += 1

    def _bury(self, now: float) -> bool:
        """Drop one of the dead; False if none is found at once."""
        slot = self._wheel.take(now)
        if slot is None:
            return False
        self._order.remove(slot)
        self._forget(slot)
        self.expired += 1
        return True


def _small(max_bytes: int, max_entry_bytes: int) -> int:
    """Bytes for newcomers.

    The largest entry must fit, or it would push its way through the main queue.
    """
    return max(int(max_bytes * _SMALL_SHARE), max_entry_bytes)


def _ghosts(max_bytes: int) -> int:
    least, most = _GHOSTS
    return max(least, min(max_bytes // _BYTES_A_GHOST, most))


def _share(max_bytes: int, scope_share: float) -> int | None:
    return None if scope_share >= 1.0 else int(max_bytes * scope_share)
