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
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from support.scripted_call import Call, Connection

__all__ = ["Call", "Connection", "ScriptedUpstream"]

Handler = Callable[[Call], Awaitable[object]]

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
