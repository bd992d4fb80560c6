"""Many callers who ask for vectors at the same moment, each on a connection of his own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import orjson

from support.proxied import Proxied
from support.raw_client import RawClient, RawResponse


def question(
    inputs: Any, credential: str = "sk-one", path: str = "/v1/embeddings", **more: Any
) -> bytes:
    body = orjson.dumps({"model": "e", "input": inputs, **more})
    return (
        f"POST {path} HTTP/1.1\r\nHost: proxy\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {credential}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Crowd:
    """So many connections, open before anybody asks."""

    def __init__(self, proxy: Proxied, size: int) -> None:
        self._proxy = proxy
        self._size = size
        self.clients: list[RawClient] = []

    async def ask(self, questions: Sequence[bytes]) -> None:
        """Send ``questions`` at once, each on a connection of its own."""
        clients = self.clients[: len(questions)]
        sending = zip(clients, questions, strict=True)
        await asyncio.gather(*(client.send(question) for client, question in sending))

    async def answers(self, count: int | None = None) -> list[RawResponse]:
        """What those who asked are told, in the order they asked."""
        clients = self.clients[:count]
        return await asyncio.gather(*(client.response() for client in clients))

    async def __aenter__(self) -> Self:
        connecting = (RawClient.connect(self._proxy.address) for _ in range(self._size))
        self.clients = await asyncio.gather(*connecting)
        await self._proxy.counted(lambda: self._proxy.server.counts.open >= self._size)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self.clients:
            client.close()


def vectors(response: RawResponse) -> list[list[float]]:
    """What a response holds, in order."""
    assert response.status == 200, response
    data = orjson.loads(response.body)["data"]
    assert [each["index"] for each in data] == list(range(len(data)))
    return [each["embedding"] for each in data]
