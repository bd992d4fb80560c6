"""Generations that are no longer asked, but that somebody may still be with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from proxy.app.generation import Generation

log = logging.getLogger("sidecache.reload")

_LOOK_S: Final = 1.0


class Retired:
    """Holds them until nobody is with them, and closes them then.

    Args:
        current: the one that is asked now; what it needs stays open.
        look_s: seconds from one look at who is with them to the next.
    """

    def __init__(self, current: Callable[[], Generation], *, look_s: float = _LOOK_S) -> None:
        self._current = current
        self._look_s = look_s
        self._all: list[Generation] = []
        self._looking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._all)

    async def add(self, old: Generation) -> None:
        """Another has taken the place of ``old``."""
        self._all.append(old)
        await old.retire(self._current())
        await self.let_go()
        if self._all and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look())

    async def let_go(self) -> None:
        """Close those that nobody is with."""
        over = [each for each in self._all if not each.in_use]
        self._all = [each for each in self._all if each not in over]
        for each in over:
            try:
                await each.close((self._current(), *self._all))
            except Exception:  # a bug in it must not keep the others open for ever
                log.exception("a generation could not be closed")

    async def close(self) -> None:
        """Close all, whoever is with them."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        left, self._all = self._all, []
        for each in left:
            await each.close()

    async def _look(self) -> None:
        """The root of a task."""
        while self._all:
            await asyncio.sleep(self._look_s)
            await self.let_go()
