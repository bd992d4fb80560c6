"""The operator's listener with the real pages, and answers that a test makes up."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from proxy.admin import pages
from support.made_up_answers import Json, answers


class MadeUpAdmin:
    """Tells ``answers``, which a test may change: a status besides as ``failing``.

    Attributes:
        asked: what was asked, in order: method, path, query and body.
        watchers: streams that are open.
    """

    def __init__(self, token: str | None = None) -> None:
        self.answers = copy.deepcopy(answers())
        self.failing: dict[str, tuple[int, str]] = {}
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.watchers: list[asyncio.Queue[bytes]] = []
        self.url = ""
        self.token = token
        self.past: list[Json] = []  # what a watcher is told at first

    def tell(self, event: str, told: Json) -> None:
        """Tell all who watch."""
        line = f"id: {told.get('seq', '')}\nevent: {event}\ndata: {orjson.dumps(told).decode()}\n\n"
        for each in self.watchers:
            each.put_nowait(line.encode())

    def cut(self) -> None:
        """End all streams."""
        for each in self.watchers:
            each.put_nowait(b"")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "send the admin token"}, status=401)
        name = f"{request.method} {request.path}"
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path, dict(request.query), body))
        if name in self.failing:
            status, why = self.failing[name]
            return web.json_response({"error": why}, status=status)
        if name == "GET /live":
            return await self._live(request)
        if name not in self.answers:
            return web.json_response({"error": "not found"}, status=404)
        told = self.answers[name]
        status = 202 if name == "POST /purge" and not told["complete"] else 200
        return web.json_response(told, status=status)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": hello\n\n")
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.watchers.append(queue)
        try:
            for each in self.past:
                await response.write(
                    f"event: request\ndata: {orjson.dumps(each).decode()}\n\n".encode()
                )
            while line := await queue.get():
                await response.write(line)
        finally:
            self.watchers.remove(queue)
        return response


@asynccontextmanager
async def made_up_admin(token: str | None = None) -> AsyncIterator[MadeUpAdmin]:
    """Serve until the block ends."""
    made_up = MadeUpAdmin(token)
    application = web.Application()
    application.add_routes(pages.routes())
    application.router.add_route("*", "/{path:.*}", made_up._answer)
    runner = web.AppRunner(
        application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    made_up.url = f"http://{host}:{port}"
    try:
        yield made_up
    finally:
        await runner.cleanup()
