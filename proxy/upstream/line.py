"""One connection to a backend, and what it must remember.

aiohttp's connection and parser, with three things added that a proxy must know:

- whether it has carried a request before. Only then may its end have been on the way when the
  request was sent, and the request be repeated (RFC 9112, section 9.3.1);
- whether a byte has come since the last request was begun. Bytes that come unasked would be
  taken for the answer to the next request, which is another caller's;
- which clock runs: none while the request is being sent, then the one for the first byte, then the
  one for silence. (An interim response is a sign of life: after it, silence is measured.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import ClientPayloadError
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from proxy.deadline import Deadline
from proxy.model.errors import FirstByteTimeout
from proxy.upstream.spec import UpstreamSpec

_READ_BYTES = 64 * 1024  # what may wait for a slow reader; at twice as much reading stops
_HEAD_ENDS = b"\r\n\r\n"
_INTERIM = frozenset(range(100, 200)) - {101}  # RFC 9110, section 15.2


class Line(ResponseHandler):
    """One connection to the backend; in use by one exchange at a time."""

    def __init__(self, spec: UpstreamSpec, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.requests = 0  # begun on it so far
        self.heard = False  # a byte has come since the last was begun
        self._sent = False  # the last was sent to its end
        self._spec = spec
        self._deadline = Deadline(loop, self._on_read_timeout)
        self._stir: Callable[[], None] | None = None

    @property
    def fit(self) -> bool:
        """Whether a request may be sent on it now."""
        return self.is_connected() and not self.heard

    def begin(self, *, bodiless: bool) -> None:
        """Make ready for the response to a new request; ``bodiless`` if that is HEAD."""
        spec = self._spec
        self.requests += 1
        self._sent = False
        self._payload = None
        self.set_response_params(
            skip_payload=bodiless,
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=None,
            read_bufsize=_READ_BYTES,
            max_line_size=spec.max_line_bytes,
            max_field_size=spec.max_field_bytes,
            max_headers=spec.max_fields,
        )

    def write(self, data: bytes) -> None:
        """Send bytes, or drop them if the connection has ended: ``response`` will tell."""
        if self.transport is not None:
            self.transport.write(data)

    def sent(self) -> None:
        """Say that the request was sent to its end: the backend's time begins to run."""
        spec = self._spec
        self._sent = True
        self.read_timeout = spec.idle_timeout_s if self.heard else spec.first_byte_timeout_s
        if not self._reading_paused:
            self.start_timeout()

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

    async def response(self) -> tuple[RawResponseMessage, StreamReader]:
        """The head of the final response, or of a 101, and its body. Raises as aiohttp does."""
        while True:
            message, body = await self.read()
            if message.code not in _INTERIM:
                return message, body

    async def stirred(self, look: Callable[[], bool | None]) -> bool:
        """Call ``look`` whenever something has come of the body, until it answers.

        Nobody is woken in between. Returns the answer, or raises what it raises.
        """
        answer: asyncio.Future[bool] = self._loop.create_future()

        def stir() -> None:
            if answer.done():
                return
            try:
                found = look()
            except Exception as fault:  # noqa: BLE001 - goes to the one who waits
                answer.set_exception(fault)
            else:
                if found is not None:
                    answer.set_result(found)

        self._stir = stir
        try:
            return await answer
        finally:
            self._stir = None

    def rest(self) -> None:
        """Make ready for the pool, after a response that was read to its end."""
        self._drop_timeout()
        self.heard = False

    def fail(self, fault: Exception) -> None:
        """End the connection at once; who waits for the response or its body gets ``fault``."""
        self.set_exception(fault)
        if self.transport is not None:
            self.transport.abort()

    # Called by the event loop and by aiohttp.

    def data_received(self, data: bytes) -> None:
        if data and not self.heard:
            self.heard = True
            if self._sent:
                self.read_timeout = self._spec.idle_timeout_s
        if self._payload is None and (at := data.find(_HEAD_ENDS)) >= 0:
            # The parser raises for bytes beyond the declared length before it has handed out the
            # response they come behind, if they come at once. They are no part of it, and end the
            # connection (RFC 9112, section 6.3): it must not depend on how bytes were packed.
            super().data_received(data[: at + len(_HEAD_ENDS)])
            data = data[at + len(_HEAD_ENDS) :]
            if not data or self.exception() is not None:
                return
        super().data_received(data)
        if self._stir is not None:
            self._stir()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        # Streams call this at every chunk that is read; where reading was not paused it would cost
        # a round through the parser.
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_lost(self, exc: BaseException | None) -> None:
        stir, self._stir = self._stir, None  # not before all of this is over
        if exc is not None:
            # The parser would take any end for the end of a body that has no length.
            self._end_body(ClientPayloadError("connection reset"))
        super().connection_lost(exc)
        self._deadline.end()
        if stir is not None:
            stir()

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        # The body's reader has to hear it too; aiohttp leaves it waiting if a chunk is malformed.
        self._end_body(exc)
        super().set_exception(exc, *(() if exc_cause is None else (exc_cause,)))
        if self._stir is not None:
            self._stir()

    # aiohttp's clock of silence, without a timer made anew for all that comes.

    def _reschedule_timeout(self) -> None:
        if self.read_timeout:
            self._deadline.expect(self.read_timeout)
        else:
            self._deadline.lift()

    def _drop_timeout(self) -> None:
        self._deadline.lift()

    def _end_body(self, fault: BaseException) -> None:
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(fault)
