"""The operator's own listener: whether the proxy lives and is ready, and all that endpoints bring.

Health is about this process alone. A backend or a shared store that is down must not flip it: the
orchestrator would take away the application too, which the proxy stands beside.

Who may ask, ``Gate`` says; what can be asked, each ``Endpoint``, and /openapi.json for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, Literal

import orjson
from aiohttp import hdrs, web

from proxy.admin.endpoint import (
    MOST_BYTES,
    Call,
    Endpoint,
    Nothing,
    Refused,
    Shown,
    Told,
    plain,
    refusal,
)
from proxy.admin.gate import Gate
from proxy.admin.openapi import Document, document
from proxy.admin.plainly import PlainRunner
from proxy.model.errors import ConfigError

log = logging.getLogger("sidecache.admin")

_KEEPALIVE_S: Final = 75.0  # aiohttp's own default for a runner is an hour
_CLOSING_S: Final = 1.0  # seconds for what is under way; aiohttp may wait twice as long
_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Server": "sidecache"}

Asked = Call[Nothing, Nothing]


class Health(Shown):
    """Whether the process can answer."""

    status: Literal["ok"] = "ok"


class Ready(Shown):
    """Whether it takes requests."""

    status: Literal["ready", "not ready"]


class Admin:
    """Serves the operator.

    Args:
        ready: whether the proxy takes requests; false while it starts and while it drains. Must
            not wait, and look at this process only.
        gate: who may ask.
        endpoints: what can be asked besides health.
        pages: what is no endpoint: static files, which tell nothing of this proxy. Open to all who
            call the listener by its name.
        version: of the proxy.
    """

    def __init__(
        self,
        ready: Callable[[], bool],
        gate: Gate,
        *,
        endpoints: Iterable[Endpoint] = (),
        pages: Iterable[web.AbstractRouteDef] = (),
        version: str = "0",
    ) -> None:
        self._ready = ready
        self.gate = gate
        self._pages = tuple(pages)
        own = (
            plain("/healthz", self._healthz, "Whether it lives", {200: Health}, is_open=True),
            plain(
                "/readyz",
                self._readyz,
                "Whether it takes requests",
                {200: Ready, 503: Ready},
                is_open=True,
            ),
            plain("/openapi.json", self._openapi, "This document", {200: "application/json"}),
        )
        self.endpoints = (*own, *endpoints)
        self._version = version
        self._open: set[web.AbstractResource] = set()
        self._runner: web.AppRunner | None = None
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen at ``host`` and ``port`` (0: any free one); the address it became.

        Raises:
            ConfigError: nobody can listen there.
        """
        self.gate.add_own(host)
        where = f"admin.listen: {host}:{port}"
        runner = await self._run(lambda runner: web.TCPSite(runner, host, port), where)
        bound = runner.addresses[0]
        return str(bound[0]), int(bound[1])

    async def start_on(self, listening: socket.socket) -> None:
        """Listen on a socket that is bound. Raises ConfigError."""
        self.gate.add_own(str(listening.getsockname()[0]))
        await self._run(lambda runner: web.SockSite(runner, listening), "admin.listen")

    async def start_at(self, path: Path) -> None:
        """Listen on a socket in the file system, for processes of one's own. Raises ConfigError.

        Whoever listened there is gone.
        """
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, before anybody is served
        await self._run(lambda runner: web.UnixSite(runner, path), str(path))

    async def _run(
        self, site: Callable[[web.AppRunner], web.BaseSite], where: str
    ) -> web.AppRunner:
        runner = PlainRunner(
            self._application(),
            access_log=None,
            keepalive_timeout=_KEEPALIVE_S,
            shutdown_timeout=_CLOSING_S,
        )
        await runner.setup()
        try:
            await site(runner).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(f"{where}: {error.strerror}") from error
        self._runner = runner
        return runner

    async def close(self, drain_s: float = 0.0) -> None:
        """Stop listening and end what is under way. Idempotent.

        Args:
            drain_s: how long what is under way may take until then.
        """
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._closing = True
        if drain_s:
            for site in list(runner.sites):
                await site.stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain_s):
                    await self._idle.wait()
        await runner.cleanup()

    def document(self) -> Document:
        """The OpenAPI document, fit for JSON."""
        return document(self.endpoints, version=self._version, token=self.gate.wants_token)

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._answer], client_max_size=MOST_BYTES)
        app.on_response_prepare.append(self._finish)
        opened = list(app.add_routes(self._pages))
        for each in self.endpoints:
            routes = app.add_routes([web.route(each.method, each.path, each.ask)])
            if each.is_open:
                opened += routes
        self._open = {route.resource for route in opened if route.resource is not None}
        return app

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """The answer of ``handler`` to those who may have it; errors as JSON."""
        self._under_way += 1
        self._idle.clear()
        try:
            return await self._answered(request, handler)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _answered(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            # By what it was routed to: a path has many spellings.
            self.gate.check(request, is_open=request.match_info.route.resource in self._open)
            return await handler(request)
        except Refused as refused:
            return refusal(refused)
        except web.HTTPException as error:
            response = refusal(Refused(error.status, error.reason.lower()))
            if hdrs.ALLOW in error.headers:
                response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
            return response
        except Exception as error:
            # Without what it says, which may quote what was asked.
            log.exception("the operator could not be answered", exc_info=error)
            return refusal(Refused(500, "this proxy has failed; its log says where"))

    async def _finish(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_HEADERS)
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")  # the pages say otherwise
        if self._closing:
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"

    async def _healthz(self, _asked: Asked) -> Told:
        return Told(Health())

    async def _readyz(self, _asked: Asked) -> Told:
        return (
            Told(Ready(status="ready")) if self._ready() else Told(Ready(status="not ready"), 503)
        )

    async def _openapi(self, _asked: Asked) -> web.Response:
        return web.Response(body=orjson.dumps(self.document()), content_type="application/json")
