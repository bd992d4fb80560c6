"""Bodies that are still coming, and what is done to them on their way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from proxy.dialects.base import Sieve
from proxy.wire import frames, lines


class Coming:
    """A body that is still coming; what it holds is given back at its end, heard or not.

    Not a generator: closing one that nobody has begun to read runs none of its code.
    """

    def __init__(self, pieces: AsyncIterator[bytes], give_back: Callable[[], None]) -> None:
        self._pieces = pieces
        self._give_back = give_back

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except BaseException:  # its end, its failure, or the reader's cancellation
            self._give_back()
            raise

    async def aclose(self) -> None:
        self._give_back()
        if isinstance(self._pieces, AsyncGenerator):
            await self._pieces.aclose()


async def paced(body: bytes, media_type: str, pause: float) -> AsyncIterator[bytes]:
    """The events, or the lines, of ``body``, ``pause`` seconds apart."""
    split = lines.split if media_type in lines.MEDIA_TYPES else frames.split
    events, rest = split(body)
    for number, event in enumerate(events):
        if number:
            await asyncio.sleep(pause)
        yield event
    if rest:
        yield rest


async def sieved(pieces: AsyncIterator[bytes], sieve: Sieve) -> AsyncIterator[bytes]:
    """What ``sieve`` lets through of ``pieces``."""
    piece = b""
    async for piece in pieces:
        if passed := sieve(piece):
            yield passed
    if not frames.ended(piece):
        # Some backends leave the last event without its empty line; the sieve waits for that.
        yield sieve(b"\n\n")
