"""Taking in: entries of a parcel are stored, each for as long as it had left, if that is safe.

An answer that was purged must not come back. Where the parcel was made under the journal of purges
that this proxy reads, the numbers in it say which purges an entry had seen, and all is as if it had
stayed in a tier. Under another journal they say nothing: nobody here can know what was purged there
since. Then whoever brings the parcel has to vouch that nothing was; and what purges of this proxy
may cover is left out all the same.

Nothing newer is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from proxy.carrying.parcel import Heading
from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import ProtocolViolation
from proxy.tiers.codec import Odd
from proxy.wire.head import write_head

_SETTLE_BYTES: Final = 4 * 2**20  # stored on end, before what waits to be written is waited for
_SAME_S: Final = 1.0  # by which one and the same entry may seem older, as clocks are put right


class NotOurs(Exception):
    """The parcel cannot be taken in: why, and what to do."""


@dataclass(slots=True)
class Counts:
    """What became of entries."""

    taken: int = 0
    older: int = 0  # there is one as new, or newer
    purged: int = 0  # or may have been
    expired: int = 0
    declined: int = 0  # by all tiers: too large, mostly
    unreadable: int = 0  # damaged, of another release, or encrypted with a key not known here

    def told(self) -> dict[str, int]:
        """By name."""
        return asdict(self)


class Opens(Protocol):
    """Reads envelopes."""

    def __call__(self, envelope: bytes, now: float, wall: float) -> Entry | Odd: ...


class Judges(Protocol):
    """Knows what was purged."""

    def admit(self, entry: Entry) -> Entry | None:
        """``entry`` as the purges since have left it; None if one covers it."""
        ...

    def adopt(self, entry: Entry) -> Entry | None:
        """The same for one whose numbers mean nothing here."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where to.

    Attributes:
        heading: what a parcel of one's own would say.
        opens: reads envelopes.
        judges: knows what was purged.
        look: what is stored under a key, without a sign that it was asked for.
        put: stores; whether anybody took it.
        settle: waits for what waits to be written, within limits. Raises nothing.
        clock: seconds on the clock of ``Entry.stored_at``.
        wall: seconds since 1970.
    """

    heading: Heading
    opens: Opens
    judges: Judges
    look: Callable[[CacheKey], Awaitable[Entry | None]]
    put: Callable[[Entry], Awaitable[bool]]
    settle: Callable[[], Awaitable[None]]
    clock: Callable[[], float]
    wall: Callable[[], float]


class Taking:
    """Takes in one parcel.

    Args:
        place: where to.
        heading: of the parcel.
        vouched: whether whoever brings it says that nothing in it was purged since it was made.

    Raises:
        NotOurs: it cannot be.
    """

    def __init__(self, place: Place, heading: Heading, *, vouched: bool) -> None:
        if heading.keys != place.heading.keys:
            raise NotOurs(
                "these entries are keyed by another secret: only proxies with the same"
                " cache.scope.secret (and release) can find each other's"
            )
        self._knows_purges = heading.purges == place.heading.purges
        if not self._knows_purges and not vouched:
            raise NotOurs(
                "these entries come from where purges are written down elsewhere: what was purged"
                " there since is not known here. If nothing in them was, vouch for it"
            )
        self.counts = Counts()
        self._place = place
        self._unsettled = 0

    async def take(self, envelopes: list[bytes]) -> None:
        """Take in some more."""
        for envelope in envelopes:
            await self._take(envelope)

    async def _take(self, envelope: bytes) -> None:
        place, counts = self._place, self.counts
        # Elsewhere: a few bytes may be 64 MB once they are unpacked.
        entry = await asyncio.to_thread(place.opens, envelope, place.clock(), place.wall())
        if isinstance(entry, Odd):
            if entry is Odd.EXPIRED:
                counts.expired += 1
            else:
                counts.unreadable += 1
            return
        if not _can_be_sent(entry):
            counts.unreadable += 1
            return
        allowed = self._allowed(entry)
        if allowed is None:
            counts.purged += 1
            return
        there = await place.look(entry.key)
        if (
            there is not None
            and not there.negative
            and there.stored_at >= entry.stored_at - _SAME_S
        ):
            counts.older += 1
            return
        # Looked up once more by the ladder's own means: a purge may have come while that waited.
        allowed = self._allowed(entry)
        if allowed is None:
            counts.purged += 1
        elif await place.put(allowed):
            counts.taken += 1
            self._unsettled += allowed.size
        else:
            counts.declined += 1
        if self._unsettled >= _SETTLE_BYTES:
            self._unsettled = 0
            await place.settle()

    def _allowed(self, entry: Entry) -> Entry | None:
        judges = self._place.judges
        return judges.admit(entry) if self._knows_purges else judges.adopt(entry)


def _can_be_sent(entry: Entry) -> bool:
    """Whether its head is one that HTTP allows: whoever made the parcel may have written it."""
    try:
        write_head(entry.head, "", "")
    except ProtocolViolation:
        return False
    return True
