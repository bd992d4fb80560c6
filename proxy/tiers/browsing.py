"""Looking into the tiers without being seen: no counter moves, nothing is used, copied or dropped.

What is told is what a request would find: what a purge covers is not there, and a tier that is not
trusted at present is not asked. Only Redis notices that it was read.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, TypeAlias

from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import TierError
from proxy.tiers.base import Tier
from proxy.tiers.ladder import NOTHING, UNSURE, Found, Ladder

Fits = Callable[[Entry], bool]
"""Whether somebody who looks for entries wants this one."""


Digest: TypeAlias = bytes
"""Of a key; a name of its own, for tiers that tell how many ``bytes`` they hold."""


class Seen(NamedTuple):
    """An entry that is kept, dead or alive."""

    entry: Entry
    uses: int | None = None  # hits that speak for its staying; None: nobody counts them


class Page(NamedTuple):
    """Some of the entries of a tier."""

    seen: Sequence[Seen]
    after: str | None  # where to go on; None: there are no more
    looked_at: int  # entries


class Open(Protocol):
    """A tier that can be looked into. Both raise TierError where that cannot be done now."""

    @property
    def name(self) -> str: ...

    async def peek(self, digest: bytes) -> Seen | None:
        """What is kept under ``digest``, and no sign that it was asked for."""
        ...

    async def page(self, after: str, prefix: str, fits: Fits, most: int) -> Page:
        """Entries that ``fits`` wants, once, in an order of the tier's own.

        What comes or goes meanwhile may be among them or not. However much there is, it takes a
        short time and never holds the loop; so a page may be empty, and not be the last.

        Args:
            after: as the page before said; "" for the first.
            prefix: of their digests, in hexadecimal digits in lower case.
            most: entries on the page, at least 1; a few more may come.
        """
        ...


class OpenTier(Tier, Open, Protocol):
    """A tier that can also be looked into."""


class Answer(StrEnum):
    """What a tier has to say to a request."""

    HERE = "here"
    ABSENT = "absent"
    PURGED = "purged"  # here, and covered by a purge
    DISTRUSTED = "distrusted"  # not asked: others may have purged in it unheard
    ERROR = "error"


class Look(NamedTuple):
    """What one tier answered."""

    tier: str
    answer: Answer
    seen: Seen | None = None  # of what is here, as purges have left it
    took_s: float = 0.0
    trouble: str = ""


class Listing(NamedTuple):
    """Entries of several tiers, each with the name of its own."""

    seen: Sequence[tuple[str, Seen]]
    after: str | None  # where to go on; None: there are no more
    looked_at: int
    untold: Sequence[str]  # tiers that could not be asked, or are not trusted


_MOST_LOOKED: Final = 20_000  # entries, after which a listing rests where nothing is found
_MOST_HELD: Final = 64 * 2**20  # bytes of entries in a listing, and some: bodies come along


class Browsing:
    """Looks into all tiers.

    Args:
        tiers: as the ladder has them.
        ladder: knows what was purged, and whom to trust.
        clock: seconds, monotonic.
    """

    def __init__(self, tiers: Sequence[Open], ladder: Ladder, clock: Callable[[], float]) -> None:
        self._tiers = tuple(tiers)
        self._ladder = ladder
        self._clock = clock

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tiers, nearest first."""
        return tuple(tier.name for tier in self._tiers)

    async def look(self, digest: bytes, key: CacheKey | None = None) -> Sequence[Look]:
        """What each tier has under ``digest``; of ``key``, if one is given. Raises nothing."""
        return [await self._look(tier, digest, key) for tier in self._tiers]

    async def _look(self, tier: Open, digest: bytes, key: CacheKey | None) -> Look:
        if not self._ladder.trusts(tier.name):
            return Look(tier.name, Answer.DISTRUSTED)
        began = self._clock()
        try:
            seen = await tier.peek(digest)
        except TierError as error:
            took_s = self._clock() - began
            return Look(tier.name, Answer.ERROR, took_s=took_s, trouble=str(error))
        took_s = self._clock() - began
        if seen is None or (key is not None and seen.entry.key != key):
            return Look(tier.name, Answer.ABSENT, took_s=took_s)
        entry = self._ladder.unpurged(seen.entry)
        if entry is None:
            return Look(tier.name, Answer.PURGED, took_s=took_s)
        return Look(tier.name, Answer.HERE, seen._replace(entry=entry), took_s)

    async def get(self, key: CacheKey) -> Found:
        """What the ladder would find under ``key``. Raises nothing."""
        return found_in(await self.look(key.digest, key))

    async def put(self, entry: Entry) -> bool:  # noqa: ARG002 - as a shelf has it
        """Never: it only looks."""
        return False

    async def list(
        self, after: str, prefix: str, fits: Fits, most: int, tier: str | None = None
    ) -> Listing:
        """Entries that ``fits`` wants and no purge covers, tier by tier.

        Args:
            after: as the listing before said; "" for the first.
            prefix: of their digests, in hexadecimal digits in lower case.
            most: of them; a few more may come, and fewer of large ones.
            tier: only those of the tier so named.

        Raises:
            ValueError: ``after`` is none of ours, or there is no such tier.
        """
        name, _, rest = after.partition(":")
        tiers = [each for each in self._tiers if tier in {None, each.name}]
        if not tiers:
            raise ValueError("there is no such tier")
        if after:
            if name not in (names := [each.name for each in tiers]):
                raise ValueError("there is nothing to go on with: begin anew")
            tiers = tiers[names.index(name) :]
        found: list[tuple[str, Seen]] = []
        untold: list[str] = []
        looked_at = held = 0

        def wanted(entry: Entry) -> bool:
            alive = self._ladder.unpurged(entry)
            return alive is not None and fits(alive)

        for each in tiers:
            at: str | None = rest if each.name == name else ""
            if not self._ladder.trusts(each.name):
                untold.append(each.name)
                continue
            while at is not None:
                if len(found) >= most or looked_at >= _MOST_LOOKED or held >= _MOST_HELD:
                    return Listing(found, f"{each.name}:{at}", looked_at, untold)
                try:
                    page = await each.page(at, prefix, wanted, most - len(found))
                except TierError:
                    untold.append(each.name)
                    break
                at, looked_at = page.after, looked_at + page.looked_at
                found += [(each.name, as_left) for as_left in self._as_left(page.seen)]
                held += sum(seen.entry.size for seen in page.seen)
        return Listing(found, None, looked_at, untold)

    def _as_left(self, seen: Sequence[Seen]) -> Sequence[Seen]:
        """What is seen, as purges have left it."""
        left = ((each, self._ladder.unpurged(each.entry)) for each in seen)
        return [each._replace(entry=entry) for each, entry in left if entry is not None]


def found_in(looks: Sequence[Look]) -> Found:
    """What the ladder would find where its tiers answer so."""
    for look in looks:
        if look.seen is not None:
            return Found(look.seen.entry, look.tier)
    unsure = any(look.answer in {Answer.ERROR, Answer.DISTRUSTED} for look in looks)
    return UNSURE if unsure else NOTHING


class Lowest:
    """The few that come first by their digests, of many that are offered in any order, each once.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[bytes, Seen]] = []  # by the complement of the digest: last first
        self.more = False  # some were left out

    def may_take(self, digest: bytes) -> bool:
        """Whether to offer ``digest`` can change anything."""
        return not self.more or _flipped(digest) > self._heap[0][0]

    def offer(self, digest: bytes, seen: Seen) -> None:
        """Take one; if there are too many, who comes last gives way."""
        heapq.heappush(self._heap, (_flipped(digest), seen))
        if len(self._heap) > self._most:
            heapq.heappop(self._heap)
            self.more = True

    @property
    def seen(self) -> list[Seen]:
        """Them, in order."""
        return [seen for _, seen in sorted(self._heap, key=_first, reverse=True)]


def _first(pair: tuple[bytes, Seen]) -> bytes:
    return pair[0]


def _flipped(digest: bytes) -> bytes:
    return digest.translate(_COMPLEMENT)


_COMPLEMENT: Final = bytes(range(255, -1, -1))
