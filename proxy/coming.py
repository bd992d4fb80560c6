"""What is done to bodies on their way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from proxy.dialects.base import Sieve
from proxy.model.pieces import Take, pour
from proxy.wire import frames, lines


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


class Sieved:
    """What ``sieve`` lets through of ``pieces``. It can be poured."""

    __slots__ = ("_last", "_over", "_pieces", "_sieve")

    def __init__(self, pieces: AsyncIterator[bytes], sieve: Sieve) -> None:
        self._pieces = pieces
        self._sieve = sieve
        self._last = b""
        self._over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        passed: list[bytes] = []

        def take(piece: bytes) -> bool:
            passed.append(piece)
            return False

        if not (await self.pour(take) or passed):
            raise StopAsyncIteration
        return passed[0]

    async def pour(self, take: Take) -> bool:
        def pass_on(piece: bytes) -> bool:
            self._last = piece
            passed = self._sieve(piece)
            return take(passed) if passed else True

        if self._over:
            return False
        if await pour(self._pieces, pass_on):
            return True
        self._over = True
        # Some backends leave the last event without its empty line; the sieve waits for that.
        if not frames.ended(self._last) and (rest := self._sieve(b"\n\n")):
            take(rest)
        return False
