"""A backend on a real socket that does, step by step, what a test tells it to.

The test holds both ends: it lets a request in, says each piece of the answer, and decides when and
how the connection ends. Nothing happens by itself and nothing sleeps, so every interleaving is
the one written down:

    async with ScriptedUpstream() as up:
        asking = start(client.get(up.url))              # a task; the client is under test
        call = await up.next_call()                     # a whole request is here
        assert call.method == "GET"
        await call.head(200, [("Content-Type", "text/event-stream")], chunked=True)
        await call.chunk(b"data: 1\\n\\n")
        await call.end()                                # or reset(), cut(), raw(b"...")

Where the order does not matter, ``up.answer_with(handler)`` answers every call by itself:

    up.answer_with(lambda call: call.reply(200, body=b"hello"))

Every wait has a limit and fails with an ``AssertionError`` that says what did not happen. On
leaving, connections are torn down, and what a handler raised is raised again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self

Pairs = Iterable[tuple[str, str]]
Handler = Callable[["Call"], Awaitable[object]]

_PIECE = 64 * 1024  # bytes read from a socket at once
_HEAD_LIMIT = 1024 * 1024  # bytes; far above what any test sends as a head


class ScriptedUpstream:
    """A server, by default on 127.0.0.1 and a free port; see the module for how to drive it.

    ``tls``: serve https with this context. ``limit_s``: seconds any wait may take.
    ``reads_bodies=False``: leave bodies, and what comes after a 101, in the socket until
    ``Call.read_on``.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        limit_s: float = 10.0,
        reads_bodies: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.history: list[Call] = []  # every request, in the order their heads arrived
        self.connections: list[Connection] = []  # every connection, in the order accepted
        self.host = host
        self.port = port
        self._tls = tls
        self._limit_s = limit_s
        self._reads_bodies = reads_bodies
        self._server: asyncio.Server | None = None
        self._unclaimed: list[Call] = []  # for next_call
        self._handler: Handler | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def url(self) -> str:
        """The origin, without a slash at its end."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    @property
    def calls(self) -> int:
        """How many requests have arrived."""
        return len(self.history)

    @property
    def open_connections(self) -> int:
        """How many connections neither side has ended."""
        return sum(connection.open for connection in self.connections)

    async def next_call(self, *, whole: bool = True) -> Call:
        """The next request not handed out yet, once its body is here too.

        With ``whole=False`` as soon as its head is here; see ``Call.received``.
        """
        await self.until(lambda: bool(self._unclaimed), "another request arrives")
        call = self._unclaimed.pop(0)
        if whole:
            await call.whole()
        return call

    def answer_with(self, handler: Handler | None) -> None:
        """Answer calls from now on by ``handler``, each in its own task; None: by hand again.

        They are not handed out by ``next_call``. A client that hangs up ends its handler quietly.
        """
        self._handler = handler

    def refuse(self) -> None:
        """Stop listening: new connections are refused, those that are open stay."""
        assert self._server is not None
        self._server.close()

    async def listen(self) -> None:
        """Listen (again, after ``refuse``: on the same port)."""
        listening = socket.create_server((self.host, self.port))
        if not self._reads_bodies:  # a small buffer, so that a client soon feels it
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._server = await asyncio.start_server(
            self._converse, sock=listening, ssl=self._tls, limit=_HEAD_LIMIT
        )
        self.port = listening.getsockname()[1]

    async def deserted(self) -> None:
        """Wait until no connection is open."""
        await self.until(lambda: not self.open_connections, "all connections are closed")

    async def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait until something about this server is ``true``; ``what`` says so in words."""
        try:
            async with asyncio.timeout(self._limit_s):
                await self.wait(true)
        except TimeoutError:
            raise AssertionError(
                f"waited {self._limit_s} s in vain until {what}; so far {self.calls} requests on "
                f"{len(self.connections)} connections, {self.open_connections} of them open"
            ) from None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()
        for task in self._tasks:
            task.cancel()
        for connection in self.connections:
            connection.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._failures and error is None:
            raise self._failures[0]

    def ring(self) -> None:
        """Something changed: let those who wait look again."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, true: Callable[[], bool]) -> None:
        """As ``until``, without a limit; for what ends with the server anyway."""
        while not true():
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(self, len(self.connections) + 1, reader, writer)
        connection.reading = self._reads_bodies
        self.connections.append(connection)
        self.ring()
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while await self._serve_one(connection):
                    pass
        finally:
            connection.open = False
            writer.close()
            self.ring()
            self._tasks.discard(task)

    async def _serve_one(self, connection: Connection) -> bool:
        """Read one request whole; False if HTTP is over on this connection."""
        head = await connection.reader.readuntil(b"\r\n\r\n")
        connection.requests += 1
        call = Call(self, connection, head)
        self.history.append(call)
        handler = self._handler
        if handler is None:
            self._unclaimed.append(call)
        self.ring()
        await call.read_body()
        if handler is not None:
            handling = self._handle(handler, call)
            task = asyncio.create_task(handling)  # noqa: TID251 - ended when the server is left
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not call.field("upgrade"):
            return True
        await self.wait(lambda: call.answered)
        if call.status != 101:
            return True
        while data := await connection.read(_PIECE):
            call.tunnelled += data
            self.ring()
        return False

    async def _handle(self, handler: Handler, call: Call) -> None:
        try:
            await handler(call)
        except ConnectionError:
            pass  # the client hung up
        except Exception as failure:  # noqa: BLE001 - raised again when the server is left
            self._failures.append(failure)


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
