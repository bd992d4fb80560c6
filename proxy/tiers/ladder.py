"""The ladder: all tiers in order, nearest first, and nothing from them that was purged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from proxy.ledger import Ledger
from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import TierError
from proxy.tiers.base import AtHand, Tier


class Found(NamedTuple):
    """An entry and the tier it was found in."""

    entry: Entry | None
    tier: str
    sure: bool = True  # False: nothing was found, but some tier could not be asked


NOTHING = Found(None, "")
UNSURE = Found(None, "", sure=False)


class Ladder:
    """Looks in each tier in turn; a tier that fails is a miss, never an error.

    What a purge covers is seen when it is read, by its number, and not before: tiers may go on
    holding it, and a put may overtake a purge, or be overtaken.

    What lands is put where it takes no waiting (``put_near``), and further off once who waits for
    it has been answered (``hand_on``). In between the ladder owes it: it is found as what the
    further tiers have, and whatever is put, deleted or cleared meanwhile has the last word.

    Args:
        tiers: nearest first.
        ledger: knows what was purged.
        report: told of each failure: the tier's name and what it raised.
    """

    def __init__(
        self, tiers: Sequence[Tier], ledger: Ledger, report: Callable[[str, TierError], None]
    ) -> None:
        self._tiers = self._trusted = tuple(tiers)
        self.landed = 0
        """Counted up by whatever is put into the nearest tier, once it is there."""
        self._at_hand = next((tier for tier in self._tiers[:1] if isinstance(tier, AtHand)), None)
        self._owed: dict[bytes, Entry] = {}  # the further tiers: the newest for each digest
        self._paid = asyncio.Event()  # something is owed no longer
        self._ledger = ledger
        self._report = report

    @property
    def generation(self) -> int:
        """Counted up by every purge; what is asked for now is to be stored under this."""
        return self._ledger.generation

    @property
    def nearest(self) -> str:
        """The name of the tier that can be asked without waiting; "" if there is none."""
        return "" if self._at_hand is None else self._at_hand.name

    @property
    def trusted(self) -> tuple[str, ...]:
        """The names of the tiers that are looked in."""
        return tuple(tier.name for tier in self._trusted)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all tiers, nearest first."""
        return tuple(tier.name for tier in self._tiers)

    def trust(self, names: Collection[str]) -> None:
        """Look only in the tiers so named: others may have been purged in without our knowing.

        All are written to as before.
        """
        self._trusted = tuple(tier for tier in self._tiers if tier.name in names)

    def trusts(self, name: str) -> bool:
        """Whether it looks in the tier so named at present."""
        return any(tier.name == name for tier in self._trusted)

    def at_hand(self, key: CacheKey) -> Found | None:
        """What ``get`` would return, if that takes no waiting; else None."""
        tier = self._at_hand
        entry = None if tier is None else tier.at_hand(key)
        if tier is None or entry is None:
            return None
        if entry.generation < self._ledger.generation:
            entry = self._ledger.admit(entry)
        return None if entry is None else Found(entry, tier.name)

    def keeps(self, entry: Entry) -> bool:
        """Whether the nearest tier still has this very object, whatever was purged since."""
        return self._at_hand is not None and self._at_hand.keeps(entry)

    async def get(self, key: CacheKey) -> Found:
        """What is stored under ``key``, fresh or stale. Raises nothing.

        What is found further off is put into the nearer tiers, with the life it has left; but not
        in place of a newer answer, nor what is kept for a moment only: a copy would outlive the
        answer that replaces it there.
        """
        found = await self._get(key, self._trusted)
        return UNSURE if found is NOTHING and len(self._trusted) < len(self._tiers) else found

    async def seek(self, key: CacheKey, fits: Callable[[Entry], bool]) -> Found:
        """As ``get``, for an entry that ``fits``: further off there may be a newer one."""
        return await self._get(key, self._trusted, fits)

    async def _get(
        self, key: CacheKey, tiers: Sequence[Tier], fits: Callable[[Entry], bool] | None = None
    ) -> Found:
        nothing = NOTHING
        for number, tier in enumerate(tiers):
            try:
                owed = self._owed.get(key.digest) if number and self._owed else None
                entry = await tier.get(key) if owed is None or owed.key != key else owed
            except TierError as error:
                self._report(tier.name, error)
                nothing = UNSURE
                continue
            if entry is None:
                continue
            if entry.generation < self._ledger.generation:  # few are
                entry = self._ledger.admit(entry)
                if entry is None:
                    continue
            if fits is not None and not fits(entry):
                continue
            if number and not entry.negative:
                # What has landed while this was on its way.
                near = await self.glance(key) if self._at_hand is None else self.at_hand(key)
                newer = None if near is None else near.entry
                if newer is None or newer.negative or newer.stored_at <= entry.stored_at:
                    await self._put(entry, tiers[:number])
                entry = self._ledger.admit(entry)  # as a purge meanwhile left it
            return NOTHING if entry is None else Found(entry, tier.name)
        return nothing

    async def glance(self, key: CacheKey) -> Found:
        """What the nearest tier has: enough for who has just looked everywhere. Raises nothing."""
        return await self._get(key, self._tiers[:1])

    def unpurged(self, entry: Entry) -> Entry | None:
        """``entry``, found a while ago, as the purges since have left it; None if one covers it."""
        return self._ledger.admit(entry)

    async def put(self, entry: Entry) -> bool:
        """Store ``entry`` in every tier, unless it was purged while it was asked for.

        Returns whether at least one tier took it. Raises nothing.
        """
        if self._ledger.covers(entry):
            return False
        self._strike(entry.key)
        return await self._put(entry, self._tiers)

    async def put_near(self, entry: Entry) -> bool:
        """As ``put``, but only in the nearest tier, if that takes no waiting and takes the entry.

        The others are owed it then, until ``hand_on``.
        """
        if self._at_hand is None:
            return await self.put(entry)
        if self._ledger.covers(entry):
            return False
        self._strike(entry.key)
        further = self._tiers[1:]
        if not await self._put(entry, self._tiers[:1]):
            return await self._put(entry, further)
        if further:
            self._owed[entry.key.digest] = entry
        return True

    async def hand_on(self, key: CacheKey) -> None:
        """Store in all other tiers what is owed to them under ``key``, if anything is.

        Purged meanwhile or not: an older entry there, which the purge may not cover, must not come
        in its place. Raises nothing.
        """
        if (entry := self._owed.pop(key.digest, None)) is not None:
            await self._put(entry, self._tiers[1:])
            self._strike(key)

    async def handed_on(self, key: CacheKey) -> None:
        """Wait until nothing is owed under ``key``."""
        while key.digest in self._owed:
            await self._paid.wait()

    def _strike(self, key: CacheKey) -> None:
        """Owe nothing under ``key``."""
        self._owed.pop(key.digest, None)
        self._paid.set()
        self._paid.clear()

    async def _put(self, entry: Entry, tiers: Sequence[Tier]) -> bool:
        taken, nearest = False, self._tiers[:1]
        for tier in tiers:
            try:
                taken |= await tier.put(entry)
            except TierError as error:
                self._report(tier.name, error)
            finally:
                self.landed += tier in nearest
        return taken

    async def delete(self, key: CacheKey) -> None:
        """Forget what is stored under ``key``, in every tier that can be reached. Raises nothing.

        Other replicas may have a copy in memory: that is what purges are for.
        """
        self._strike(key)
        for tier in self._tiers:
            try:
                await tier.delete(key)
            except TierError as error:
                self._report(tier.name, error)

    async def clear(self) -> Sequence[str]:
        """Free what all tiers hold, which a purge of everything has made useless. Raises nothing.

        Returns the names of the tiers that could not promise it; what they hold dies in its time.
        """
        self._owed.clear()
        self._paid.set()
        self._paid.clear()
        failed = []
        for tier in self._tiers:
            try:
                await tier.clear()
            except TierError as error:
                self._report(tier.name, error)
                failed.append(tier.name)
        return failed
