"""A scripted backend, the proxy before it, and raw connections to that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.proxied import Proxied, proxied
from support.raw_chat import Listener, question
from support.raw_client import RawClient, RawResponse
from support.scripted import ScriptedUpstream


class Scene:
    """``up`` is the backend, ``proxy`` the proxy; clients leave at the end."""

    def __init__(self, up: ScriptedUpstream, proxy: Proxied) -> None:
        self.up = up
        self.proxy = proxy
        self._clients: list[RawClient] = []

    async def client(self) -> RawClient:
        client = await RawClient.connect(self.proxy.address)
        self._clients.append(client)
        return client

    async def ask(self, **asked: Any) -> RawClient:
        """A client that has just asked."""
        client = await self.client()
        await client.send(question(**asked))
        return client

    async def listen(self, **asked: Any) -> tuple[RawResponse, Listener]:
        """Ask for a stream; its head, and whoever hears it."""
        client = await self.ask(stream=True, **asked)
        return await client.head(), Listener(client)

    async def whole(self, **asked: Any) -> RawResponse:
        """Ask, and wait for the whole answer."""
        return await (await self.ask(**asked)).response()

    def leave(self) -> None:
        for client in self._clients:
            client.close()


@asynccontextmanager
async def scene(*, upstream: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Scene]:
    """Set the scene; ``upstream`` are further settings of the backend, ``settings`` the rest."""
    async with (
        ScriptedUpstream() as up,
        proxied({"url": up.url} | (upstream or {}), **settings) as proxy,
    ):
        played = Scene(up, proxy)
        try:
            yield played
        finally:
            played.leave()
