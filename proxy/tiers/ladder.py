"""The ladder: all tiers in order, nearest first, and the generation that purges count up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import TierError
from proxy.tiers.base import Tier


class Found(NamedTuple):
    """An entry and the tier it was found in."""

    entry: Entry | None
    tier: str


NOTHING = Found(None, "")


class Ladder:
    """Looks in each tier in turn; a tier that fails is a miss, never an error.

    Args:
        tiers: nearest first.
        report: told of each failure: the tier's name and what it raised.
    """

    def __init__(self, tiers: Sequence[Tier], report: Callable[[str, TierError], None]) -> None:
        self._tiers = tuple(tiers)
        self._report = report
        self._generation = 0

    @property
    def generation(self) -> int:
        """Counted up by every purge; what was asked under an older one is not to be stored."""
        return self._generation

    async def get(self, key: CacheKey) -> Found:
        """What is stored under ``key``, fresh or stale. Raises nothing.

        What is found further off is put into the nearer tiers, with the life it has left.
        """
        return await self._get(key, self._tiers)

    async def _get(self, key: CacheKey, tiers: Sequence[Tier]) -> Found:
        generation = self._generation
        for number, tier in enumerate(tiers):
            try:
                entry = await tier.get(key)
            except TierError as error:
                self._report(tier.name, error)
                continue
            if entry is not None:
                await self._put(entry, generation, tiers[:number])
                # A purge while it was on its way covers it.
                return Found(entry, tier.name) if generation == self._generation else NOTHING
        return NOTHING

    async def glance(self, key: CacheKey) -> Found:
        """What the nearest tier has: enough for who has just looked everywhere. Raises nothing."""
        return await self._get(key, self._tiers[:1])

    async def put(self, entry: Entry, generation: int) -> bool:
        """Store ``entry`` in every tier, unless a purge came after ``generation``.

        Returns whether at least one tier took it. Raises nothing.
        """
        return await self._put(entry, generation, self._tiers)

    async def _put(self, entry: Entry, generation: int, tiers: Sequence[Tier]) -> bool:
        taken = False
        for tier in tiers:
            if generation != self._generation:
                return False
            try:
                taken |= await tier.put(entry)
            except TierError as error:
                self._report(tier.name, error)
                continue
            if generation != self._generation:
                await self._take_back(tier, entry.key)
                return False
        return taken

    async def clear(self) -> None:
        """Forget everything; nothing that is in the air now will be stored.

        Raises:
            TierError: some tier could not promise to have forgotten; the others have.
        """
        self._generation += 1
        failed: TierError | None = None
        for tier in self._tiers:
            try:
                await tier.clear()
            except TierError as error:
                self._report(tier.name, error)
                failed = error
        if failed is not None:
            raise failed

    async def _take_back(self, tier: Tier, key: CacheKey) -> None:
        """A purge overtook a put: what was put must not outlive it."""
        try:
            await tier.delete(key)
        except TierError as error:
            self._report(tier.name, error)
