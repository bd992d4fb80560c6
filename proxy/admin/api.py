"""The operator's own listener: whether the proxy lives, and whether it is ready for more.

Health is about this process alone. A backend or a shared store that is down must not flip it: the
orchestrator would take away the application too, which the proxy stands beside.

Who may ask: /healthz and /readyz are open to all; everything else needs the token, where there is
one. A request that calls this listener by a name it does not have is refused (421): a web page
whose own name was made to resolve to 127.0.0.1 must not read what the operator's browser can reach.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import orjson
from aiohttp import hdrs, web

from proxy.model.errors import ConfigError

_KEEPALIVE_S: Final = 75.0  # aiohttp's own default for a runner is an hour
_CLOSING_S: Final = 1.0  # seconds for what is under way; aiohttp may wait twice as long
_OPEN: Final = frozenset({"/healthz", "/readyz"})
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Server": "sidecache",
}

Ask = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admin:
    """Serves the operator.

    Args:
        ready: whether the proxy takes requests; false while it starts and while it drains. Must
            not wait, and look at this process only.
        token: what callers must send as ``Authorization: Bearer``; None: nothing, which is only
            safe on a loopback address.
        allowed_hosts: further names this listener may be called by.
        routes: what can be asked besides health.
    """

    def __init__(
        self,
        ready: Callable[[], bool],
        *,
        token: str | None = None,
        allowed_hosts: Iterable[str] = (),
        routes: Iterable[web.AbstractRouteDef] = (),
    ) -> None:
        self._ready = ready
        self._authorization = None if token is None else f"Bearer {token}".encode()
        self._names = {"localhost", *(name.lower() for name in allowed_hosts)}
        self._routes = (
            web.get("/healthz", self._healthz),
            web.get("/readyz", self._readyz),
            *routes,
        )
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen at ``host`` and ``port`` (0: any free one); the address it became.

        Raises:
            ConfigError: nobody can listen there.
        """
        self._names.add(host.lower())
        app = web.Application(middlewares=[self._answer])
        app.on_response_prepare.append(_finish)
        app.add_routes(self._routes)
        runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=_KEEPALIVE_S, shutdown_timeout=_CLOSING_S
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(f"admin.listen: {host}:{port}: {error.strerror}") from error
        self._runner = runner
        bound = runner.addresses[0]
        return str(bound[0]), int(bound[1])

    async def close(self) -> None:
        """Stop listening and end what is under way. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @web.middleware
    async def _answer(self, request: web.Request, handler: Ask) -> web.StreamResponse:
        """The answer of ``handler`` to those who may have it; errors as JSON."""
        try:
            response = self._refuse(request) or await handler(request)
        except web.HTTPException as error:
            response = _json(error.status, {"error": error.reason.lower()})
            if hdrs.ALLOW in error.headers:
                response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return response

    def _refuse(self, request: web.Request) -> web.Response | None:
        # By what it was routed to: a path has many spellings.
        resource = request.match_info.route.resource
        is_open = resource is not None and resource.canonical in _OPEN
        if not self._is_called(request, by_any_address=is_open):
            return _json(421, {"error": "this is not the host you asked for"})
        if is_open or self._authorization is None:
            return None
        given = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
        if hmac.compare_digest(given, self._authorization):
            return None
        refusal = _json(401, {"error": "send the admin token as Authorization: Bearer"})
        refusal.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="sidecache"'
        return refusal

    def _is_called(self, request: web.Request, *, by_any_address: bool) -> bool:
        """Whether the Host is ours. Browsers always send one; probes in HTTP/1.0 need not."""
        host = request.headers.get(hdrs.HOST)
        if host is None:
            return True
        name = _without_port(host)
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # No web page can have made up an address: rebinding needs a name.
        return by_any_address or address.is_loopback or name == _own_address(request)

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _json(200, {"status": "ok"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        if self._ready():
            return _json(200, {"status": "ready"})
        return _json(503, {"status": "not ready"})


async def _finish(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def _json(status: int, answer: dict[str, object]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(answer), content_type="application/json")


def _without_port(host: str) -> str:
    """The name or address in a Host header, in lower case and without brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _own_address(request: web.Request) -> str:
    """The address of ours that the client is connected to."""
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return str(name[0]) if name else ""
