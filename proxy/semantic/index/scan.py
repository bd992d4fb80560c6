"""The nearest rows by a look at each: exact, and the quicker way while there are few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from proxy.semantic.index.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from proxy.semantic.base import Vector
    from proxy.semantic.index.lists import Lists
    from proxy.semantic.index.look import Near
    from proxy.semantic.index.pages import Slots
    from proxy.semantic.index.precision import Floats


@dataclass(frozen=True, slots=True)
class Asked:
    """A search, as it stood when it began."""

    rows: Rows
    space: int  # the number of the space to search in
    vector: Vector
    count: int
    now: float  # seconds since 1970
    births: int  # rows that were there by then

    def alive(self, slots: Slots) -> NDArray[np.bool_]:
        """Which of ``slots`` hold rows of the space that were there by then and are not expired."""
        rows = self.rows
        return np.asarray(
            (rows.space_of[slots] == self.space)
            & (rows.born[slots] <= self.births)
            & (rows.expires[slots] > self.now)
        )


class Found(NamedTuple):
    """Rows, the nearest first."""

    slots: Slots
    scores: Floats


def nearest(asked: Asked, scanned: Slots, lists: Lists | None, *, further: bool = False) -> Found:
    """The nearest rows among those ``scanned``, and those in lists. It may run in any thread.

    ``further``: a first look at the lists found nothing near.
    """
    near: Near | None = None
    if lists is not None:
        look = lists.look(asked.vector)
        near = (look.further if further else look.best)(asked.count, asked.alive)
        del look  # or lists would have to leave alone what it looked at
    return _sorted(asked, scanned, near)


def glanced(asked: Asked, scanned: Slots, lists: Lists) -> Found | None:
    """The same by a first look at lists; None if that finds nothing near."""
    near = lists.look(asked.vector).glance(asked.count, asked.alive)
    return None if near is None else _sorted(asked, scanned, near)


def _sorted(asked: Asked, scanned: Slots, near: Near | None) -> Found:
    if near is None:
        slots, scores = _compared(asked, scanned)
    else:
        slots, scores = near
        if len(scanned):
            loose, cosines = _compared(asked, scanned)
            new = ~np.isin(slots, loose)  # a row on its way into a list is in both
            slots = np.concatenate([loose, slots[new]])
            scores = np.concatenate([cosines, scores[new]])
    if len(slots) > asked.count:
        best = np.argpartition(-scores, asked.count - 1)[: asked.count]
        slots, scores = slots[best], scores[best]
    order = np.argsort(-scores, kind="stable")
    return Found(slots[order], scores[order])


def _compared(asked: Asked, scanned: Slots) -> tuple[Slots, Floats]:
    """Those of ``scanned`` that are alive, and their cosines."""
    rows = asked.rows
    cosines = rows.precision.scan(rows.vectors, rows.factors, scanned, asked.vector)
    living = asked.alive(scanned)
    return (scanned, cosines) if living.all() else (scanned[living], cosines[living])
