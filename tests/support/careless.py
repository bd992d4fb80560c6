"""A client for Redis with the fault that once showed people each other's answers, on purpose.

Whoever is cancelled puts his connection back into the pool with the reply still to come, and the
next to use it takes that reply for his own. Nothing in the product is like this; what is meant to
notice such a client, or to survive one, is tried on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hiredis

HERE = "127.0.0.1"
_PIECE = 65_536


class CarelessRedis:
    """A pool of connections that are shared as they should not be."""

    def __init__(self, wires: list[Wire]) -> None:
        self._idle: asyncio.LifoQueue[Wire] = asyncio.LifoQueue()
        for wire in wires:
            self._idle.put_nowait(wire)

    async def ask(self, *words: bytes) -> object:
        """The next reply on some connection, whosever it is."""
        wire = await self._idle.get()
        try:
            return await wire.ask(words)
        finally:
            self._idle.put_nowait(wire)  # the fault: the reply may not have been read


class Wire:
    """One connection; replies are whole, but nobody knows whose."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._replies = hiredis.Reader()

    async def ask(self, words: tuple[bytes, ...]) -> object:
        self._writer.write(hiredis.pack_command(words))
        while (reply := self._replies.gets()) is False:
            piece = await self._reader.read(_PIECE)
            if not piece:
                raise ConnectionError("Redis hung up")
            self._replies.feed(piece)
        return reply

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


@asynccontextmanager
async def careless_redis(port: int, connections: int = 8) -> AsyncIterator[CarelessRedis]:
    """A client of the server on ``port``, until the block ends."""
    wires = [Wire(*await asyncio.open_connection(HERE, port)) for _ in range(connections)]
    try:
        yield CarelessRedis(wires)
    finally:
        for wire in wires:
            await wire.close()
