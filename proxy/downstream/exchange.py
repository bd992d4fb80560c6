"""One request and its reply, from the parsed head to the record."""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import Final, Protocol

from aiohttp import HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from proxy.downstream.outlet import Outlet
from proxy.downstream.request import Origin, read_request, unread_request
from proxy.downstream.respond import GONE_STATUS, Opening, Progress, Rest, close_body
from proxy.downstream.service import LEAVING, Service
from proxy.downstream.tunnel import RawLine, splice
from proxy.model.decision import Why
from proxy.model.errors import ProtocolViolation, RequestError, UpstreamError
from proxy.model.message import Duplex, Head, Headers, Request
from proxy.model.outcome import Delivery, Outcome, Record, Reply, Verdict
from proxy.wire.cache_status import fields
from proxy.wire.head import write_switch
from proxy.wire.problem import problem

# What a delivery gives as its error
CLIENT_GONE: Final = "ClientGone"  # when nobody is left to read
DRAINING: Final = "Draining"  # when time was up

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_UNDECIDED: Final = Outcome(Verdict.ERROR, Why.CLIENT_GONE)
_TUNNELLED: Final = Outcome(Verdict.BYPASS, Why.UPGRADE)
_PONG: Final = Reply(
    Head(204, "No Content", Headers()), b"", None, Outcome(Verdict.BYPASS, Why.METHOD)
)


class ClientLine(RawLine, Protocol):
    """The connection an exchange takes place on."""

    @property
    def origin(self) -> Origin: ...

    @property
    def lasting(self) -> bool:
        """Whether what follows the request can be made sense of: no bytes were lost."""
        ...

    @property
    def cause(self) -> str:
        """Why the connection was reset or lost, in one word; "" if it was not."""
        ...


class Exchange:
    """One request that the parser has found, and the reply to it."""

    __slots__ = (
        "_attending", "_line", "_message", "_opening", "_outcome", "_outlet", "_progress",
        "_service", "_stream", "given", "request",
    )  # fmt: skip

    def __init__(
        self, line: ClientLine, service: Service, message: RawRequestMessage, stream: StreamReader
    ) -> None:
        self._line = line
        self._service = service
        self._attending = service.attending  # to the end, whoever attends by then
        self._message = message
        self._stream = stream
        self._outcome = _UNDECIDED
        self._opening: Opening | None = None
        self._progress = progress = Progress()
        self._outlet = Outlet(line, service, progress) if _may_be_begun(message) else None
        self.request: Request | None = None  # what it is about
        self.given: Reply | None = None  # what was sent, if the same may be sent again just so

    async def run(self) -> bool:
        """Answer it, and record it, once, however it ends.

        Returns whether another request may follow on the connection.
        """
        service, line, progress = self._service, self._line, self._progress
        attending = self._attending
        began = monotonic()  # not the loop's time, which uvloop rounds to milliseconds
        refusal: Reply | None = None
        tunnel = persists = False
        try:
            request, tunnel = read_request(
                self._message, self._stream, line.origin, attending.limits, self._invite,
                outlet=self._outlet,
            )  # fmt: skip
            service.counts.requests += 1
        except RequestError as error:
            request = unread_request(self._message, line.origin)
            refusal = self._refusal(error)
            service.counts.refused += 1
        except Exception as error:  # noqa: BLE001 - as in ``_reply``
            request = unread_request(self._message, line.origin)
            refusal = self._bug("reading", error)
            service.counts.refused += 1
        attending.under_way += 1
        try:
            reply = refusal or await self._reply(request, tunnel=tunnel)
            if isinstance(reply, Reply):
                self._outcome = reply.outcome
                persists = await self._send(reply, persist=not tunnel and refusal is None)
                if reply.final is not None:
                    self._outcome = reply.final(reply.outcome)
            else:
                self._outcome = _TUNNELLED
                await self._tunnel(reply)
        except ConnectionError:
            progress.error = line.cause or CLIENT_GONE
            raise
        except asyncio.CancelledError:
            await self._break_off()
            raise
        except Exception as error:
            progress.error = type(error).__name__
            raise
        finally:
            attending.under_way -= 1
            if progress.error == CLIENT_GONE:
                service.counts.hang_ups += 1
            if not (progress.complete or progress.told or progress.status == GONE_STATUS):
                line.abort(progress.error)  # no part of a reply may pass for the whole
            self._settle(request, began)
        return persists

    def _settle(self, request: Request, began: float) -> None:
        """Record it; from here on nothing can be sent."""
        outlet, progress = self._outlet, self._progress
        took_s = (progress.ended or monotonic()) - began
        if outlet is not None:
            if self._outcome is _UNDECIDED:  # the reply may have been begun all the same
                self._outcome = outlet.outcome or _UNDECIDED
            outlet.close()
        delivery = Delivery(
            progress.status, progress.sent, progress.complete, took_s, progress.error
        )
        self._service.settle(Record(request, self._outcome, delivery))

    async def _reply(self, request: Request, *, tunnel: bool) -> Reply | Duplex:
        """What the proxy has to say, be it an error."""
        attending = self._attending
        self.request = request
        try:
            if tunnel and self._line.lasting:
                return await attending.tunnel(request)
            if tunnel:
                return self._refusal(RequestError(400, "Bytes came before the switch."))
            if request.method == "OPTIONS" and _ends_here(request):
                return _PONG
            return await attending.answer(request)
        except RequestError as error:
            return self._refusal(error)
        except UpstreamError as error:
            return self._failure(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            return self._bug("answering", error)

    async def _send(self, reply: Reply, *, persist: bool) -> bool:
        """Send ``reply``, or what is left of it; whether another request may follow."""
        if (rest := self._rest(reply)) is not None:
            self._opening = rest
            await rest.send(self._line, self._progress)
            return True
        message, service = self._message, self._service
        head_only, modern = message.method == "HEAD", message.version is HttpVersion11
        persist = (
            persist
            and not message.should_close
            and not service.draining
            and self._line.lasting
            and self._stream.is_eof()  # else what comes next is a body that nobody wanted
        )
        date = service.date()
        try:
            opening = Opening(reply, date, head_only=head_only, modern=modern, persist=persist)
        except ProtocolViolation as error:
            self._progress.error = type(error).__name__
            await close_body(reply.body)
            reply = self._failure(error)
            opening = Opening(reply, date, head_only=head_only, modern=modern, persist=persist)
        self._opening = opening
        await opening.send(self._line, self._progress)
        if opening.persists and reply.again is not None and _is_plain(message):
            self.given = reply
        return opening.persists

    def _rest(self, reply: Reply | None = None) -> Rest | None:
        """What is left of ``reply``, or of whichever was begun; None: none was.

        Raises:
            ProtocolViolation: another one was.
        """
        draft = None if self._outlet is None else self._outlet.begun
        return None if draft is None else Rest(reply or draft.reply, draft)

    async def _break_off(self) -> None:
        """Note why, unless all has been sent; and where time is up tell the client, if possible."""
        line, progress = self._line, self._progress
        if progress.complete:  # by another than the task
            return
        progress.error = line.cause or CLIENT_GONE
        if line.cause == DRAINING:
            await self._part()

    async def _part(self) -> None:
        """Tell the client that time is up, where it can be told."""
        line, progress = self._line, self._progress
        with contextlib.suppress(ConnectionError):  # it has been reset already
            if progress.status == GONE_STATUS:
                reply = self._problem(*LEAVING, Why.DRAINING)
                told = reply.head.headers.plus(("Retry-After", "1"))
                self._outcome = reply.outcome
                await self._send(
                    reply._replace(head=reply.head._replace(headers=told)), persist=False
                )
            else:
                opening = self._opening or self._rest()
                if opening is not None and (event := opening.farewell(progress)):
                    line.write(event)
                    progress.told = True

    async def _tunnel(self, duplex: Duplex) -> None:
        try:
            head = write_switch(duplex.head)
        except ProtocolViolation as error:
            self._progress.error = type(error).__name__
            duplex.close()
            await self._send(self._failure(error), persist=False)
            return
        self._service.counts.tunnels += 1
        grace_s = self._attending.limits.half_close_grace_s
        await splice(self._line, duplex, head, self._progress, grace_s)

    def _invite(self) -> None:
        if self._progress.status == GONE_STATUS:  # the reply has not begun
            self._line.write(_CONTINUE)

    def _bug(self, where: str, error: Exception) -> Reply:
        self._service.bug(where, error)
        detail = "This proxy has failed; its log says where."
        return self._problem(500, "proxy_internal_error", detail, Why.INTERNAL)

    def _refusal(self, error: RequestError) -> Reply:
        return self._problem(error.status, "http_request_error", str(error), Why.BAD_REQUEST)

    def _failure(self, error: UpstreamError) -> Reply:
        return self._problem(error.status, error.token, str(error), Why.UPSTREAM_ERROR)

    def _problem(self, status: int, code: str, detail: str, why: Why) -> Reply:
        name, outcome = self._attending.pseudonym, Outcome(Verdict.ERROR, why, detail=code)
        head, body = problem(status, code, detail, pseudonym=name)
        told = fields(outcome, "", name=name, total_s=0.0)
        head = Head(head.status, head.reason, head.headers.plus(*told))
        return Reply(head, body, len(body), outcome)


def _ends_here(request: Request) -> bool:
    """Whether an OPTIONS request is for this proxy (RFC 9110, sections 7.6.2 and 9.3.7)."""
    return request.path == "*" or request.headers.get("max-forwards") == "0"


def _may_be_begun(message: RawRequestMessage) -> bool:
    """Whether its reply may be begun as all are that another request may follow."""
    return (
        message.version is HttpVersion11
        and message.method != "HEAD"
        and not (message.upgrade or message.should_close)
    )


def _is_plain(message: RawRequestMessage) -> bool:
    """Whether whoever sends the very same is to be sent the very same, and nothing besides."""
    return (
        message.version is HttpVersion11
        and message.method != "HEAD"
        and not message.upgrade
        and "Expect" not in message.headers
    )
