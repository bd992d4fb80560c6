"""The HTTP server: listeners, the connections they accept, and how they come to an end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl as tls
from collections.abc import Awaitable, Callable, Iterator, Sequence
from math import inf
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proxy.downstream.connection import Connection
from proxy.downstream.exchange import DRAINING
from proxy.downstream.express import Express, Telling
from proxy.downstream.leaving import Leaving, interrupted
from proxy.downstream.relied import check, express_fault
from proxy.downstream.service import Attending, Counts, DateLine, Recorder, Service, log
from proxy.model.outcome import Record

_PARTING_S: Final = 2.0  # for the last words to be taken
_ACCEPTED_AT_ONCE: Final = 16
_ABORT_S: Final = 5.0  # for aborted requests to clean up
_MAKING_S: Final = 1.0  # far more than a connection that was accepted takes to be made
_MAKING: Final = 3  # rounds of the loop from accepting a connection to its being made


class _Listener(NamedTuple):
    """Where connections come in, and how those are encrypted."""

    server: asyncio.Server
    ssl: tls.SSLContext | None
    handshake_s: float | None


class Server:
    """Serves HTTP/1.1 and 1.0 to clients, on any number of listeners.

    Args:
        attending: who answers, to begin with.
        record: told of every request that could be parsed, once, when it is over.
        clock: seconds since the epoch, for ``Date``.
        tell: told of requests in the express lane; None: ``record`` is, of each.
        lend: where the bytes that lane takes are accounted for.
        express_bytes: how many it may take; 0: there is no such lane.
    """

    def __init__(
        self,
        attending: Attending,
        record: Recorder,
        *,
        clock: Callable[[], float],
        tell: Telling | None = None,
        lend: Callable[[int], object] = lambda _: None,
        express_bytes: int = 0,
    ) -> None:
        service = Service(attending, record, DateLine(clock))
        self.express = service.express = Express(
            service,
            tell=tell or _one_by_one(record),
            wall=clock,
            lend=lend,
            max_bytes=express_bytes,
        )
        self._service = service
        self._listeners: list[_Listener] = []
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
            check(connections(), limits)
            if fault := express_fault(connections()):
                log.warning("the express lane is off: %s", fault)
                self.express.close()
            self._connections = connections
        handshake_s = limits.header_deadline_s if ssl else None
        # asyncio's own loop goes on for as many as the backlog once there are no descriptors left,
        # each with a line in the log (CPython 3.11, `_accept_connection`).
        selects = isinstance(loop, asyncio.SelectorEventLoop)
        backlog = _ACCEPTED_AT_ONCE if selects else limits.backlog
        if sock is not None:
            listener = await loop.create_server(
                self._connections,
                sock=sock,
                ssl=ssl,
                ssl_handshake_timeout=handshake_s,
                backlog=backlog,
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
                backlog=backlog,
                start_serving=False,
            )
        for listening in listener.sockets:  # those it accepts inherit this
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer)
        await listener.start_serving()
        if selects:
            for listening in listener.sockets:
                with listening.dup() as same:
                    same.listen(limits.backlog)
        self._listeners.append(_Listener(listener, ssl, handshake_s))
        name = listener.sockets[0].getsockname()
        return (str(name[0]), int(name[1])) if isinstance(name, tuple) else (str(name), 0)

    async def leave(self, how: Leaving) -> None:
        """Come to an end in this way; returns once nobody is connected any more."""
        connections, service = self._connections, self._service
        service.draining = True
        self.express.close()
        if connections is None:
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (wait_s := how.waits_s(loop.time() - began, connections.unused_s)) > 0:
            if connections.gone.is_set():
                await asyncio.sleep(wait_s)
            else:
                await connections.empty(wait_s)
        service.close(how.patience_s)
        for connection in connections:
            connection.retire()
        await self._stop_listening(connections, how.patience_s)
        await connections.empty(began + how.limit_s - loop.time())
        for connection in connections:
            connection.end(DRAINING)
        await connections.empty(_PARTING_S)
        for connection in connections:
            connection.abort(DRAINING)
        await connections.empty(_ABORT_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ABORT_S):
                for listener in self._listeners:
                    await listener.server.wait_closed()

    async def close(self, deadline_s: float) -> None:
        """Take no more, and give what is under way at most ``deadline_s`` seconds."""
        await self.leave(interrupted(deadline_s))

    async def _stop_listening(self, connections: _Connections, patience_s: float) -> None:
        """Accept those whom the kernel has let in, whom it would reset otherwise; then no more."""
        loop = asyncio.get_running_loop()
        accepting: list[Awaitable[object]] = []
        for listener in self._listeners:
            # Closing the listener ends its sockets, but not these: they share what is listening.
            last = [socket.socket(fileno=os.dup(each.fileno())) for each in listener.server.sockets]
            listener.server.close()
            for each in last:
                with each:
                    accepting += [
                        loop.connect_accepted_socket(
                            connections,
                            accepted,
                            ssl=listener.ssl,
                            ssl_handshake_timeout=listener.handshake_s,
                        )
                        for accepted in _accept(each, self._service.limits.backlog)
                    ]
        if any(listener.ssl for listener in self._listeners):
            # Nothing tells of those that are shaking hands.
            accepting.append(asyncio.sleep(patience_s))
        made = asyncio.gather(*accepting, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s + _MAKING_S):
                await made
        for _ in range(_MAKING):
            await asyncio.sleep(0)


def _accept(listening: socket.socket, most: int) -> Iterator[socket.socket]:
    """The connections that wait to be accepted there, so many at most."""
    for _ in range(most):
        try:
            accepted, _peer = listening.accept()
        except ConnectionAbortedError:
            continue
        except OSError:  # BlockingIOError: no more; or no more can be held
            return
        accepted.settimeout(0)
        yield accepted


class _Connections(web.Server):
    """Makes a Connection for every client, and holds it until its task is over."""

    def __init__(self, service: Service) -> None:
        super().__init__(_not_used, handler_cancellation=True)
        self._service = service
        self._held: set[Connection] = set()
        self.gone = asyncio.Event()  # nothing is held
        self.gone.set()
        self._since = -inf  # on the loop's clock, if so

    def __call__(self) -> Connection:
        # The one this replaces drops all settings, limits too, if one of them has a wrong name.
        return Connection(self, self._service, self._loop)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._held))

    @property
    def unused_s(self) -> float | None:
        """For how many seconds nobody has been connected; None: somebody is."""
        return self._loop.time() - self._since if self.gone.is_set() else None

    async def empty(self, limit_s: float) -> None:
        """Wait until nobody is connected, for so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, limit_s)):
                await self.gone.wait()

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
            self._since = self._loop.time()
            self.gone.set()


def _one_by_one(record: Recorder) -> Telling:
    def tell(first: Record, more: Sequence[float], _since: float) -> None:
        record(first)
        for duration_s in more:
            record(first._replace(delivery=first.delivery._replace(duration_s=duration_s)))

    return tell


async def _not_used(request: web.BaseRequest) -> web.StreamResponse:
    """Stand where aiohttp wants a handler; connections have a loop of their own."""
    raise NotImplementedError
