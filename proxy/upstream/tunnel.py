"""A connection that has left HTTP behind, WebSocket say: bytes both ways, looked at by nobody."""

from __future__ import annotations

from proxy.model.errors import BrokenReply, FirstByteTimeout, NoReply
from proxy.model.message import Head
from proxy.upstream.exchange import Exchange, Response
from proxy.upstream.line import Lost


class HttpDuplex:
    """Both directions of a switched connection. Implements ``Duplex``.

    A side that is silent may stay so: the kernel's keep-alive probes find out whether it lives.
    """

    def __init__(self, exchange: Exchange, response: Response) -> None:
        self.head: Head = response.head
        self._exchange = exchange
        self._line = exchange.line
        self._coming = response.body
        self._line.untimed()

    async def receive(self) -> bytes:
        came: list[bytes] = []

        def take(piece: bytes) -> bool:
            came.append(piece)
            return False

        if await self._coming.pour(take):
            return came[0]
        if isinstance(self._coming.fault, Lost):
            raise BrokenReply("The backend broke off the tunnel.")
        return b""  # the backend's end, or ours

    async def send(self, data: bytes) -> None:
        self._line.write(data)
        try:
            await self._line.drained()
        except FirstByteTimeout as fault:
            raise BrokenReply(str(fault)) from fault
        if not self._line.is_connected():
            raise BrokenReply("The backend has ended the tunnel.")

    def close(self) -> None:
        self._exchange.abort(NoReply("The tunnel was closed."))
