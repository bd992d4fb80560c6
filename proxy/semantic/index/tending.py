"""Tending graphs: which namespaces get one, what is added to it, and when it is built anew.

All the work is done in one thread, a piece for a namespace at a time; what came meanwhile is seen
to when that piece is done. Rows that wait for a graph are compared one by one as before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from proxy.lane import Lane
from proxy.semantic.index.graph import Graph, Shape
from proxy.semantic.index.rows import Rows, Space

_MERGED_AT_ONCE: Final = 1_024


class Tending:
    """Graphs for namespaces that are large enough; ``start`` it before it is asked for any.

    Args:
        shape: of the graphs.
        exact_up_to: rows of a namespace that are compared one by one; more get a graph.
        merged_at: rows that wait for a graph before it gets them.
        lost: told of a graph that could not be built: whose rows, and the slots it was to be given.
    """

    def __init__(
        self,
        *,
        shape: Shape,
        exact_up_to: int,
        merged_at: int,
        lost: Callable[[Rows, Sequence[int]], None],
    ) -> None:
        self.shape = shape
        self._exact_up_to = exact_up_to
        self._merged_at = merged_at
        self._lost = lost
        self._building: dict[Space, asyncio.Future[Graph | None]] = {}

    def start(self, lane: Lane) -> None:
        """Have graphs built in ``lane`` from now on; whoever made it stops it."""
        self._lane = lane

    def forget(self) -> None:
        """Hear no more of what is being built: its rows are halted."""
        self._building.clear()

    async def settled(self) -> None:
        """Wait until nothing is being built."""
        while self._building:
            await asyncio.wait(self._building.values())
            await asyncio.sleep(0)

    def tend(self, rows: Rows, space: Space) -> None:
        """Have the graph of a space get what it lacks, if it is to have one."""
        if rows.halted.is_set() or space in self._building:
            return
        if space.graph is None:
            if space.count <= self._exact_up_to:
                return
            space.graph = Graph(rows, self.shape)
        graph = space.graph
        job: Callable[[], Graph | None]
        if graph.is_wasteful and space.count:
            slots = rows.grown(space).tolist()
            shrunk = space.count <= self._exact_up_to // 2
            job = partial(graph.disowned if shrunk else graph.regrown, slots)
        elif graph.doomed or len(space.loose) >= self._merged_at:
            job = partial(graph.grow, rows.move(space, _MERGED_AT_ONCE))
        else:
            return
        building = self._building[space] = self._lane.submit(job)
        building.add_done_callback(partial(self._built, rows, space))

    def tend_all(self, rows: Rows) -> None:
        """As ``tend``, for each space that has a graph, or is to have one."""
        for space in list(rows.spaces.values()):
            self.tend(rows, space)

    def _built(self, rows: Rows, space: Space, building: asyncio.Future[Graph | None]) -> None:
        """The thread has done something for a space; it says what its graph is from now on."""
        if rows.halted.is_set() or building.cancelled():
            return
        del self._building[space]
        moving, space.moving = space.moving, None
        rows.reclaim()
        if building.exception() is not None:
            self._lost(rows, [slot for slot in moving or () if rows.space(slot) is space])
            return  # whoever comes next tries again
        graph, old = building.result(), space.graph
        if graph is None and old is not None:
            rows.loosen(space)
            while old.doomed:
                rows.release(old.doomed.popleft())
        space.graph = graph
        self.tend(rows, space)
