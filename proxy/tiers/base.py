"""What the ladder asks of a tier."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from proxy.model.entry import CacheKey, Entry


class Tier(Protocol):
    """A place where entries are kept. It may forget anything at any time, and never lies."""

    @property
    def name(self) -> str: ...

    async def get(self, key: CacheKey) -> Entry | None:
        """The entry stored under ``key``, fresh or stale, but never past its keep.

        Raises:
            TierError: the tier failed; a miss to the caller.
        """
        ...

    async def put(self, entry: Entry) -> bool:
        """Keep ``entry`` under its key, in place of an older one; False if it is declined.

        What is declined leaves no older entry in its place.

        Raises:
            TierError: the tier failed; nothing is stored.
        """
        ...

    async def delete(self, key: CacheKey) -> None:
        """Forget ``key``. Raises TierError if that cannot be promised."""
        ...

    async def clear(self) -> None:
        """Forget everything. Raises TierError if that cannot be promised."""
        ...


@runtime_checkable
class AtHand(Tier, Protocol):
    """A tier that can be asked without waiting."""

    def at_hand(self, key: CacheKey) -> Entry | None:
        """What ``get`` would return, counted as a hit; where that is None nothing is counted."""
        ...

    def keeps(self, entry: Entry) -> bool:
        """Whether ``get`` would return ``entry``, this very object; counted as a hit if so."""
        ...
