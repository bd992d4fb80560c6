"""What the finder asks of an embedder and of an index.

Vectors are one-dimensional ``float32`` arrays of unit length, so that the inner product of two is
their cosine. numpy is imported by whoever makes or compares them, never by whoever is off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from proxy.model.entry import CacheKey, Entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]


class Shelf(Protocol):
    """Where entries are kept, as the finder sees it: the ladder."""

    async def get(self, key: CacheKey) -> Shelved:
        """What is stored under ``key``, fresh or stale. Raises nothing."""
        ...

    async def put(self, entry: Entry) -> bool:
        """Store ``entry``; whether it was taken. Raises nothing."""
        ...


class Shelved(Protocol):
    """What a shelf had."""

    @property
    def entry(self) -> Entry | None: ...

    @property
    def tier(self) -> str: ...

    @property
    def sure(self) -> bool:
        """Whether nothing is there, where nothing was found."""
        ...


class EmbedderError(Exception):
    """The embedder failed, hung, or gave what is no vector; a miss to the caller."""


class TextRefused(EmbedderError):
    """It is well, but one of the texts at least is none that it takes: too long for it, say."""


class Embedder(Protocol):
    """A model that turns texts into vectors. It may be slow, and may fail; it is never trusted."""

    @property
    def name(self) -> str:
        """What kind it is and which model, file or address: "onnx:/models/minilm"."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal only for embedders whose vectors may meet: covers the weights where they are seen.

        Known once it has started. At most 64 characters of ``[0-9A-Za-z_.-]``.
        """
        ...

    @property
    def dimensions(self) -> int:
        """The length of its vectors; known once it has started."""
        ...

    async def start(self) -> None:
        """Load the model, or look whether it is there. It may take minutes, never on the loop.

        Raises:
            EmbedderError: it cannot be used; what it says is for an operator.
        """
        ...

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """A vector for each text, in their order; not yet checked, of any length but 0.

        Raises:
            EmbedderError: it failed; no text has a vector.
        """
        ...

    def unknown(self, text: str) -> float | None:
        """The share of the tokens of ``text`` that the model does not know, from 0 to 1.

        None if its tokeniser cannot be seen.
        """
        ...

    async def close(self) -> None:
        """Let go of the model."""
        ...


class Row(NamedTuple):
    """What an index holds of one entry."""

    namespace: bytes  # 16 bytes; only rows of one namespace are ever neighbours
    key: CacheKey
    vector: Vector
    expires: float  # seconds since 1970; after that the entry is of no use


class Neighbour(NamedTuple):
    """An entry near to what was asked for."""

    key: CacheKey
    score: float  # the cosine, from -1 to 1, as exact as the index keeps vectors


class Index(Protocol):
    """Vectors of entries, to find the nearest. It may forget anything, and names keys only.

    What it says is checked against the entry: an index cannot make a wrong hit.
    """

    @property
    def name(self) -> str: ...

    async def open(self, fingerprint: str, dimensions: int) -> None:
        """Be ready for vectors of this embedder; those of another are dropped or kept apart.

        Raises:
            TierError: it cannot be used now; ``search`` and the others may be tried all the same.
        """
        ...

    async def search(self, namespace: bytes, vector: Vector, count: int) -> Sequence[Neighbour]:
        """The nearest rows of ``namespace``, nearest first, at most ``count``.

        Raises:
            TierError: it failed; no neighbours, to the caller.
        """
        ...

    async def add(self, rows: Sequence[Row]) -> None:
        """Keep rows, each in place of an older one with its key. Raises TierError."""
        ...

    async def remove(self, namespace: bytes, keys: Sequence[CacheKey]) -> None:
        """Forget rows. Raises TierError if that cannot be promised."""
        ...

    async def clear(self) -> None:
        """Forget all rows. Raises TierError if that cannot be promised."""
        ...

    async def close(self) -> None:
        """Let go of it; what outlives the process is safe then."""
        ...
