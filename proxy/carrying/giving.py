"""Giving: what the tiers hold, as a parcel.

Left out are errors and empty results, which are kept for a moment only, and what a purge covers. An
entry that is in memory and elsewhere is given once; one in two other tiers may be given twice, and
whoever takes it in keeps one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol

from proxy.carrying.parcel import Heading, Packing
from proxy.model.entry import Entry

_PAGE: Final = 1000  # entries asked for at once
_BREATH: Final = 16  # entries made into bytes on end, about a millisecond
_LARGE: Final = 128 * 1024  # bytes of one that is made into bytes elsewhere: it takes milliseconds
_PIECE: Final = 256 * 1024  # bytes told at once


class Listed(NamedTuple):
    """Some entries."""

    entries: Sequence[Entry]
    after: str | None  # where to go on; None: there are no more


Lists = Callable[[str, str], Awaitable[Listed]]
"""Some entries of the tier so named, after what was listed before; raises TierError."""


class Encodes(Protocol):
    """Makes envelopes; raises ValueError for what none can hold."""

    def encode(self, entry: Entry, now: float, wall: float) -> bytes: ...


async def give(
    lists: Lists,
    tiers: Sequence[str],
    codec: Encodes,
    heading: Heading,
    *,
    clock: Callable[[], float],
    wall: Callable[[], float],
) -> AsyncIterator[bytes]:
    """The parcel, piece by piece.

    Args:
        lists: lists a tier.
        tiers: their names, nearest first.
        codec: for this alone.
        heading: what to say of it.
        clock: seconds on the clock of ``Entry.stored_at``.
        wall: seconds since 1970.

    Raises:
        TierError: a tier could not be listed to its end; the parcel stays without its own.
    """
    packing = Packing()
    held = [packing.heading(heading)]
    size = 0
    near: set[bytes] = set()  # digests of what the nearest tier gave
    for tier in tiers:
        after: str | None = ""
        while after is not None:
            listed = await lists(tier, after)
            after = listed.after
            for number, entry in enumerate(listed.entries):
                if number % _BREATH == 0:
                    await asyncio.sleep(0)
                if entry.negative or entry.key.digest in near:
                    continue
                if tier == tiers[0]:
                    near.add(entry.key.digest)
                try:
                    if entry.size > _LARGE:
                        now = clock(), wall()
                        envelope = await asyncio.to_thread(codec.encode, entry, *now)
                    else:
                        envelope = codec.encode(entry, clock(), wall())
                except ValueError:
                    continue
                piece = packing.entry(envelope)
                held.append(piece)
                size += len(piece)
                if size >= _PIECE:
                    yield b"".join(held)
                    held, size = [], 0
    held.append(packing.end())
    yield b"".join(held)
