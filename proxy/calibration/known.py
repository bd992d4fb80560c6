"""An embedder that remembers: every text is embedded once, and in large batches before it counts.

So the same questions can be asked again and again, with this part or that one switched off, in the
time that one run of the model takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from proxy.semantic.base import Embedder, EmbedderError

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

_BATCH: Final = 32


class KnownEmbedder:
    """An ``Embedder`` that asks another one, for each text once.

    Args:
        embedder: the other one; it is closed with this.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, Vector] = {}
        self._shares: dict[str, float | None] = {}
        self._started = False

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def fingerprint(self) -> str:
        return self._embedder.fingerprint

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    async def start(self) -> None:
        if not self._started:
            await self._embedder.start()
            self._started = True

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        unknown = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if unknown:
            vectors = await self._embedder.embed(unknown)
            if len(vectors) != len(unknown):
                raise EmbedderError(f"{len(vectors)} vectors came for {len(unknown)} texts")
            self._vectors.update(zip(unknown, vectors, strict=True))
        return [self._vectors[text] for text in texts]

    def unknown(self, text: str) -> float | None:
        if text not in self._shares:
            self._shares[text] = self._embedder.unknown(text)
        return self._shares[text]

    async def close(self) -> None:
        await self._embedder.close()

    async def learn(self, texts: Iterable[str], told: Callable[[int, int], None]) -> None:
        """Embed ``texts``, those of about the same length together.

        ``told`` hears how many of how many are done, after each batch.

        Raises:
            EmbedderError: it failed.
        """
        left = sorted({text for text in texts if text not in self._vectors}, key=len)
        for first in range(0, len(left), _BATCH):
            await self.embed(left[first : first + _BATCH])
            told(min(first + _BATCH, len(left)), len(left))

    async def afresh(self, text: str) -> Vector:
        """The vector of ``text`` from the other embedder, however often it has said it."""
        (vector,) = await self._embedder.embed([text])
        return vector
