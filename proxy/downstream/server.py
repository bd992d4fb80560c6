"""The HTTP server: listeners, the connections they accept, and how they come to an end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl as tls
from collections.abc import Callable, Iterator
from typing import Final

import aiohttp
from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler

from proxy.downstream.connection import Connection
from proxy.downstream.limits import Limits
from proxy.downstream.service import Attending, Counts, DateLine, Recorder, Service
from proxy.model.errors import ConfigError

# What Connection uses of aiohttp's RequestHandler besides its documented interface.
_LEANED_ON: Final = (
    "_buffer_paused", "_drain_waiter", "_loop", "_manager", "_message_tail", "_messages",
    "_msg_queue_resume_size", "_parser", "_paused", "_reading_paused", "_request_count",
    "_resume_reading_if_drained", "_resume_transport_reading", "_task_handler", "_upgraded",
    "_waiter", "max_field_size", "max_headers", "max_line_size",
)  # fmt: skip
_ABORT_S: Final = 5.0  # for aborted requests to clean up


class Server:
    """Serves HTTP/1.1 and 1.0 to clients, on any number of listeners.

    Args:
        attending: who answers, to begin with.
        record: told of every request that could be parsed, once, when it is over.
        clock: seconds since the epoch, for ``Date``.
    """

    def __init__(
        self,
        attending: Attending,
        record: Recorder,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._service = Service(attending, record, DateLine(clock))
        self._listeners: list[asyncio.Server] = []
        self._connections: _Connections | None = None

    @property
    def counts(self) -> Counts:
        return self._service.counts

    def attend(self, attending: Attending) -> None:
        """Have ``attending`` answer every request whose head comes from now on.

        What the parser lets through and how much a kernel buffers holds for new connections.
        """
        self._service.attend(attending)

    async def start(
        self,
        host: str | None,
        port: int,
        *,
        ssl: tls.SSLContext | None = None,
        reuse_port: bool = False,
        sock: socket.socket | None = None,
    ) -> tuple[str, int]:
        """Listen there, or on ``sock`` if given; returns the address and port listened on.

        Raises:
            ConfigError: aiohttp is not what this server can rely on.
            OSError: the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        limits = self._service.limits
        if self._connections is None:
            connections = _Connections(self._service)
            _check(connections(), limits)
            self._connections = connections
        handshake_s = limits.header_deadline_s if ssl else None
        if sock is not None:
            listener = await loop.create_server(
                self._connections,
                sock=sock,
                ssl=ssl,
                ssl_handshake_timeout=handshake_s,
                backlog=limits.backlog,
                start_serving=False,
            )
        else:
            listener = await loop.create_server(
                self._connections,
                host,
                port,
                ssl=ssl,
                ssl_handshake_timeout=handshake_s,
                reuse_port=reuse_port or None,
                backlog=limits.backlog,
                start_serving=False,
            )
        for listening in listener.sockets:  # those it accepts inherit this
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer)
        await listener.start_serving()
        self._listeners.append(listener)
        name = listener.sockets[0].getsockname()
        return (str(name[0]), int(name[1])) if isinstance(name, tuple) else (str(name), 0)

    def drain(self) -> None:
        """Accept no more, close what is idle, and let the replies under way be the last ones."""
        self._service.draining = True
        for listener in self._listeners:
            listener.close()
        if self._connections is not None:
            for connection in self._connections:
                connection.retire()

    async def close(self, deadline_s: float) -> None:
        """Drain, wait at most ``deadline_s`` for the replies under way, and reset what is left."""
        self.drain()
        connections = self._connections
        if connections is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await connections.gone.wait()
        for connection in connections:
            connection.abort("Draining")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ABORT_S):
                await connections.gone.wait()
                for listener in self._listeners:
                    await listener.wait_closed()


class _Connections(web.Server):
    """Makes a Connection for every client, and holds it until its task is over."""

    def __init__(self, service: Service) -> None:
        super().__init__(_not_used, handler_cancellation=True)
        self._service = service
        self._held: set[Connection] = set()
        self.gone = asyncio.Event()  # nothing is held
        self.gone.set()

    def __call__(self) -> Connection:
        # The one this replaces drops all settings, limits too, if one of them has a wrong name.
        return Connection(self, self._service, self._loop)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._held))

    def connection_made(self, handler: RequestHandler, _transport: asyncio.Transport) -> None:
        if isinstance(handler, Connection):
            self._held.add(handler)
            self.gone.clear()

    def connection_lost(self, handler: RequestHandler, _exc: BaseException | None = None) -> None:
        if isinstance(handler, Connection):
            if handler.task is None or handler.task.done():
                self._let_go(handler)
            else:
                handler.task.add_done_callback(lambda _: self._let_go(handler))

    def _let_go(self, connection: Connection) -> None:
        self._held.discard(connection)
        if not self._held:
            self.gone.set()


async def _not_used(request: web.BaseRequest) -> web.StreamResponse:
    """Stand where aiohttp wants a handler; connections have a loop of their own."""
    raise NotImplementedError


def _check(built: Connection, limits: Limits) -> None:
    """Refuse to serve on an aiohttp that does not do what is relied on.

    Raises:
        ConfigError: naming every fault.
    """
    faults = []
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        faults.append(
            "its compiled parser is missing (or AIOHTTP_NO_EXTENSIONS is set), and the other one"
            " reads some requests differently from the servers behind this proxy"
        )
    if missing := [name for name in _LEANED_ON if not hasattr(built, name)]:
        faults.append(f"connections have no {', '.join(missing)}")
    else:
        set_to = (built.max_line_size, built.max_field_size, built.max_headers)
        if set_to != (limits.line_bytes, limits.field_bytes, limits.fields):
            faults.append(f"limits are {set_to} in spite of the settings")
        if not built.keeps_limits():
            faults.append("its parser does not keep the limits it is given")
    if faults:
        raise ConfigError(f"aiohttp {aiohttp.__version__} cannot be used: {'; '.join(faults)}.")
