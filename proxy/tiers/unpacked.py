"""Entries as they were asked for lately: unpacked, so that a hit on them unpacks nothing.

They take some of the tier's budget that is theirs alone: to unpack one more makes another of them
leave, and never an entry.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from proxy.model.entry import Entry
from proxy.tiers.eviction import Slot
from proxy.tiers.packing import unpacked_size

_PATIENCE: Final = 32  # most entries looked at to find one to let go of


class Unpacked:
    """An entry, and the slot that it comes from."""

    __slots__ = ("asked", "bytes", "dead_at", "entry", "slot")

    def __init__(self, slot: Slot, entry: Entry) -> None:
        self.slot = slot
        self.entry = entry
        self.dead_at = slot.dead_at  # seconds on the tier's clock
        self.asked = False  # for again, since somebody else was let go of in its place
        self.bytes = unpacked_size(entry, slot.rest)


class Lately:
    """The entries that were asked for lately, by their digests.

    Who finds one here and uses it sets ``Unpacked.asked``; nothing moves on a hit. Those leave
    first that have not been asked for again, in the order they came.

    Args:
        most: bytes that they may take beside their bodies.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0
        self._held: OrderedDict[bytes, Unpacked] = OrderedDict()
        self.find: Callable[[bytes], Unpacked | None] = self._held.get

    def keep(self, unpacked: Unpacked) -> None:
        """Take one in that is not here, unless it is too large."""
        if unpacked.bytes <= self.most:
            self._held[unpacked.slot.digest] = unpacked
            self.bytes += unpacked.bytes
            self._shrink()

    def drop(self, digest: bytes) -> None:
        """Let go of the entry of ``digest``, if it is here."""
        found = self._held.pop(digest, None)
        if found is not None:
            self.bytes -= found.bytes

    def limit(self, most: int) -> None:
        """Take another bound."""
        self.most = most
        self._shrink()

    def clear(self) -> None:
        """Let go of all."""
        self._held.clear()
        self.bytes = 0

    def _shrink(self) -> None:
        patience = _PATIENCE
        while self.bytes > self.most:
            digest, found = self._held.popitem(last=False)
            if found.asked and patience:
                found.asked = False
                patience -= 1
                self._held[digest] = found
            else:
                self.bytes -= found.bytes
