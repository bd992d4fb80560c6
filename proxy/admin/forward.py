"""What one worker answers for all: requests passed on to it, and its answers passed back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector, hdrs, web

from proxy.admin.endpoint import Endpoint, Refused

_TIMEOUT: Final = ClientTimeout(total=None, connect=5.0, sock_read=60.0)
_PASSED: Final = (hdrs.CONTENT_TYPE, hdrs.ACCEPT, "Last-Event-ID")
_PASSED_BACK: Final = (hdrs.CONTENT_TYPE, hdrs.CACHE_CONTROL, hdrs.CONTENT_DISPOSITION)


def forwarded(endpoint: Endpoint, where: Callable[[], Path | None]) -> Endpoint:
    """``endpoint``, answered by the process that listens at the socket ``where``.

    Args:
        where: None: there is no such process for now, which is answered by 503.
    """

    async def ask(request: web.Request) -> web.StreamResponse:
        path = where()
        if path is None:
            raise Refused(503, "no worker serves for now: try again in a moment")
        try:
            return await _passed_on(request, path)
        except ClientError as error:
            raise Refused(503, "the worker that was asked is gone: try again") from error

    return replace(endpoint, ask=ask)


async def _passed_on(request: web.Request, path: Path) -> web.StreamResponse:
    headers = {name: request.headers[name] for name in _PASSED if name in request.headers}
    body = _body(request) if request.body_exists else None
    async with (
        ClientSession(connector=UnixConnector(str(path)), timeout=_TIMEOUT) as session,
        session.request(
            request.method, f"http://localhost{request.rel_url}", headers=headers, data=body
        ) as answer,
    ):
        back = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
        response = web.StreamResponse(status=answer.status, headers=back)
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    async for piece in request.content.iter_any():
        yield piece
