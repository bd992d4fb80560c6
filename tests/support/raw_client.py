"""A client that says exactly the bytes it is told to, and tells exactly how a connection ended."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_PIECE = 64 * 1024


@dataclass(frozen=True)
class RawResponse:
    """A response as it was on the wire; ``body`` is without chunk framing."""

    status: int
    reason: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    chunks: tuple[bytes, ...] = ()

    def get(self, name: str) -> str | None:
        """The only value of ``name``, or None; repeated fields fail."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None


class RawClient:
    """One connection, on a plain socket: bytes that came before a reset can still be read.

    Every wait has a limit and fails with TimeoutError.
    """

    def __init__(self, sock: socket.socket, limit_s: float) -> None:
        self._sock = sock
        self._limit_s = limit_s
        self._buffer = b""

    @classmethod
    async def connect(
        cls, address: tuple[str, int], *, receive_buffer: int | None = None, limit_s: float = 10.0
    ) -> Self:
        """Connect; ``receive_buffer`` bounds what the kernel takes for a reader that does not."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, address)
        except OSError:
            sock.close()
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock, limit_s)

    @property
    def own_address(self) -> tuple[str, int]:
        """Where it calls from."""
        host, port = self._sock.getsockname()[:2]
        return str(host), int(port)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._sock.close()

    def reset(self) -> None:
        """Close with RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def end(self) -> None:
        """Say FIN, and go on reading."""
        self._sock.shutdown(socket.SHUT_WR)

    async def send(self, data: bytes) -> None:
        """Send it all, and let a server on the same loop read it before anything else is sent."""
        async with asyncio.timeout(self._limit_s):
            await asyncio.get_running_loop().sock_sendall(self._sock, data)
        for _ in range(3):
            await asyncio.sleep(0)

    async def receive(self) -> bytes:
        """Some bytes; b"" at a clean end. Raises ConnectionResetError."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        async with asyncio.timeout(self._limit_s):
            return await asyncio.get_running_loop().sock_recv(self._sock, _PIECE)

    def nothing_came(self) -> bool:
        """Whether there is nothing to read right now, on a connection that has not ended."""
        if self._buffer:
            return False
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        return False

    async def exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._more()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    async def until(self, mark: bytes) -> bytes:
        """Everything up to ``mark``, which is taken too but not returned."""
        while mark not in self._buffer:
            await self._more()
        data, _, self._buffer = self._buffer.partition(mark)
        return data

    async def rest(self) -> bytes:
        """Everything up to a clean end. Raises ConnectionResetError."""
        taken = b""
        while data := await self.receive():
            taken += data
        return taken

    async def was_reset(self) -> bool:
        """Wait for the end; whether it was a reset rather than a clean one."""
        try:
            await self.rest()
        except ConnectionResetError:
            return True
        return False

    async def head(self) -> RawResponse:
        lines = (await self.until(b"\r\n\r\n")).decode("utf-8", "surrogateescape").split("\r\n")
        version, status, reason = lines[0].split(" ", 2)
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines[1:])]
        return RawResponse(int(status), reason, version, headers)

    async def response(self, *, head_only: bool = False) -> RawResponse:
        """A whole response, an interim one too, however its body is framed."""
        head = await self.head()
        chunks: list[bytes] = []
        if head_only or head.status < 200 or head.status in {204, 304}:  # RFC 9110, section 6.4.1
            body = b""
        elif head.get("Transfer-Encoding") == "chunked":
            while size := int(await self.until(b"\r\n"), 16):
                chunks.append(await self.exactly(size))
                assert await self.exactly(2) == b"\r\n"
            assert await self.exactly(2) == b"\r\n"
            body = b"".join(chunks)
        elif (length := head.get("Content-Length")) is not None:
            body = await self.exactly(int(length))
        else:
            body = await self.rest()
        return RawResponse(
            head.status, head.reason, head.version, head.headers, body, tuple(chunks)
        )

    async def _more(self) -> None:
        async with asyncio.timeout(self._limit_s):
            data = await asyncio.get_running_loop().sock_recv(self._sock, _PIECE)
        if not data:
            raise EOFError(f"the connection ended after {self._buffer!r}")
        self._buffer += data
