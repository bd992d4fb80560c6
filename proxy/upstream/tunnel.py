"""A connection that has left HTTP behind, WebSocket say: bytes both ways, looked at by nobody."""

from __future__ import annotations

import asyncio

from aiohttp import ServerDisconnectedError
from aiohttp.streams import EMPTY_PAYLOAD

from proxy.model.errors import BrokenReply, FirstByteTimeout, NoReply
from proxy.model.message import Head
from proxy.upstream.exchange import Exchange

_READ_BYTES = 64 * 1024  # what may wait for ``receive`` before reading stops


class HttpDuplex:
    """Both directions of a switched connection. Implements ``Duplex``.

    A side that is silent may stay so: the kernel's keep-alive probes find out whether it lives.
    """

    def __init__(self, exchange: Exchange, head: Head) -> None:
        self._head = head
        self._exchange = exchange
        self._line = line = exchange.line
        self._waiting = bytearray()
        self._stirred = asyncio.Event()  # bytes are waiting, or none will come
        self._ended = False
        line.read_timeout = None
        # Also hands over what came right behind the head.
        line.set_parser(self, EMPTY_PAYLOAD)

    @property
    def head(self) -> Head:
        return self._head

    async def receive(self) -> bytes:
        await self._stirred.wait()
        if self._waiting:
            data = bytes(self._waiting)
            self._waiting.clear()
            if not self._ended:
                self._stirred.clear()
                self._line.resume_reading(resume_parser=False)
            return data
        if isinstance(self._line.exception(), ServerDisconnectedError | None):
            return b""
        raise BrokenReply("The backend broke off the tunnel.")

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

    # Called by the line, as a parser of aiohttp's is.

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._waiting += data
        self._stirred.set()
        if len(self._waiting) > _READ_BYTES:
            self._line.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        self._ended = True
        self._stirred.set()
