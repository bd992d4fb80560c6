"""A response from a backend while its body is still coming."""

from __future__ import annotations

from collections.abc import AsyncIterator

from proxy.model.errors import BrokenReply, RequestError, UpstreamError
from proxy.model.message import Head
from proxy.model.pieces import Take
from proxy.upstream.exchange import Exchange, Response
from proxy.upstream.line import Lost, Malformed, Quiet
from proxy.upstream.traffic import Traffic


class HttpArrival:
    """A response whose head is here. Implements ``Arrival``.

    Holds the connection until the body was read to its end, or ``close``.
    """

    __slots__ = (
        "_body", "_closed", "_exchange", "_idle_timeout_s", "_traffic",
        "delimited", "head", "length",
    )  # fmt: skip

    def __init__(
        self,
        exchange: Exchange,
        response: Response,
        idle_timeout_s: float,
        traffic: Traffic | None = None,
    ) -> None:
        self.head: Head = response.head
        self.length: int | None = response.length
        self.delimited: bool = response.delimited
        self._body = body = response.body
        self._exchange: Exchange | None = exchange
        self._idle_timeout_s = idle_timeout_s
        self._traffic = traffic
        self._closed = False
        if body.taken:
            self._let_go()

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        taken: list[bytes] = []

        def take(piece: bytes) -> bool:
            taken.append(piece)
            return False

        if await self.pour(take):
            return taken[0]
        raise StopAsyncIteration

    async def pour(self, take: Take) -> bool:
        body = self._body
        if not self._closed and await body.pour(take):
            return True
        if body.taken:
            self._let_go()
            return False
        if self._closed or body.fault is None:
            raise BrokenReply("The response was given up.")
        self._let_go()
        raise self._told(body.fault) from None

    def close(self) -> None:
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if self._body.whole:
            exchange.finish()
        else:
            exchange.abort(BrokenReply("The response was given up."))

    def _told(self, fault: Exception) -> Exception:
        """What ``fault`` is to who reads the body; one of our own is what it is."""
        match fault:
            case UpstreamError():
                why = str(fault)
            case Quiet():
                why = f"The backend was silent for {self._idle_timeout_s:g} s within the body."
            case Malformed():
                why = "The backend framed the body wrongly."
            case RequestError():
                why = "The request's body broke off, so the response was given up."
            case Lost() | OSError():
                why = "The backend broke off within the body."
            case _:
                return fault
        if self._traffic is not None and not isinstance(fault, RequestError):
            self._traffic.failed(BrokenReply.token)
        return BrokenReply(why)
