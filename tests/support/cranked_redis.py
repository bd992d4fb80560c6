"""A Redis whose every word is a test's: it tells what came, and says what it is told to, when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hiredis

HERE = "127.0.0.1"
_WITHIN_S = 20.0


class Peer:
    """One connection, as the server sees it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._ended = asyncio.Event()

    def say(self, *replies: bytes) -> None:
        self._writer.write(b"".join(replies))

    def hang_up(self) -> None:
        self._writer.close()
        self._ended.set()

    async def ended(self) -> None:
        """Return once either side has hung up."""
        await asyncio.wait_for(self._ended.wait(), _WITHIN_S)


class CrankedRedis:
    """All connections, oldest first."""

    def __init__(self) -> None:
        self.port = 0
        self.peers: list[Peer] = []
        self._came: asyncio.Queue[tuple[Peer, list[list[bytes]]]] = asyncio.Queue()

    async def heard(self) -> tuple[Peer, list[list[bytes]]]:
        """The commands that came next in one piece, and over which connection."""
        return await asyncio.wait_for(self._came.get(), _WITHIN_S)

    @property
    def quiet(self) -> bool:
        """Whether nothing came that was not heard."""
        return self._came.empty()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(writer)
        self.peers.append(peer)
        read = hiredis.Reader()
        batch: list[list[bytes]] = []
        try:
            while piece := await reader.read(2**20):
                read.feed(piece)
                while (command := read.gets()) is not False:
                    batch.append(command)
                if batch and not read.has_data():
                    self._came.put_nowait((peer, batch))
                    batch = []
        except ConnectionError:
            pass
        finally:
            peer.hang_up()


@asynccontextmanager
async def cranked_redis() -> AsyncIterator[CrankedRedis]:
    """One that listens for as long as the block lasts."""
    redis = CrankedRedis()
    listener = await asyncio.start_server(redis.serve, HERE, 0)
    redis.port = listener.sockets[0].getsockname()[1]
    try:
        yield redis
    finally:
        listener.close()
        for peer in redis.peers:
            peer.hang_up()
        await asyncio.sleep(0)
