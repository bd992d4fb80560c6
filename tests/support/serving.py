"""A Server on a free port that answers as a test tells it to, and keeps what it records."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from proxy.downstream.limits import Limits
from proxy.downstream.server import Server
from proxy.downstream.service import Answer, Attending, Tunnel
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

    def __init__(self, answer: Answer | None, tunnel: Tunnel | None, limits: Limits) -> None:
        self.requests: list[Request] = []
        self.address = ("", 0)
        self._answer = answer
        self._tunnel = tunnel
        self._records: asyncio.Queue[Record] = asyncio.Queue()
        self.server = Server(
            Attending(self._asked, self._asked_to_tunnel, limits),
            self._records.put_nowait,
            clock=lambda: NOON,
        )

    async def _asked(self, request: Request) -> Reply:
        self.requests.append(request)
        if self._answer is not None:
            return await self._answer(request)
        await request.body.whole(2**20)
        return reply_with()

    async def _asked_to_tunnel(self, request: Request) -> Duplex | Reply:
        self.requests.append(request)
        assert self._tunnel is not None
        return await self._tunnel(request)

    async def client(self, *, receive_buffer: int | None = None) -> RawClient:
        return await RawClient.connect(self.address, receive_buffer=receive_buffer)

    async def record(self) -> Record:
        """The next record."""
        async with asyncio.timeout(10):
            return await self._records.get()

    async def until_open(self, count: int) -> None:
        """Wait until just so many connections are open."""
        async with asyncio.timeout(10):
            while self.server.counts.open != count:  # noqa: ASYNC110 - nothing tells but the count
                await asyncio.sleep(0.001)

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
    stage = Serving(answer, tunnel, limits or Limits())
    stage.address = await stage.server.start("127.0.0.1", 0, ssl=ssl)
    try:
        yield stage
    finally:
        await stage.server.close(0)
    assert stage.server.counts.open == 0


@asynccontextmanager
async def talking(
    answer: Answer | None = None,
    *,
    tunnel: Tunnel | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[RawClient]:
    """One client of a server that nothing else is asked of."""
    async with (
        serving(answer, tunnel=tunnel, limits=limits) as stage,
        await stage.client() as client,
    ):
        yield client
