"""One connection to a scripted backend, and one request on it with what is said in answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.scripted import ScriptedUpstream

Pairs = Iterable[tuple[str, str]]

_PIECE = 64 * 1024  # bytes read from a socket at once


class Connection:
    """One connection a client opened: its ``number`` (from 1) and how many ``requests`` it sent."""

    def __init__(
        self,
        server: ScriptedUpstream,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._server = server
        self.number = number
        self.requests = 0
        self.open = True
        self.reading = True
        self.reader = reader
        self.writer = writer

    @property
    def transport(self) -> asyncio.WriteTransport:
        return self.writer.transport

    async def read(self, size: int) -> bytes:
        """For the server: at most ``size`` bytes, once the test lets it read."""
        await self._server.wait(lambda: self.reading)
        return await self.reader.read(size)

    async def send(self, data: bytes) -> None:
        """Send bytes as they are, asked for or not."""
        if not self.open or self.transport.is_closing():
            raise ConnectionResetError("the client hung up")
        self.writer.write(data)
        await self.writer.drain()

    async def cut(self) -> None:
        """End it the polite way: a FIN after what was sent."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def reset(self) -> None:
        """End it the rude way: a RST, which may overtake what was sent."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class Call:
    """One request, and what is said in answer to it.

    ``method``, ``target``, ``version`` and ``headers`` (pairs, as spelled) are known at once,
    ``body`` is what has come so far, ``complete`` whether it has come to its proper end.
    ``connection`` tells which connection it came on, ``nth`` which request on it this is.
    """

    def __init__(self, server: ScriptedUpstream, connection: Connection, head: bytes) -> None:
        lines = head.decode("utf-8", "surrogateescape").removesuffix("\r\n\r\n").split("\r\n")
        self.raw_head = head
        self.method, self.target, self.version = lines[0].split(" ")
        self.headers = [
            (name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])
        ]
        self.body = b""
        self.complete = False
        self.tunnelled = b""  # what came after a 101
        self.connection = connection
        self.nth = connection.requests
        self.status = 0  # what was answered; 0: nothing yet
        self._server = server
        self._left: int | None = None  # bytes of a declared length that are still to be sent
        self._chunked = False

    @property
    def answered(self) -> bool:
        """Whether a final head (or a 101) has been sent."""
        return self.status > 0

    def field(self, name: str) -> str:
        """The values of a header field, joined; its name in any case, "" when absent."""
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())

    # What came.

    async def whole(self) -> bytes:
        """The body, once all of it is here."""
        await self._server.until(lambda: self.complete, f"the body of {self} is whole")
        return self.body

    async def received(self, size: int) -> bytes:
        """The body so far, once it has at least ``size`` bytes."""
        await self._server.until(
            lambda: len(self.body) >= size, f"{self} has {size} bytes of its body"
        )
        return self.body

    async def hung_up(self) -> None:
        """Wait until the client has ended the connection."""
        await self._server.until(lambda: not self.connection.open, f"the client of {self} hangs up")

    def read_on(self) -> None:
        """Begin to read what comes after the head, where the server was told not to."""
        self.connection.reading = True
        self._server.ring()

    # What is answered. These raise ConnectionError when the client is gone.

    async def head(
        self,
        status: int,
        headers: Pairs = (),
        *,
        length: int | None = None,
        chunked: bool = False,
        close_delimited: bool = False,
        reason: str = "Scripted",
        version: str = "HTTP/1.1",
    ) -> None:
        """Send a response head, with the framing fields that go with how its body will end.

        Of ``length`` (bytes), ``chunked`` and ``close_delimited`` give one; none means that no
        framing field is added: for 1xx, 204 and 304, or where ``headers`` frame it themselves.
        """
        framing = [("Content-Length", str(length))] if length is not None else []
        if chunked:
            framing = [("Transfer-Encoding", "chunked")]
        if close_delimited:
            framing = [("Connection", "close")]
        lines = [f"{version} {status} {reason}"]
        lines += [f"{name}: {value}" for name, value in (*headers, *framing)]
        if status == 101 or status >= 200:
            self.status = status
        self._chunked, self._left = chunked, length
        await self.raw("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))
        self._server.ring()

    async def chunk(self, data: bytes) -> None:
        """Send a piece of the body; a chunk of its own if the body is chunked. Nothing for b""."""
        if self._left is not None:
            self._left -= len(data)
            assert self._left >= 0, "more than the declared length; use raw() to lie"
        if data:
            await self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def end(self) -> None:
        """End the body the way its head promised."""
        if self._chunked:
            await self.raw(b"0\r\n\r\n")
        elif self._left is None:
            await self.cut()
        else:
            assert self._left == 0, "less than the declared length; use cut() to break off"

    async def reply(self, status: int, headers: Pairs = (), body: bytes = b"") -> None:
        """A whole response with a Content-Length, in one write."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self.status = status
        await self.raw(
            f"HTTP/1.1 {status} Scripted\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        self._server.ring()

    async def switch(self, protocol: str, headers: Pairs = (), after: bytes = b"") -> None:
        """Leave HTTP (101), with bytes of the new protocol right behind the head.

        From here on ``raw`` sends, and ``received_raw`` tells what came.
        """
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self.status = 101
        await self.raw(
            "HTTP/1.1 101 Switching Protocols\r\n"
            f"Connection: Upgrade\r\nUpgrade: {protocol}\r\n{fields}\r\n".encode()
            + after
        )
        self._server.ring()

    async def received_raw(self, size: int) -> bytes:
        """What came after the 101 so far, once it has at least ``size`` bytes."""
        await self._server.until(
            lambda: len(self.tunnelled) >= size, f"{size} bytes came through the tunnel"
        )
        return self.tunnelled

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self.connection.send(data)

    async def cut(self) -> None:
        """End the connection with a FIN, whatever was promised."""
        await self.connection.cut()

    async def reset(self) -> None:
        """End the connection with a RST."""
        await self.connection.reset()

    async def read_body(self) -> None:
        """For the server: read the body as it comes."""
        reader = self.connection.reader
        if "chunked" in self.field("transfer-encoding").lower():
            while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
                await self._read_exactly(size)
                await reader.readexactly(2)
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass  # trailers
        elif length := self.field("content-length"):
            await self._read_exactly(int(length))
        self.complete = True
        self._server.ring()

    async def _read_exactly(self, size: int) -> None:
        while size:
            if not self.connection.reading:
                await self._server.until(lambda: self.connection.reading, "the body is read on")
            data = await self.connection.reader.read(min(size, _PIECE))
            if not data:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(data)
            self.body += data
            self._server.ring()

    def __repr__(self) -> str:
        where = f"request {self.nth} of connection {self.connection.number}"
        return f"<{self.method} {self.target}, {where}>"
