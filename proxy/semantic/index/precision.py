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
_AT_ONCE: Final = 2_048  # rows brought together in one go: as bytes they stay in the cache
_HIGHEST: Final = 127
_TINY: Final = 1e-30  # so that a vector of zeros is near to nothing, and no error
_PARTS: Final = 254  # of what is lost to whole numbers, in a vector that is asked for


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
            kept = matrix.astype(np.float16)
        lengths = np.linalg.norm(kept.astype(np.float32), axis=1)
        return kept, (1 / lengths).astype(np.float32)

    def cosines(self, kept: Kept, factors: Floats, asked: Vector) -> Floats:
        """The cosine of each row of ``kept`` with ``asked``, which is one long."""
        # numpy's products wait for threads of their own, which others may keep from running.
        from numkong import cdist  # noqa: PLC0415 # an extra

        if kept.dtype == np.int8:
            step = max(float(np.abs(asked).max()), _TINY) / _HIGHEST
            whole = np.rint(asked / step)
            rest = np.rint((asked / step - whole) * _PARTS)
            given = np.array([whole, rest], np.int8)
            products = np.asarray(cdist(given, kept, "dot"))
            found = (products[0] + products[1] / _PARTS) * step
        else:
            found = np.asarray(cdist(asked[None].astype(kept.dtype), kept, "dot"))[0]
        cosines: Floats = (found * factors).astype(np.float32)
        return np.clip(cosines, -1.0, 1.0, out=cosines)

    def scan(self, kept: Kept, factors: Floats, slots: NDArray[np.uint32], asked: Vector) -> Floats:
        """The cosine of the row at each of ``slots`` with ``asked``."""
        found = np.empty(len(slots), np.float32)
        for at in range(0, len(slots), _AT_ONCE):
            some = slots[at : at + _AT_ONCE]
            found[at : at + _AT_ONCE] = self.cosines(kept[some], factors[some], asked)
        return found
