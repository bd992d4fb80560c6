"""A response from a backend while its body is still coming."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import ClientError, SocketTimeoutError
from aiohttp.http import HttpProcessingError

from proxy.model.errors import BrokenReply, RequestError, UpstreamError
from proxy.model.message import Head
from proxy.model.pieces import Take
from proxy.upstream.exchange import Exchange, Response
from proxy.upstream.traffic import Traffic


class HttpArrival:
    """A response whose head is here. Implements ``Arrival``.

    Holds the connection until the body was read to its end, or ``close``.
    """

    def __init__(
        self,
        exchange: Exchange,
        response: Response,
        idle_timeout_s: float,
        traffic: Traffic | None = None,
    ) -> None:
        self._head = response.head
        self._length = response.length
        self._delimited = response.delimited
        self._body = response.body
        self._exchange: Exchange | None = exchange
        self._idle_timeout_s = idle_timeout_s
        self._traffic = traffic
        self._handing = False
        self._complete = response.body.at_eof()
        if self._complete:
            self.close()

    @property
    def head(self) -> Head:
        return self._head

    @property
    def length(self) -> int | None:
        return self._length

    @property
    def delimited(self) -> bool:
        return self._delimited

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
        exchange = self._exchange
        if exchange is not None and (more := self._hand(take)) is None:
            more = await exchange.line.stirred(lambda: self._hand(take))
        if exchange is not None and more:
            return True
        if not self._complete:
            raise BrokenReply("The response was given up.")
        return False

    def _hand(self, take: Take) -> bool | None:
        """Hand on what is here; whether there may be more, or None if that has yet to come."""
        if self._handing:
            return None  # reading makes room for more, which whoever reads is about to see
        while self._exchange is not None:
            self._handing = True
            try:
                piece = self._body.read_nowait()
            except (
                ClientError,
                HttpProcessingError,
                UpstreamError,
                RequestError,
                OSError,
            ) as fault:
                if self._traffic is not None and not isinstance(fault, RequestError):
                    self._traffic.failed(BrokenReply.token)
                self.close()
                # Not "from": an aiohttp error may quote the body.
                raise BrokenReply(self._told(fault)) from None
            finally:
                self._handing = False
            if piece:
                if not take(piece):
                    return True
            elif self._body.at_eof():
                self._complete = True
                self.close()
            else:
                return None
        return False

    def close(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if self._body.is_eof():
            exchange.finish()
        else:
            exchange.abort(BrokenReply("The response was given up."))

    def _told(self, fault: Exception) -> str:
        match fault:
            case UpstreamError():
                return str(fault)
            case SocketTimeoutError():
                return f"The backend was silent for {self._idle_timeout_s:g} s within the body."
            case HttpProcessingError():
                return "The backend framed the body wrongly."
            case RequestError():
                return "The request's body broke off, so the response was given up."
            case _:
                return "The backend broke off within the body."
