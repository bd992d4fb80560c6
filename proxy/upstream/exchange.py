"""One request and its response, on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp.connector import Connection

from proxy.model.errors import (
    BrokenReply,
    FirstByteTimeout,
    NoReply,
    ProtocolViolation,
    RequestError,
)
from proxy.model.message import Body, Head
from proxy.upstream.head import SWITCHING_PROTOCOLS, ResponseHead
from proxy.upstream.incoming import Incoming
from proxy.upstream.line import Endless, Line, Lost, Malformed, Quiet
from proxy.upstream.spec import UpstreamSpec

_ONE_WRITE = 64 * 1024  # bytes; a body up to here goes out in one piece with its head


class StaleConnection(NoReply):
    """A connection used before ended without a byte: the request may have crossed its end."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response as it begins."""

    head: Head
    length: int | None  # bytes, as declared
    body: Incoming
    delimited: bool  # by Content-Length or by chunks, rather than by the end of the connection


class Exchange:
    """Has the connection to itself until ``finish`` or ``abort``; ``over`` is then called once.

    A body that does not go out at once is sent by a task beside the wait for the response, as the
    backend may answer early. The exchange owns that task and ends it.
    """

    def __init__(
        self,
        connection: Connection,
        line: Line,
        spec: UpstreamSpec,
        heads: ResponseHead,
        over: Callable[[Exchange], None],
    ) -> None:
        self.line = line
        self._connection: Connection | None = connection
        self._spec = spec
        self._heads = heads
        self._over = over
        self._upload: asyncio.Task[None] | None = None

    def ask(self, head: bytes, body: bytes | Body, *, bodiless: bool) -> None:
        """Send a request, or begin to; ``bodiless`` if its response has no body (HEAD)."""
        line = self.line
        line.begin(bodiless=bodiless)
        if not isinstance(body, bytes):
            line.write(head)
            sending = self._send(body)
        else:
            if len(body) <= _ONE_WRITE:
                line.write(head + body)
            else:
                line.write(head)
                line.write(body)
            if not line.writing_paused:
                line.sent()
                return
            sending = self._flush()
        self._upload = asyncio.create_task(sending)  # noqa: TID251 - abort() ends it

    async def response(self, offered: str = "") -> Response:
        """The final response, its head read; or a 101 to one of the protocols ``offered``.

        Raises:
            UpstreamError: there is none, or none that can be passed on.
            RequestError: the request's body broke off.
        """
        line = self.line
        try:
            message, body = await line.response()
        except Quiet:
            limit_s = self._spec.first_byte_timeout_s
            raise FirstByteTimeout(f"No response from the backend in {limit_s:g} s.") from None
        except Malformed:
            raise ProtocolViolation("The backend's response is not HTTP.") from None
        except Endless:
            raise BrokenReply("The backend put off its response without end.") from None
        except Lost as fault:
            if line.heard:
                raise BrokenReply("The backend broke off within the response head.") from fault
            kind = NoReply if line.requests == 1 else StaleConnection
            raise kind("The backend ended the connection before it answered.") from fault
        head, length = self._heads.read(message)
        if head.status == SWITCHING_PROTOCOLS and not _offered(head, offered):
            raise ProtocolViolation("The backend switched to a protocol it was not offered.")
        return Response(head, length, body, length is not None or message.chunked)

    def finish(self) -> None:
        """Give the connection back, if the response was read to its end and nothing is amiss."""
        if self._upload is not None and not self._upload.done():
            self.abort(NoReply("The backend answered before it had the whole request."))
        elif self._connection is not None:
            connection, self._connection = self._connection, None
            self.line.rest()
            connection.release()
            self._over(self)

    def abort(self, fault: Exception) -> None:
        """End the connection at once; who still waits for the backend gets ``fault``."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            if self._upload is not None:
                self._upload.cancel()
            self.line.fail(fault)
            connection.close()
            self._over(self)

    async def _send(self, body: Body) -> None:
        """Send ``body`` as it comes. The root of a task."""
        try:
            await self._pass_on(body)
            self.line.sent()
        except Exception as fault:  # noqa: BLE001 - goes to the one who waits for the response
            # The connection ends too, so that the backend cannot take a part for the whole.
            self.line.fail(fault)

    async def _pass_on(self, body: Body) -> None:
        line, left = self.line, body.length
        async for piece in body.pieces():
            if not line.is_connected():
                return  # ``response`` will tell
            if left is not None:
                left -= len(piece)
                if left < 0:
                    break  # not a byte more: it would be read as the next request
                line.write(piece)
            elif piece:  # an empty chunk would be the last
                line.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await line.drained()
        if left is None:
            line.write(b"0\r\n\r\n")
        elif left:
            raise RequestError(400, "The body is not as long as declared.")

    async def _flush(self) -> None:
        """Wait until the request has left, then let the clock run. The root of a task."""
        try:
            await self.line.drained()
            self.line.sent()
        except FirstByteTimeout as fault:
            self.line.fail(fault)


def _offered(head: Head, offered: str) -> bool:
    """Whether ``head`` switches to what was offered only (RFC 9110, section 7.8)."""
    offers = {protocol.strip().lower() for protocol in offered.split(",")} - {""}
    chosen = {protocol.strip().lower() for protocol in head.headers.get("upgrade").split(",")}
    return chosen <= offers
