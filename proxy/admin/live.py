"""``GET /live``: each request as it ends, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final, Protocol

import orjson
from aiohttp import web
from pydantic import Field

from proxy.admin.endpoint import Call, Endpoint, Nothing, Problem, Refused, Said, cut, endpoint

_STATS_S: Final = 2.0
_STALLED_S: Final = 10.0  # that a client may take nothing of what it is sent
_MOST: Final = 1000


class Watching(Protocol):
    """One who looks on."""

    @property
    def over(self) -> bool:
        """Whether nothing comes any more."""
        ...

    async def some(self, within_s: float) -> bytes:
        """Events that have come, written; b"" if none have in so many seconds."""
        ...

    def close(self) -> None:
        """Look on no more."""
        ...


class Last(Said):
    """What to begin with."""

    last: int = Field(
        default=50, ge=0, le=_MOST, description="How many of the latest requests to begin with."
    )


class LiveRoute:
    """Answers it: `request` for each request, `stats` every two seconds, `dropped` for a gap.

    Args:
        watch: somebody who looks on, and has the last so many; None: too many do.
        stats: what is told every two seconds.
    """

    def __init__(
        self,
        watch: Callable[[int], Watching | None],
        stats: Callable[[], Mapping[str, object]],
        *,
        every_s: float = _STATS_S,
        stalled_s: float = _STALLED_S,
    ) -> None:
        self._watch = watch
        self._stats = stats
        self._every_s = every_s
        self._stalled_s = stalled_s

    @property
    def endpoint(self) -> Endpoint:
        """It goes on until the client or the proxy ends it."""
        return endpoint(
            "GET", "/live", self._answer, query=Last, body=Nothing,
            summary="Each request as it ends", answers={200: "text/event-stream", 503: Problem},
        )  # fmt: skip

    async def _answer(self, asked: Call[Last, Nothing]) -> web.StreamResponse:
        watcher = self._watch(asked.query.last)
        if watcher is None:
            raise Refused(503, "too many look on already: close another one")
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        try:
            await response.prepare(asked.request)
            await self._show(watcher, response)
        except (ConnectionError, TimeoutError):
            cut(asked.request)
        finally:
            watcher.close()
        return response

    async def _show(self, watcher: Watching, response: web.StreamResponse) -> None:
        """Raises ConnectionError or TimeoutError when the client is gone, or reads nothing."""
        due = monotonic()
        while not watcher.over:
            now = monotonic()
            if now >= due:
                due = now + self._every_s
                stats = b"event: stats\ndata: %b\n\n" % orjson.dumps(self._stats())
                await self._write(response, stats)
            events = await watcher.some(due - monotonic())
            if events:
                await self._write(response, events)

    async def _write(self, response: web.StreamResponse, events: bytes) -> None:
        async with asyncio.timeout(self._stalled_s):
            await response.write(events)
