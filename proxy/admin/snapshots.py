"""``GET /snapshot``: all that this worker has counted, for who adds up what all have.

Only where a worker listens for its own kind; nobody else is told.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from proxy.admin.endpoint import Call, Endpoint, Nothing, plain

PATH = "/snapshot"
_JSON = "application/json"


def snapshot(written: Callable[[], bytes]) -> Endpoint:
    """The endpoint."""

    async def answer(_asked: Call[Nothing, Nothing]) -> web.Response:
        return web.Response(body=written(), content_type=_JSON)

    return plain(PATH, answer, "What this worker has counted", {200: _JSON})
