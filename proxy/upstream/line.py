"""One connection to a backend, and what it must remember.

aiohttp makes it and reads the heads; bodies are read here. A proxy must know besides:

- whether it has carried a request before. Only then may its end have been on the way when the
  request was sent, and the request be repeated (RFC 9112, section 9.3.1);
- whether a byte has come since the last request was begun. Bytes that come unasked would be
  taken for the answer to the next request, which is another caller's;
- which clock runs: none while the request is being sent, then the one for the final response's
  head, from there on the one for silence. Interim responses (RFC 9110, section 15.2) and empty
  lines ahead of that head neither stop the first clock nor set it anew, and there is a bound on
  them: a backend could send them without end.
"""

from __future__ import annotations

import asyncio
import re

from aiohttp.client_proto import ResponseHandler
from aiohttp.hdrs import CONTENT_LENGTH
from aiohttp.http import HttpResponseParser, RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError

from proxy.deadline import Deadline
from proxy.model.errors import FirstByteTimeout
from proxy.upstream.incoming import Incoming
from proxy.upstream.spec import UpstreamSpec
from proxy.wire.chunked import Chunked
from proxy.wire.framing import Counted, Framing, UntilClose

# Lines may end with LF alone (RFC 9112, section 2.2), and the parser lets them.
_HEAD_ENDS = re.compile(rb"\n\r?\n")
_SEAM = 2  # bytes of it that may have come before the rest
_SWITCHED = 101
_INTERIM = frozenset(range(100, 200)) - {_SWITCHED}  # RFC 9110, section 15.2
# Ahead of one final response. Go takes five; a backend that says every six seconds that it is still
# at it (102) says so a hundred times in the ten minutes that it has by default.
_MOST_INTERIM = 100
_BODILESS = frozenset({204, 304})  # RFC 9112, section 6.3
_NOT_READ = 1 << 16  # of bodies, which the parser asks about, and never sees


class LineError(Exception):
    """Why no more comes on a connection, other than what ``Line.fail`` was told."""


class Lost(LineError):
    """It has ended."""


class Malformed(LineError):
    """What came is not HTTP. Its text quotes none of it."""


class Quiet(LineError):
    """Nothing came in time."""


class Endless(LineError):
    """More than there may be came ahead of the final response."""


class Line(ResponseHandler):
    """One connection to the backend; in use by one exchange at a time. Is a ``Flow``.

    Of aiohttp's ``ResponseHandler`` it is what the pool asks for. The parser is shown heads and
    nothing else: what it does for each chunk, and making one for each response, took more time
    than all the rest here.
    """

    def __init__(self, spec: UpstreamSpec, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.requests = 0  # begun on it so far
        self.heard = False  # a byte has come since the last was begun
        self._spec = spec
        self._asked = False  # a request was begun, and the exchange is not over
        self._sent = False  # it was sent to its end
        self._bodiless = False  # it was HEAD
        self._limit_s: float | None = None  # of silence, now
        self._deadline = Deadline(loop, self._on_silence)
        self._held = False  # reading was stopped
        self._heads = HttpResponseParser(
            self,
            loop,
            _NOT_READ,
            response_with_body=False,
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=spec.max_line_bytes,
            max_field_size=spec.max_field_bytes,
            max_headers=spec.max_fields,
        )
        # As much as one head may have is read ahead of a body, in all.
        self._most = spec.max_line_bytes + spec.max_fields * spec.max_field_bytes
        self._ahead = 0  # bytes of it that have come
        self._interim = 0  # interim responses among them
        self._seam = b""  # how what came last of a head ends
        self._awaited: asyncio.Future[None] | None = None  # for who waits for a final head
        self._message: RawResponseMessage | None = None  # that head,
        self._body: Incoming | None = None  # its body,
        self._framing: Framing = Counted(0)  # and where that ends
        self._fault: Exception | None = None

    @property
    def fit(self) -> bool:
        """Whether a request may be sent on it now."""
        return self.is_connected() and not self.heard

    @property
    def should_close(self) -> bool:
        """Whether it can carry no further request, as the pool asks."""
        return self._should_close or self._asked or self._fault is not None

    def begin(self, *, bodiless: bool) -> None:
        """Make ready for the response to a new request; ``bodiless`` if that is HEAD."""
        self.requests += 1
        self._asked = True
        self._sent = False
        self._bodiless = bodiless
        self._ahead = self._interim = 0

    def write(self, data: bytes) -> None:
        """Send bytes, or drop them if the connection has ended: ``response`` will tell."""
        if self.transport is not None:
            self.transport.write(data)

    def sent(self) -> None:
        """Say that the request was sent to its end: the backend's time begins to run."""
        spec = self._spec
        self._sent = True
        if self._body is None:
            self._deadline.expect(spec.first_byte_timeout_s)
        elif not self._body.whole:
            self._limit_s = spec.idle_timeout_s
            if not self._held:
                self._deadline.expect(self._limit_s)

    async def drained(self) -> None:
        """Wait until there is room for more to send, or the connection has ended.

        Raises:
            FirstByteTimeout: the backend has taken nothing for too long.
        """
        if not self.writing_paused:
            return
        limit_s = self._spec.idle_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await self._drain_helper()
        except TimeoutError:
            raise FirstByteTimeout(f"The backend took nothing for {limit_s:g} s.") from None
        except ConnectionError:
            pass  # ``response`` will tell

    async def response(self) -> tuple[RawResponseMessage, Incoming]:
        """The head of the final response, or of a 101, and its body, or what a 101 leads to.

        Raises:
            LineError: there is none.
            Exception: what ``fail`` was told.
        """
        if self._message is None and self._fault is None:
            self._awaited = self._loop.create_future()
            try:
                await self._awaited
            finally:
                self._awaited = None
        if self._message is None or self._body is None:
            raise self._fault or Lost
        return self._message, self._body

    def untimed(self) -> None:
        """Take no silence amiss from now on."""
        self._limit_s = None
        self._deadline.lift()

    def rest(self) -> None:
        """Make ready for the pool, after a response that has come to its end, taken or not."""
        self.untimed()
        self.go_on()  # else the next response would never be read, with no clock running
        self.heard = self._asked = False
        self._message = self._body = None

    def fail(self, fault: Exception) -> None:
        """End the connection at once; who waits for the response or its body gets ``fault``."""
        self._end(fault)
        if self.transport is not None:
            self.transport.abort()

    def hold(self) -> None:
        if not self._held and self.transport is not None and self.is_connected():
            self._held = True
            self._deadline.lift()
            self.transport.pause_reading()

    def go_on(self) -> None:
        if self._held:
            self._held = False
            if self._limit_s is not None:
                self._deadline.expect(self._limit_s)
            if self.transport is not None and self.is_connected():
                self.transport.resume_reading()

    # Called by the event loop and by aiohttp.

    def data_received(self, data: bytes) -> None:
        if self._fault is not None:
            return
        self.heard = True
        if self._limit_s is not None and not self._held:
            self._deadline.expect(self._limit_s)
        if self._body is not None:
            self._read_body(self._body, data)
        elif self._asked:
            self._read_head(data)
        else:
            self.fail(Malformed())  # nobody asked

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._deadline.end()
        if self._body is not None and exc is None and self._framing.ends_with_connection:
            self._body.finish()
        lost = Lost()
        lost.__cause__ = exc
        self._end(lost)

    def _drop_timeout(self) -> None:
        self._deadline.lift()

    def _read_head(self, data: bytes) -> None:
        data = self._seam + data
        told, at = len(self._seam), 0  # how far the parser has come, and who looks for the end
        try:
            while (end := _HEAD_ENDS.search(data, at)) is not None:
                messages, _, _ = self._heads.feed_data(data[told : end.end()])
                self._ahead += end.end() - told
                told = at = end.end()
                for message, _ in messages:  # one, or there were empty lines ahead of it
                    if message.code not in _INTERIM:
                        self._begin_body(message, data[at:])
                        return
                    self._interim += 1
                if self._interim > _MOST_INTERIM:
                    self.fail(Endless())
                    return
            messages, _, _ = self._heads.feed_data(data[told:])
        except HttpProcessingError:
            # Not "from": its text quotes the response.
            self.fail(Malformed())
            return
        if messages:
            self.fail(Malformed())  # the parser takes something else for the end of a head
            return
        self._ahead += len(data) - told
        if self._ahead > self._most:
            self.fail(Endless())
            return
        self._seam = data[max(at, len(data) - _SEAM) :]

    def _begin_body(self, message: RawResponseMessage, data: bytes) -> None:
        self._seam = b""
        if message.should_close:
            self._should_close = True
        if self._sent:
            self._limit_s = limit_s = self._spec.idle_timeout_s
            self._deadline.expect(limit_s)
        self._framing = framing = self._framing_of(message)
        self._message = message
        self._body = body = Incoming(self)
        if framing.over:
            self._end_body(body, surplus=bool(data))
        elif data:
            self._read_body(body, data)
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)

    def _framing_of(self, message: RawResponseMessage) -> Framing:
        """RFC 9112, section 6.3; what it forbids the parser refused, or ``read_head`` will."""
        if message.code == _SWITCHED:
            return UntilClose()
        if self._bodiless or message.code in _BODILESS:
            return Counted(0)
        if message.chunked:
            return Chunked()
        length = message.headers.get(CONTENT_LENGTH)
        return UntilClose() if length is None else Counted(int(length))

    def _read_body(self, body: Incoming, data: bytes) -> None:
        if body.whole:
            self._should_close = True  # whatever that is, nobody asked for it
            return
        framing = self._framing
        if piece := framing.feed(data):
            body.came(piece)
        if framing.wrong:
            self.fail(Malformed())
        elif framing.over:
            self._end_body(body, surplus=framing.surplus)

    def _end_body(self, body: Incoming, *, surplus: bool) -> None:
        if surplus:
            # No part of it, and the end of the connection (RFC 9112, section 6.3).
            self._should_close = True
        self.untimed()
        body.finish()

    def _end(self, fault: Exception) -> None:
        """Let nothing come any more. Of several reasons the first counts."""
        if self._fault is None:
            self._fault = fault
        if self._body is not None:
            self._body.fail(fault)
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_exception(fault)

    def _on_silence(self) -> None:
        self.fail(Quiet())
