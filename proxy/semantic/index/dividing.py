"""Dividing vectors among centres: spherical k-means, in whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from proxy.semantic.index.sketches import levelled, packed_vectors, products

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from proxy.semantic.index.sketches import Small

_ROUNDS: Final = 5  # more find little better centres
_LOOKED_AT: Final = 1_024  # vectors for each centre
_SEED: Final = 1_982


def divided(small: Small, count: int) -> Small:
    """Up to ``count`` centres, all of one length; one, if the vectors cannot be told apart.

    ``small`` are vectors as ``shrunk`` makes them.
    """
    dice = np.random.default_rng([_SEED, len(small)])
    if len(small) > count * _LOOKED_AT:
        small = small[dice.choice(len(small), count * _LOOKED_AT, replace=False)]
    wide = small.astype(np.float32)
    wide /= np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), np.float32(1e-30))
    centres = levelled(wide[dice.choice(len(wide), count, replace=False)])
    for _ in range(_ROUNDS):
        centres = levelled(_sums(wide, products(small, packed_vectors(centres)).argmax(axis=1)))
    return centres


def _sums(wide: NDArray[np.float32], groups: NDArray[np.intp]) -> NDArray[np.float32]:
    """The sum of the vectors of each group that has any."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    return np.add.reduceat(wide[order], starts, axis=0)
