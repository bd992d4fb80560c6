"""Sketches of vectors, a few bytes each: how many of their bits differ tells how far two are apart.

A bit says on which side of a plane through the origin a vector lies; of two vectors, the share of
planes that part them is their angle over half a turn (Charikar, STOC 2002). The planes are those
between the axes; a vector of few dimensions gets planes drawn by lot besides, as its own are too
few to tell anything.

A sketch is kept as whole numbers of 64 bits, a column of them: so numpy compares the sketches of
many rows by few calls, a word of all at a time. numkong compares vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numkong import PackedMatrix
    from numpy.typing import NDArray

    from proxy.semantic.index.precision import Kept

    Bits = NDArray[np.uint64]  # a column for each sketch
    Small = NDArray[np.int8]

_FEW: Final = 256  # dimensions; with fewer, as many planes are drawn by lot
_SEED: Final = 1_905
_WORD: Final = 64  # bits
_EVEN: Final = 8  # of a number of rows that is no multiple of it, numkong makes four times the work


class Packed(NamedTuple):
    """Rows as the kernels want them."""

    matrix: PackedMatrix
    rows: int  # of them; those after are none


class Sketcher:
    """Makes sketches of vectors of ``dimensions``, the same ones each time."""

    def __init__(self, dimensions: int) -> None:
        self._planes: NDArray[np.float32] | None = None
        if dimensions < _FEW:
            dice = np.random.default_rng(_SEED)
            self._planes = dice.standard_normal((dimensions, _FEW), dtype=np.float32)
        self.words = -(-max(dimensions, _FEW) // _WORD)  # of a sketch

    def sketch(self, vectors: Kept) -> Bits:
        """The sketch of each row."""
        if self._planes is not None:
            vectors = vectors.astype(np.float32) @ self._planes
        packed = np.zeros((len(vectors), self.words * _WORD // 8), np.uint8)
        bits = np.packbits(np.greater(vectors, 0), axis=1)
        packed[:, : bits.shape[1]] = bits
        return packed.view(np.uint64).T


def apart(asked: Bits, sketches: Bits) -> NDArray[np.uint16]:
    """How many bits of the one sketch ``asked`` differ from each; ``sketches`` are used up."""
    sketches ^= asked
    parted: NDArray[np.uint16] = np.bitwise_count(sketches).sum(axis=0, dtype=np.uint16)
    return parted


def packed_vectors(small: Small) -> Packed:
    """Vectors as ``products`` wants them; at least one."""
    from numkong import dots_pack  # noqa: PLC0415

    return Packed(dots_pack(np.ascontiguousarray(_evened(small))), len(small))


def products(small: Small, others: Packed) -> NDArray[np.int32]:
    """The inner product of each row of ``small`` with each of ``others``."""
    from numkong import dots_packed  # noqa: PLC0415

    return np.asarray(dots_packed(np.ascontiguousarray(small), others.matrix))[:, : others.rows]


def _evened(rows: Small) -> Small:
    """The same, and zeros after them."""
    return np.pad(rows, ((0, -len(rows) % _EVEN), (0, 0)))


def shrunk(vectors: Kept) -> Small:
    """Vectors that point to where the given ones do, in whole numbers; each of its own length."""
    if vectors.dtype == np.int8:
        return vectors.astype(np.int8, copy=False)
    wide = vectors.astype(np.float32)
    wide *= 127 / np.maximum(np.abs(wide).max(axis=1, keepdims=True), np.float32(1e-30))
    return np.rint(wide, out=wide).astype(np.int8)


def levelled(vectors: NDArray[np.float32]) -> Small:
    """The same, but all of one length, so that ``products`` with them can be compared."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-30))
    small: Small = np.rint(vectors * (127 / lengths)).astype(np.int8)
    return small
