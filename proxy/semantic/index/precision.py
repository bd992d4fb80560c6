"""How exactly vectors are kept: as floats of 32 or 16 bits, or as bytes with a scale for each.

A kept vector need not be one long any more; its ``factor`` makes up for that, so that what is kept
times the factor is. Cosines are of what is kept and what is asked with all its bits: for 384
dimensions they are off by about 1e-7 (f32), 2e-5 (f16) and 3e-4 (i8), by ``benchmarks/index.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from proxy.semantic.base import Vector

    Kept = NDArray[np.generic]
    Floats = NDArray[np.float32]

Dtype = Literal["f32", "f16", "i8"]

_TYPES: Final = {"f32": np.float32, "f16": np.float16, "i8": np.int8}
_AT_ONCE: Final = 512  # rows widened to 32 bits in one go: they stay in the processor's cache
_HIGHEST: Final = 127
_TINY: Final = 1e-30  # so that a vector of zeros is near to nothing, and no error
_LEAST_HALF: Final = 2.0**-14  # halves below it have another form, and are as good as 0 here
_HALF_BITS: Final = np.int32(-0x70000001)  # all but bits 28 to 30, which a shifted sign fills
_HALF_SCALE: Final = np.float32(2.0**112)  # exponents count from -127, those of halves from -15


class Precision:
    """A way to keep vectors of ``dimensions``."""

    def __init__(self, dtype: Dtype, dimensions: int) -> None:
        self.dtype: Dtype = dtype
        self.dimensions = dimensions
        self.type: np.dtype[np.generic] = np.dtype(_TYPES[dtype])
        self.row_bytes = dimensions * self.type.itemsize

    def keep(self, vectors: Sequence[Vector]) -> tuple[Kept, Floats]:
        """A matrix of what to keep of ``vectors``, a row for each, and their factors.

        Raises:
            ValueError: one is of another length, all zeros, or not of finite numbers.
        """
        if any(vector.shape != (self.dimensions,) for vector in vectors):
            raise ValueError(f"not a vector of {self.dimensions} dimensions")
        matrix = np.array(vectors, np.float32)
        highest = np.abs(matrix).max(axis=1)
        if not (np.isfinite(highest) & (highest > 0)).all():
            raise ValueError("not a vector that points anywhere")
        kept: Kept = matrix
        if self.dtype == "i8":
            kept = np.rint(matrix * (_HIGHEST / highest)[:, None]).astype(np.int8)
        elif self.dtype == "f16":
            matrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
            kept = np.where(np.abs(matrix) < _LEAST_HALF, 0.0, matrix).astype(np.float16)
        lengths = np.linalg.norm(kept.astype(np.float32), axis=1)
        return kept, (1 / lengths).astype(np.float32)

    def asked(self, vector: Vector) -> Kept:
        """A vector of finite numbers in the form of those kept, to be looked for among them."""
        if self.dtype == "i8":
            scale = _HIGHEST / max(float(np.abs(vector).max()), _TINY)
            small: Kept = np.rint(vector * np.float32(scale)).astype(np.int8)
            return small
        return vector.astype(self.type, copy=False)

    def cosines(self, kept: Kept, factors: Floats, asked: Vector) -> Floats:
        """The cosine of each row of ``kept`` with ``asked``, which is one long."""
        if kept.dtype == np.float32:
            found: Floats = kept.astype(np.float32, copy=False) @ asked
        elif kept.dtype == np.float16:
            # numpy widens halves one by one; integers it shifts many at a time.
            bits = kept.view(np.int16).astype(np.int32)
            bits <<= 13
            bits &= _HALF_BITS
            found = bits.view(np.float32) @ (asked * _HALF_SCALE)
        else:
            found = kept.astype(np.float32) @ asked
        found *= factors
        return np.clip(found, -1.0, 1.0, out=found)

    def scan(self, kept: Kept, factors: Floats, slots: NDArray[np.uint32], asked: Vector) -> Floats:
        """The cosine of the row at each of ``slots`` with ``asked``."""
        found = np.empty(len(slots), np.float32)
        for at in range(0, len(slots), _AT_ONCE):
            some = slots[at : at + _AT_ONCE]
            found[at : at + _AT_ONCE] = self.cosines(kept[some], factors[some], asked)
        return found
