"""How the listener answers what is no HTTP: in JSON, without quoting it as aiohttp would."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proxy.admin.endpoint import Refused, refusal


class PlainRunner(web.AppRunner):
    """Runs an application whose connections quote nothing that they cannot make sense of."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory, **self._kwargs)


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what came
    ) -> web.StreamResponse:
        why = HTTPStatus(status).phrase
        super().handle_error(request, status, exc, why)  # which logs it, and ends the connection
        answer = refusal(Refused(status, why.lower()))
        answer.force_close()
        return answer
