"""What a test sends upstream (bodies fed by hand, requests made in one line), and what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from proxy.model.message import Arrival, Body, Headers, Outbound, Upstream


def outbound(
    method: str = "POST",
    path: str = "/",
    *,
    query_string: str = "",
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes | Body = b"",
) -> Outbound:
    """A request as the proxy sends it upstream."""
    return Outbound(method, path, query_string, Headers(headers), body)


async def read(arrival: Arrival) -> bytes:
    """All of a response's body."""
    return b"".join([piece async for piece in arrival.chunks()])


async def ask(upstream: Upstream, asked: Outbound) -> bytes:
    """The body of the response to a request."""
    return await read(await upstream.send(asked))


class FedBody:
    """A request body whose pieces the test hands over one by one. Implements ``Body``.

    ``dropped`` is set when whoever read the pieces has stopped, at the end or before.
    """

    def __init__(self, length: int | None = None) -> None:
        self.length = length
        self.dropped = asyncio.Event()
        self._pieces: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()

    def feed(self, piece: bytes) -> None:
        """Let a piece come."""
        self._pieces.put_nowait(piece)

    def end(self) -> None:
        """Let the body end, properly or not."""
        self._pieces.put_nowait(None)

    def fail(self, fault: Exception) -> None:
        """Let the body break off."""
        self._pieces.put_nowait(fault)

    async def whole(self, limit: int) -> bytes | None:
        raise NotImplementedError

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            while (piece := await self._pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.dropped.set()
