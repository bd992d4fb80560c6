"""Who leaves the memory tier: first the dead, then those nobody came back for.

``Wheel`` finds entries that are past their keep, a few steps at a time. ``S3Fifo`` chooses among
the living: a small queue takes the newcomers, a main queue keeps what was used again, and a ghost
remembers who left the small queue, so that who is asked for again soon goes straight to the main
one (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023). One-off questions
flow through a tenth of the memory and never touch the rest.

Both are exact about what they hold, use neither clock nor dice, and bound the work of each call.
"""

from __future__ import annotations

from array import array
from math import inf

from proxy.tiers.packing import Packed, dead_at, size_of

MOST_USES = 3  # more uses than these are not counted
_MOVES = 64  # most slots looked at to find one to evict

TICK_S = 4.0  # how late the dead may be found
SPOKES = 1024  # of TICK_S each: a lap of 68 minutes
_STEPS = 32  # most slots and spokes looked at to find one dead


class Link:
    """A place in a ring. Alone, it is a ring of its own."""

    __slots__ = ("after", "before")

    def __init__(self) -> None:
        self.before: Link = self
        self.after: Link = self

    def insert(self, link: Link) -> None:
        """Put ``link``, which is in no ring, before this one."""
        link.before = before = self.before
        link.after = self
        self.before = before.after = link

    def take_out(self) -> None:
        """Leave the ring. The links kept are not to be used."""
        self.before.after = self.after
        self.after.before = self.before


class Slot(Link):
    """An entry in memory, and what is known of it; as a link, it is one of the ``Wheel``.

    There may be a million: another word in each is half a percent of what a short answer takes
    (see ``proxy.tiers.packing``).
    """

    __slots__ = ("body", "digest", "kind", "newer", "older", "queue", "rest", "uses")

    def __init__(self, digest: bytes, packed: Packed) -> None:
        # Not linked to itself, which would make it garbage that only a collection finds.
        self.digest = digest
        self.kind, self.rest, self.body, _ = packed
        self.uses = 0  # hits not yet spent on staying, at most MOST_USES
        self.queue: Queue | None = None
        self.older: Slot | None = None
        self.newer: Slot | None = None

    @property
    def scope(self) -> str:
        """Whose it is."""
        return self.kind.scope

    @property
    def size(self) -> int:
        """Bytes it is accounted for."""
        return size_of(self.rest)

    @property
    def dead_at(self) -> float:
        """When it is of no more use, in seconds on the tier's clock."""
        return dead_at(self.kind, self.rest)


class Queue:
    """Slots in the order they came; the links are their own, 16 bytes for each."""

    __slots__ = ("bytes", "newest", "oldest")

    def __init__(self) -> None:
        self.bytes = 0  # of all slots
        self.oldest: Slot | None = None
        self.newest: Slot | None = None

    def append(self, slot: Slot, size: int) -> None:
        """Take in a slot of ``size`` that is in no queue."""
        slot.queue = self
        slot.older = newest = self.newest
        self.newest = slot
        if newest is None:
            self.oldest = slot
        else:
            newest.newer = slot
        self.bytes += size

    def remove(self, slot: Slot, size: int) -> None:
        """Let go of a slot of ``size`` that is here."""
        older, newer = slot.older, slot.newer
        slot.older = slot.newer = slot.queue = None
        if older is None:
            self.oldest = newer
        else:
            older.newer = newer
        if newer is None:
            self.newest = older
        else:
            newer.older = older
        self.bytes -= size

    def clear(self) -> None:
        """Let go of all."""
        while (slot := self.oldest) is not None:
            self.oldest = slot.newer
            slot.older = slot.newer = slot.queue = None
        self.newest = None
        self.bytes = 0


class S3Fifo:
    """Slots by their digest, in the order in which they leave.

    Whoever finds a slot here and uses it counts that in ``Slot.uses``; nothing else moves on a
    hit.

    Args:
        small: bytes for newcomers; at least as many as the largest of them.
        ghosts: how many who left are remembered.
        share: bytes beyond which the entries of one scope get no second chance, as long as others
            are here too; None for no such limit.
    """

    def __init__(self, small: int, ghosts: int, share: int | None = None) -> None:
        self.bytes = 0
        self._small = small
        self._slots: dict[bytes, Slot] = {}
        self._newcomers = Queue()
        self._main = Queue()
        self._ghost = Ghost(ghosts)
        self._share = share
        self._scopes: dict[str, int] = {}  # bytes of each, if there is a share

    def limit(self, small: int, ghosts: int, share: int | None = None) -> None:
        """Take other bounds. Nobody leaves for it; a ghost of another size begins anew."""
        self._small = small
        if ghosts != self._ghost.places:
            self._ghost = Ghost(ghosts)
        if (share is None) != (self._share is None):
            self._scopes.clear()
            self._share = share
            if share is not None:
                for slot in self.slots():
                    self._scopes[slot.scope] = self._scopes.get(slot.scope, 0) + slot.size
        self._share = share

    def __len__(self) -> int:
        return len(self._slots)

    def find(self, digest: bytes) -> Slot | None:
        """The slot of ``digest``, if it is here."""
        return self._slots.get(digest)

    def add(self, slot: Slot, size: int) -> None:
        """Take in a slot of ``size`` whose digest is not here."""
        recalled = self._ghost.recalls(slot.digest, len(self._slots))
        (self._main if recalled else self._newcomers).append(slot, size)
        self._slots[slot.digest] = slot
        self._account(slot, size)

    def refill(self, slot: Slot, packed: Packed) -> None:
        """Let a slot that is here hold another entry, in the place that it has."""
        before = slot.size
        self._account(slot, -before)
        slot.kind, slot.rest, slot.body, size = packed
        self._account(slot, size)
        if slot.queue is not None:
            slot.queue.bytes += size - before

    def remove(self, slot: Slot) -> None:
        """Let go of a slot that is here."""
        size = slot.size
        if slot.queue is not None:
            slot.queue.remove(slot, size)
        del self._slots[slot.digest]
        self._account(slot, -size)

    def slots(self) -> list[Slot]:
        """All that are here, in no order that means anything."""
        return list(self._slots.values())

    def clear(self) -> None:
        """Let go of all slots; the ghost remembers what it remembered."""
        self._slots.clear()
        self._newcomers.clear()
        self._main.clear()
        self._scopes.clear()
        self.bytes = 0

    def evict(self, incoming: int) -> Slot:
        """Let go of the slot that is missed least, to make room for ``incoming`` bytes.

        Raises:
            KeyError: there is none.
        """
        patience = _MOVES
        newcomers, main = self._newcomers, self._main
        while True:
            crowded = newcomers.bytes + incoming > self._small
            slot = newcomers.oldest
            is_new = slot is not None and (crowded or main.oldest is None)
            if not is_new:
                slot = main.oldest
            if slot is None:
                raise KeyError("nobody is here")
            if not slot.uses or not patience or self._greedy(slot):
                break
            size = slot.size
            if is_new:
                slot.uses = 0
                newcomers.remove(slot, size)
            else:
                slot.uses -= 1
                main.remove(slot, size)
            main.append(slot, size)
            patience -= 1
        if is_new:
            self._ghost.remember(slot.digest)
        self.remove(slot)
        return slot

    def _account(self, slot: Slot, growth: int) -> None:
        self.bytes += growth
        if self._share is not None:
            scope = slot.scope
            held = self._scopes.get(scope, 0) + growth
            if held:
                self._scopes[scope] = held
            else:
                del self._scopes[scope]

    def _greedy(self, slot: Slot) -> bool:
        """Whether the slot's scope holds more than its share, at the cost of others."""
        if self._share is None or len(self._scopes) == 1:
            return False
        return self._scopes[slot.scope] > self._share


class Ghost:
    """A bounded memory of digests that left: one word each, the newer displaces the older.

    Digests are evenly spread, so their first bytes do. It forgets a few early, where two share a
    place, and takes one in 2^32 for another: either costs a hit at most.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._noted = array("Q", bytes(8 * places))
        self._left = 0  # how many have left so far, modulo 2^32

    def remember(self, digest: bytes) -> None:
        """Note that ``digest`` leaves now."""
        self._left = left = (self._left + 1) & _WORD
        number = int.from_bytes(digest[:8], "little")
        # The number's upper half is the mark, its remainder the place, and the count the age.
        self._noted[number % self.places] = number & ~_WORD | left

    def recalls(self, digest: bytes, window: int) -> bool:
        """Whether ``digest`` is among the last ``window`` that left."""
        number = int.from_bytes(digest[:8], "little")
        noted = self._noted[number % self.places]
        return noted ^ number <= _WORD and (self._left - noted) & _WORD < window


_WORD = 0xFFFFFFFF


class Wheel:
    """Slots by the time they die: a wheel of rings, turned as time goes by.

    Rings of links, not dictionaries: those never shrink, and each would stay as large as its
    busiest moment made it.
    """

    def __init__(self, now: float) -> None:
        self._spokes = [Link() for _ in range(SPOKES)]
        self._spared = Link()  # from the spoke at hand, until the next lap
        self._tick = int(now / TICK_S)  # of the spoke at hand

    def add(self, slot: Slot, dead_at: float) -> None:
        """Watch over a slot, until it is taken out."""
        tick = int(dead_at / TICK_S) if dead_at < inf else 0
        self._spokes[tick % SPOKES].insert(slot)

    def clear(self) -> None:
        """Watch over none."""
        for spoke in (*self._spokes, self._spared):
            while spoke.after is not spoke:
                spoke.after.take_out()

    def take(self, now: float) -> Slot | None:
        """One that is dead, and no longer watched; None if a few steps found none."""
        tick = int(now / TICK_S)
        if self._tick >= tick:
            return None
        # After a long pause whole laps are left out: it is the same spoke that is at hand.
        self._tick += max(0, (tick - self._tick) // SPOKES - 1) * SPOKES
        for _ in range(_STEPS):
            at_hand = self._tick % SPOKES
            spoke = self._spokes[at_hand]
            slot = spoke.after
            if isinstance(slot, Slot):
                slot.take_out()
                if slot.dead_at <= now:
                    return slot
                self._spared.insert(slot)
            else:
                self._spokes[at_hand], self._spared = self._spared, spoke
                self._tick += 1
                if self._tick >= tick:
                    break
        return None
