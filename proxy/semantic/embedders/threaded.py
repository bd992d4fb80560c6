"""An embedder whose model lives in a thread of its own.

To load a model takes seconds, to use it milliseconds in which the processor is busy: neither may
happen on the event loop. One thread, so that a model is never used from two at once, and no two
loads meet. It is not waited for when the process ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from proxy.lane import Lane
from proxy.semantic.base import EmbedderError

if TYPE_CHECKING:
    from proxy.semantic.base import Vector


class Loaded(NamedTuple):
    """A model that is in memory."""

    fingerprint: str
    dimensions: int
    vectors: Callable[[Sequence[str]], Sequence[Vector]]  # blocks; may raise anything
    unknown: Callable[[str], float | None]  # as Embedder.unknown; quick enough for the loop


class ThreadedEmbedder:
    """An Embedder of what ``load`` brings.

    Args:
        name: as ``Embedder.name``; what cannot be printed is escaped.
        load: brings the model into memory, in the thread; may be called again after it failed. It
            may raise anything, and EmbedderError with words for an operator.
    """

    def __init__(self, name: str, load: Callable[[], Loaded]) -> None:
        self._name = ascii(name)[1:-1]
        self._load = load
        self._lane: Lane | None = None
        self._loaded: Loaded | None = None
        self._closed = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._model().fingerprint

    @property
    def dimensions(self) -> int:
        return self._model().dimensions

    async def start(self) -> None:
        if self._closed:
            raise EmbedderError(f"{self._name}: closed")
        if self._loaded is not None:
            return
        if self._lane is None:
            self._lane = Lane("embedder")
        try:
            loaded = await self._lane.submit(self._load)
        except EmbedderError:
            raise
        except Exception as error:
            # The libraries promise nothing about what they raise.
            raise EmbedderError(f"{self._name} cannot be loaded: {_told(error)}") from error
        if not self._closed:
            self._loaded = loaded

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        model, lane = self._model(), self._lane
        if not texts or lane is None:
            return []
        sound = [_encodable(text) for text in texts]
        try:
            return await lane.submit(lambda: model.vectors(sound))
        except EmbedderError:
            raise
        except Exception as error:
            raise EmbedderError(f"{self._name} failed: {_told(error)}") from error  # as above

    def unknown(self, text: str) -> float | None:
        return None if self._loaded is None else self._loaded.unknown(_encodable(text))

    async def close(self) -> None:
        """Let go of the model. What is being embedded is still finished."""
        self._closed = True
        self._loaded = None
        if self._lane is not None:
            self._lane.stop()
            self._lane = None

    def _model(self) -> Loaded:
        if self._loaded is None:
            raise EmbedderError(f"{self._name}: {'closed' if self._closed else 'not started'}")
        return self._loaded


def _encodable(text: str) -> str:
    """``text`` with a question mark for each lone surrogate, which JSON can hold and no model."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _told(error: Exception) -> str:
    """What ``error`` says, in one line of a length fit for a log."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}"[:600]
