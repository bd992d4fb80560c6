"""Handing on: what has landed is stored further off, once all who wait have been written to."""

from __future__ import annotations

import asyncio
from typing import Final

from proxy.flight.errand import Errand

# Turns of the loop from the landing until nobody waits for its bytes: in one who waits is woken and
# writes, and at the end of it uvloop has what was written go out.
_TURNS: Final = 2


async def hand_on(errand: Errand) -> None:
    """Have what was kept stored further off, too, in a moment.

    Cancelled or not: what is said to be stored is.
    """
    try:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
    finally:
        await errand.hand_on()
