"""``GET /metrics``: what Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web

from proxy.admin.endpoint import Call, Endpoint, Nothing, plain

_TEXT: Final = "text/plain"


class Exposition:
    """Answers it.

    Args:
        written: the metrics as an Accept header asks for them, and their media type.
    """

    def __init__(self, written: Callable[[str], Awaitable[tuple[bytes, str]]]) -> None:
        self._written = written

    @property
    def endpoint(self) -> Endpoint:
        """In Prometheus' own form, or in OpenMetrics' for who asks for that."""
        return plain("/metrics", self._answer, "All metrics, for Prometheus", {200: _TEXT})

    async def _answer(self, asked: Call[Nothing, Nothing]) -> web.Response:
        written, content_type = await self._written(asked.request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=written, headers={hdrs.CONTENT_TYPE: content_type})
