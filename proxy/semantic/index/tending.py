"""Tending lists: which namespaces get them, and what is added to them when.

All the work is done in one thread, a piece for a namespace at a time; what came meanwhile is seen
to when that piece is done. Rows that wait for their list are compared one by one as before.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from functools import partial
from typing import Final

from proxy.lane import Lane
from proxy.semantic.index.lists import Lists
from proxy.semantic.index.look import Shape
from proxy.semantic.index.rows import Rows, Space

_TRIMMED_AFTER: Final = 20 * 2_048  # rows put into lists, which leaves pages behind
_MERGED_AT_ONCE: Final = 2_048  # rows; until they are in lists, searches compare all of them


class Tending:
    """Lists for namespaces that are large enough; ``start`` it before it is asked for any.

    Args:
        shape: of the lists.
        exact_up_to: rows of a namespace that are compared one by one; more get lists.
        merged_at: rows that wait for lists before they get there.
        failed: told of lists that could not be made; their rows are compared one by one again.
    """

    def __init__(
        self,
        *,
        shape: Shape,
        exact_up_to: int,
        merged_at: int,
        failed: Callable[[], None],
    ) -> None:
        self.shape = shape
        self._exact_up_to = exact_up_to
        self._merged_at = merged_at
        self._failed = failed
        self._building: dict[Space, asyncio.Future[Lists]] = {}
        self._untrimmed = 0  # rows put into lists since memory was given back
        self._trimming: asyncio.Future[None] | None = None  # nobody waits for it

    def start(self, lane: Lane) -> None:
        """Have lists made in ``lane`` from now on; whoever made it stops it."""
        self._lane = lane

    def forget(self) -> None:
        """Hear no more of what is being done: its rows are halted."""
        self._building.clear()

    async def settled(self) -> None:
        """Wait until there is nothing left to do."""
        while self._building:
            await asyncio.wait(self._building.values())
            await asyncio.sleep(0)

    def tend(self, rows: Rows, space: Space) -> None:
        """Have the lists of a space get what they lack, if it is to have any."""
        if rows.halted.is_set() or space in self._building:
            return
        if space.lists is None:
            if space.count <= self._exact_up_to:
                return
            space.lists = Lists(rows, self.shape)
        lists = space.lists
        if 0 < space.count <= self._exact_up_to // 2:
            _dissolve(rows, space, lists)
        elif lists.doomed or len(space.loose) >= self._merged_at:
            job = partial(lists.grow, rows.move(space, _MERGED_AT_ONCE))
            building = self._building[space] = self._lane.submit(job)
            building.add_done_callback(partial(self._built, rows, space))
            self._untrimmed += _MERGED_AT_ONCE
        elif self._untrimmed >= _TRIMMED_AFTER:
            self._untrimmed = 0
            self._trimming = self._lane.submit(_trim)

    def tend_all(self, rows: Rows) -> None:
        """As ``tend``, for each space that has lists, or is to have them."""
        for space in list(rows.spaces.values()):
            self.tend(rows, space)

    def _built(self, rows: Rows, space: Space, building: asyncio.Future[Lists]) -> None:
        """The thread has done something for a space."""
        if rows.halted.is_set() or building.cancelled():
            return
        del self._building[space]
        space.moving = None
        rows.reclaim()
        if building.exception() is None:
            self.tend(rows, space)
            return
        self._failed()  # whoever comes next tries again
        if space.lists is not None:
            _dissolve(rows, space, space.lists)


def _trim() -> None:
    """Give back to the system what making lists has used and needs no more, where that can be."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)


def _dissolve(rows: Rows, space: Space, lists: Lists) -> None:
    """Do without lists that nothing is done to now."""
    rows.loosen(space)
    while lists.doomed:
        rows.release(lists.doomed.popleft())
