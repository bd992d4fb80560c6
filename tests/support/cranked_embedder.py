"""An embedder that is turned by hand: it holds calls back, fails and lies as told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxy.semantic.base import EmbedderError, TextRefused
from proxy.semantic.embedders.ngram import NgramEmbedder

if TYPE_CHECKING:
    from proxy.semantic.base import Vector


class CrankedEmbedder:
    """The n-gram embedder, but for what is set here."""

    name = "cranked"
    fingerprint = "cranked-1"

    def __init__(self) -> None:
        self.starts: list[Exception] = []  # what the next starts raise
        self.fault: Exception | None = None  # what calls raise
        self.refused: frozenset[str] = frozenset()  # texts that a call fails for
        self.answer: object = None  # instead of vectors
        self.share: float | Exception | None = 0.0  # of unknown tokens
        self.calls: list[list[str]] = []
        self.closed = 0
        self._ngram = NgramEmbedder(256)
        self._free = asyncio.Event()
        self._free.set()
        self._called = asyncio.Condition()

    @property
    def dimensions(self) -> int:
        return self._ngram.dimensions

    def hold(self) -> None:
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    def become_another(self) -> None:
        """Give vectors of the same length that are not those of before."""
        self._ngram = _Reversed(256)

    async def was_called(self, count: int) -> None:
        async with asyncio.timeout(20), self._called:
            await self._called.wait_for(lambda: len(self.calls) >= count)

    async def start(self) -> None:
        if self.starts:
            raise self.starts.pop(0)
        await self._ngram.start()

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        self.calls.append(list(texts))
        async with self._called:
            self._called.notify_all()
        await self._free.wait()
        if self.fault is not None:
            raise self.fault
        if self.refused & set(texts):
            raise TextRefused("too long")
        if self.answer is not None:
            return self.answer  # type: ignore[return-value] # it lies
        await self._ngram.start()
        return await self._ngram.embed(texts)

    def unknown(self, text: str) -> float | None:
        if isinstance(self.share, Exception):
            raise self.share
        return self.share

    async def close(self) -> None:
        self.closed += 1
        if self.fault is not None:
            raise EmbedderError("it cannot even be closed")


class _Reversed(NgramEmbedder):
    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        return [vector[::-1] for vector in await super().embed(texts)]
