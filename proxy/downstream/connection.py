"""One client's connection: aiohttp parses what comes in, this decides what becomes of it.

Why not leave it to aiohttp's own loop: it answers broken input with the parser's words, keeps no
time but that between requests, drops the reply when a client ends its side early, takes a short
body for a whole one, and starts a task for every request. Its parser, its flow control and its body
streams stay.

A connection is WAITING for a request, has the beginning of a HEAD, is SERVING a request, or is
ENDING. Each has its deadline.

A client that ends its side (FIN) may be gone or may be waiting for the reply, and nothing tells
which until something is written: a client that is gone answers that with a reset. So once it has,
a reply must begin within a grace, and from then on the socket is asked now and then whether it was
reset. Encrypted connections have no half-closed state; there the client is gone.
"""

from __future__ import annotations

import asyncio
import socket
from enum import Enum
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.http_parser import HttpParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

from proxy.deadline import Deadline
from proxy.downstream.begun import Begun
from proxy.downstream.ending import Ending, reset, unread
from proxy.downstream.exchange import CLIENT_GONE, Exchange
from proxy.downstream.request import Origin, origin_of, parse_fault, surplus
from proxy.downstream.service import LEAVING, OVERLOAD, TOO_LONG, TOO_SLOW, LastWord, Service, log
from proxy.model.errors import RequestError
from proxy.model.message import Headers
from proxy.wire.headers import tunnelled

if TYPE_CHECKING:
    from aiohttp.web_protocol import _ErrInfo

_TOLD_AT_ONCE: Final = 32  # turned away with a word; beyond that, they would use up descriptors


class _Phase(Enum):
    WAITING = "waiting"
    HEAD = "head"
    SERVING = "serving"
    ENDING = "ending"


class Connection(RequestHandler):
    """The conversation with one client; a ``ClientLine`` to the exchanges on it."""

    __slots__ = (
        "_begun", "_deadline", "_deaf", "_ended", "_ending", "_head_bytes", "_held_back",
        "_is_clean", "_is_last", "_owed", "_parting", "_phase", "_raw_waiter", "_service",
        "_stream", "_tunnelling", "_turned_away", "_written", "_written_before_end", "cause",
        "lasting", "origin",
    )  # fmt: skip

    def __init__(
        self, manager: web.Server, service: Service, loop: asyncio.AbstractEventLoop
    ) -> None:
        limits = service.limits
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=0,  # the deadlines are kept here
            access_log=None,  # type: ignore[arg-type] # what aiohttp's documentation says to pass
            max_line_size=limits.line_bytes,
            max_field_size=limits.field_bytes,
            max_headers=limits.fields,
            read_bufsize=limits.read_buffer,
            auto_decompress=False,  # a body is passed on as it came
        )
        self.origin = Origin("", "http")
        self.cause = ""
        self.lasting = True
        self._service = service
        self._phase = _Phase.WAITING
        self._begun: Begun[bool] | None = None  # the exchange that the task is to go on with
        self._deadline = Deadline(loop, self._too_late)
        self._head_bytes = 0  # of a head that came in pieces
        self._stream: StreamReader = EMPTY_PAYLOAD  # the body of the request being served
        self._is_clean = True  # whether what came last is known to have ended with a request
        self._is_last = False  # whether that request asked for the end of the connection
        self._parting: LastWord | None = None
        self._turned_away = False  # before anything was heard
        self._deaf = False  # nothing that comes in counts any more
        self._ended = False  # the client has ended its side
        self._held_back = False  # the parser may have stopped with requests it has not told of
        self._owed = 0  # body bytes still to come of a request whose upgrade is ignored
        self._tunnelling = False
        self._raw_waiter: asyncio.Future[None] | None = None
        self._written = 0  # bytes
        self._written_before_end = 0
        self._ending: Ending | None = None

    # -- what asyncio calls -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.origin = origin_of(transport)
        counts, limits = self._service.counts, self._service.limits
        counts.accepted += 1
        counts.open += 1
        if counts.open > limits.connections:
            counts.turned_away += 1
            counts.received += 1
            self._turned_away = True
            self._parting = OVERLOAD
        within_s, service = limits.header_deadline_s, self._service
        self._deadline.expect(min(within_s, service.idle_s) if service.closing else within_s)
        super().connection_made(transport)
        if counts.open > limits.connections + _TOLD_AT_ONCE:
            self.abort("Overload")

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._manager is None:
            return
        self.cause = self.cause or CLIENT_GONE
        self._service.counts.open -= 1
        self._ended = self._deaf = True
        self._deadline.end()
        self._spoil("The client has gone.")  # others than the task that is cancelled may be reading
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio asks for a bool (True: stay)
        if self.origin.scheme == "https":
            return False
        if not (self._phase is _Phase.SERVING or self._messages):
            if self.has_taken_all:
                return False
            # What was written may never be taken; the transport by itself would wait for ever.
            self._ended = True
            self._wake(self._waiter)
            return True
        self._ended = True
        self._wake(self._raw_waiter)
        self._spoil("The body of the request broke off.")
        self._written_before_end = self._written
        self._deadline.expect(self._service.limits.half_close_grace_s)
        return True

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        parsed, waiter, was_clean = self._request_count, self._waiter, self._is_clean
        if is_idle := self._is_idle:
            express = self._service.express
            if express is not None and was_clean and express.answer(data, self):
                self._request_count = parsed + 1
                self._deadline.expect(self._service.idle_s)
                return
            self._waiter = None  # aiohttp would wake the task, for which there may be nothing to do
        self._is_clean = False
        super().data_received(data)
        self._waiter = waiter
        if self._request_count != parsed:
            self._look_at_parsed(data, self._request_count - parsed)
            if is_idle:
                # A head may have begun before ``data``, whatever that looks like by itself.
                self._serve_at_once(data if was_clean and self._is_clean else b"")
        elif self._upgraded:
            self._wake(self._raw_waiter)
        elif self._owed:
            self.lasting = len(data) <= self._owed
            self._owed = max(0, self._owed - len(data))
        elif self._phase is not _Phase.SERVING and data:
            self._look_at_head(data)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        # Streams call this at every read; for a connection that was not paused it would cost a
        # round through the parser.
        if self._reading_paused:
            super().resume_reading(resume_parser)

    # -- the conversation ---------------------------------------------------------------------

    async def start(self) -> None:
        """Serve one request after the other; aiohttp makes this the connection's task."""
        linger = False
        try:
            while self._parting is None and await self._listen():
                begun, self._begun = self._begun, None
                exchange = None if begun else self._exchange()
                going_on = begun or (None if exchange is None else exchange.run())
                if going_on is None:
                    break
                if not await going_on:
                    # A client that did not ask for the end may be sending more.
                    linger = not (self._is_last and self._stream.is_eof())
                    break
                self._stream = EMPTY_PAYLOAD
            if self._parting is not None:
                self._service.part(self, self.origin, self._parting, told=not self._turned_away)
                linger = True
        except ConnectionError:
            pass  # the client has gone, and everything about it is in the record
        except asyncio.CancelledError:
            linger = not self._stream.is_eof()  # what was said, if anything, is all there will be
            raise
        except Exception as error:  # noqa: BLE001 - the task's root
            self._service.bug("a connection", error)
            self.abort(type(error).__name__)
        finally:
            self._leave(linger=linger)

    def retire(self) -> None:
        """Close it soon if there is no request on it; else the reply under way will be the last."""
        if self._phase is _Phase.WAITING and not self._messages:
            self._deadline.expect(self._service.idle_s)

    def end(self, cause: str) -> None:
        """Close it if it is idle; else the reply under way becomes an error, or is broken off."""
        self.cause = self.cause or cause
        match self._phase:
            case _Phase.WAITING:
                self._wake(self._waiter)
            case _Phase.HEAD:
                self._give_up_on_head(LEAVING)
            case _Phase.SERVING:
                if self._task_handler is not None:
                    self._task_handler.cancel()
            case _Phase.ENDING:
                if self._ending is not None:
                    self._ending.hasten()

    def abort(self, cause: str) -> None:
        """Reset the connection: nothing that was sent can pass for a clean end. Idempotent."""
        self.cause = self.cause or cause
        if self.transport is not None:
            reset(self.transport)

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that serves it, from the moment it is made to its end."""
        return self._task_handler

    @property
    def parser(self) -> HttpParser[RawRequestMessage] | None:
        """What reads requests; None once the connection is over."""
        return self._parser

    # -- what exchanges use -------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._written += len(data)
        transport.write(data)

    @property
    def has_taken_all(self) -> bool:
        transport = self.transport
        if transport is None or transport.is_closing() or self._paused:
            return False
        return not transport.get_write_buffer_size()

    async def drain(self) -> None:
        limits = self._service.limits
        while self._paused:
            transport = self.transport
            if transport is None:
                raise ConnectionResetError("the client has gone")
            left = transport.get_write_buffer_size()
            # Not aiohttp's own wait, which cannot be waited for again once it was timed out.
            waiter = self._drain_waiter = self._loop.create_future()
            try:
                async with asyncio.timeout(limits.stall_s):
                    await waiter
            except TimeoutError:
                if self._stalls(left, transport):
                    raise ConnectionAbortedError("the client does not read") from None

    async def receive(self) -> bytes:
        self._tunnelling = True
        while not self._message_tail:
            if self._ended:
                return b""
            self._raw_waiter = self._loop.create_future()
            try:
                await self._raw_waiter
            finally:
                self._raw_waiter = None
        data, self._message_tail = self._message_tail, b""
        if self._buffer_paused:
            self._resume_reading_if_drained()
        return data

    # -- requests as they come in -------------------------------------------------------------

    async def _listen(self) -> bool:
        """Wait for a request; False if there will be none, or only a last word is left to say."""
        if not self._messages and self._held_back:
            self._held_back = False
            self.data_received(b"")
        if not (self._messages or self._begun):
            if self._ended:
                return False
            if self._phase is _Phase.SERVING:
                self._phase = _Phase.WAITING
                self._deadline.expect(self._service.idle_s)
            await self._wait()
            if self._phase is _Phase.WAITING and not self._messages and unread(self.transport):
                self._deadline.expect(self._service.limits.header_deadline_s)
                await self._wait()
        self._phase = _Phase.SERVING
        if not self._ended:
            self._deadline.lift()
        return bool(self._messages or self._begun)

    async def _wait(self) -> None:
        """Wait for something to happen to the connection, or for it to be too late."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            if self._begun is None:
                raise
            self._begun.cancel()  # it has begun, and must not end without a word
        finally:
            self._waiter = None

    @property
    def _is_idle(self) -> bool:
        """Whether the task waits for a request, and nothing else is under way."""
        waiter = self._waiter
        return (
            self._phase is _Phase.WAITING
            and not self._messages
            and not (self._ended or self._held_back)
            and self._parting is None
            # Woken, it may be about to end the connection. (None: it has not begun to wait.)
            and (waiter is None or not waiter.done())
        )

    def _serve_at_once(self, data: bytes) -> None:
        """Begin to answer the request that was parsed; wake the task if it is to go on with that.

        Most hits in memory are over by then, and the task sleeps on.

        Args:
            data: the bytes of this request and nothing else, or b"".
        """
        task, service = self._task_handler, self._service
        if len(self._messages) == 1 and not self._held_back and task is not None:
            message, stream = self._messages[0]
            express = service.express
            sight = None
            if data and express is not None and isinstance(message, RawRequestMessage):
                sight = express.sight(message, data)
            if sight and express is not None and express.answer_parsed(sight, self, stream):
                self._take()
                self._deadline.expect(service.idle_s)
                return
            self._phase = _Phase.SERVING
            self._deadline.lift()
            if (exchange := self._exchange()) is not None:
                begun = Begun(exchange.run(), task, self._loop)
                if begun.value and not self._messages:
                    given, request = exchange.given, exchange.request
                    if given is not None and request is not None and sight and express is not None:
                        express.learn(sight, request, given)
                    self._stream = EMPTY_PAYLOAD
                    self._phase = _Phase.WAITING
                    self._deadline.expect(service.idle_s)
                    return
                if not begun.value:
                    self._begun = begun
        self._wake(self._waiter)

    def _exchange(self) -> Exchange | None:
        """The exchange over the next request; None: nobody could make sense of it."""
        message, stream = self._take()
        self._service.counts.received += 1
        if not isinstance(message, RawRequestMessage):
            self._parting = LastWord(*parse_fault(message.exc))
            self._service.counts.malformed += 1
            log.debug("malformed request: %s", type(message.exc).__name__)
            return None
        self._stream, self._is_last = stream, message.should_close
        return Exchange(self, self._service, message, stream)

    def _take(self) -> tuple[RawRequestMessage | _ErrInfo, StreamReader]:
        """The next of what was parsed; makes room for the parser to go on."""
        taken = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return taken

    def _look_at_parsed(self, data: bytes, count: int) -> None:
        message, stream = self._messages[-1]
        # One less than the parser's bound: it counts a request whose end it has yet to see when
        # that is taken, so it may stop early, and then nobody is told.
        self._held_back = len(self._messages) >= self._max_msg_queue_size - 1
        if not isinstance(message, RawRequestMessage):
            self._deaf = True  # whatever follows, the parser would find it malformed too
            self._spoil("The body of the request is malformed.")
        elif not message.upgrade:
            self._is_clean = count == 1 and surplus(message, data) == 0
        elif not self._upgraded:
            # The parser takes this for an ordinary request, but drops what follows it in ``data``.
            more = surplus(message, data) if count == 1 else None
            self.lasting = more is not None and more <= 0
            self._owed = 0 if more is None else max(0, -more)
            if stream is EMPTY_PAYLOAD and tunnelled(Headers(message.headers.items())):
                self._upgraded = True  # no HTTP after this, whatever is said to it

    def _look_at_head(self, data: bytes) -> None:
        """Keep account of a head that is coming in pieces."""
        limits = self._service.limits
        if self._phase is _Phase.WAITING:
            if data.isspace():
                return  # an empty line before a request is none of it (RFC 9112, section 2.2)
            self._phase = _Phase.HEAD
            self._head_bytes = 0
            # The clock of a first head has been running since the connection was made.
            if self._request_count or self._service.closing:
                self._deadline.expect(limits.header_deadline_s)
        self._head_bytes += len(data)
        if self._head_bytes > limits.head_cap:
            self._service.counts.too_long += 1
            self._give_up_on_head(TOO_LONG)

    def _give_up_on_head(self, word: LastWord) -> None:
        self._service.counts.received += 1
        self._deaf = True
        self._parting = word
        self._wake(self._waiter)

    def _spoil(self, why: str) -> None:
        """Tell whoever reads a body that it will not come to its end."""
        for stream in (self._stream, *(stream for _, stream in self._messages)):
            if not stream.is_eof() and stream.exception() is None:
                stream.set_exception(RequestError(400, why))

    # -- time ---------------------------------------------------------------------------------

    def _too_late(self) -> None:
        transport = self.transport
        if transport is None:
            return
        match self._phase:
            case _Phase.WAITING:
                self._wake(self._waiter)
            case _Phase.HEAD:
                if not self._messages:  # else it has come, just now
                    self._service.counts.timeouts += 1
                    self._give_up_on_head(TOO_SLOW)
            case _Phase.SERVING:
                self._probe(transport)
            case _Phase.ENDING:
                if self._ending is not None:
                    self._ending.too_late()

    def _probe(self, transport: asyncio.Transport) -> None:
        """Find out whether a client that has ended its side still wants the reply."""
        if self._tunnelling:
            return  # a tunnel's end has a grace of its own
        unheard = self._written == self._written_before_end
        error = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if unheard or error:
            self.abort(CLIENT_GONE)
        else:
            self._deadline.expect(self._service.limits.half_close_grace_s)

    def _stalls(self, left: int, transport: asyncio.Transport) -> bool:
        """Whether too little of ``left`` bytes was taken in ``stall_s``; it is cut off if so."""
        limits = self._service.limits
        stalls = left - transport.get_write_buffer_size() < limits.min_rate * limits.stall_s
        if stalls:
            self._service.counts.stalled += bool(left)
            self.abort("ReaderStalled")
        return stalls

    # -- the end ------------------------------------------------------------------------------

    def _leave(self, *, linger: bool) -> None:
        """Close the connection once what was written is delivered."""
        self._deaf = True
        self._messages.clear()
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self._phase = _Phase.ENDING
        linger = linger and not self._ended
        if linger:
            self._resume_transport_reading()
        self._ending = Ending(transport, self._deadline, self._service, self._stalls, linger=linger)

    @staticmethod
    def _wake(waiter: asyncio.Future[None] | None) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
