"""A Server on a free port that answers as a test tells it to, and keeps what it records."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from proxy.downstream.limits import Limits
from proxy.downstream.server import Server
from proxy.downstream.service import Answer, Tunnel
from proxy.model.decision import Why
from proxy.model.message import Duplex, Head, Headers, Request
from proxy.model.outcome import Outcome, Record, Reply, Verdict
from support.raw_client import RawClient

OUTCOME = Outcome(Verdict.MISS, Why.UNSEEN)
NOON = 1_755_000_000.0  # Tue, 12 Aug 2025 12:00:00 GMT


def reply_with(
    body: bytes | AsyncIterator[bytes] = b"hello",
    *,
    status: int = 200,
    reason: str = "OK",
    headers: Iterable[tuple[str, str]] = (),
    length: int | None = None,
    close: bool = False,
) -> Reply:
    return Reply(Head(status, reason, Headers(headers)), body, length, OUTCOME, close)


class Serving:
    """A running server, the requests its ``answer`` was asked, and the records it made."""

    def __init__(self, server: Server, address: tuple[str, int]) -> None:
        self.server = server
        self.address = address
        self.requests: list[Request] = []
        self._records: asyncio.Queue[Record] = asyncio.Queue()

    async def client(self, *, receive_buffer: int | None = None) -> RawClient:
        return await RawClient.connect(self.address, receive_buffer=receive_buffer)

    async def record(self) -> Record:
        """The next record."""
        async with asyncio.timeout(10):
            return await self._records.get()

    def no_more_records(self) -> bool:
        return self._records.empty()


@asynccontextmanager
async def serving(
    answer: Answer | None = None,
    *,
    tunnel: Tunnel | None = None,
    limits: Limits | None = None,
    ssl: tls.SSLContext | None = None,
) -> AsyncIterator[Serving]:
    """Serve until the block ends; without ``answer``, read the body and say hello."""
    made: list[Serving] = []

    async def asked(request: Request) -> Reply:
        made[0].requests.append(request)
        if answer is not None:
            return await answer(request)
        await request.body.whole(2**20)
        return reply_with()

    async def asked_to_tunnel(request: Request) -> Duplex | Reply:
        made[0].requests.append(request)
        assert tunnel is not None
        return await tunnel(request)

    server = Server(
        asked,
        asked_to_tunnel,
        lambda record: made[0]._records.put_nowait(record),
        limits or Limits(),
        clock=lambda: NOON,
    )
    made.append(Serving(server, await server.start("127.0.0.1", 0, ssl=ssl)))
    try:
        yield made[0]
    finally:
        await server.close(0)
    assert server.counts.open == 0
