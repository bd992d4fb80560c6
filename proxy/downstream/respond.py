"""From a Reply to bytes on the wire: framing, one write a piece, and never a false end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from proxy.model.errors import ProtocolViolation, RequestError, UpstreamError
from proxy.model.outcome import Reply
from proxy.wire.head import write_head

GONE_STATUS: Final = 499  # for records only: the client left before there was a reply
_WITHOUT_CONTENT: Final = frozenset({204, 304})  # RFC 9110, section 6.4.1
_ONE_WRITE: Final = 65_536  # bytes of body; above, copying it next to the head costs more


class Line(Protocol):
    """The way to one client."""

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket. Raises ConnectionError if the client is gone."""
        ...

    @property
    def writing_paused(self) -> bool:
        """Whether the socket takes no more for now, so that one should ``drain``."""
        ...

    async def drain(self) -> None:
        """Wait until the socket takes more.

        Raises:
            ConnectionError: the client is gone, or reads too slowly and was cut off.
        """
        ...

    def abort(self, cause: str) -> None:
        """Reset the connection, so that what was sent cannot pass for a whole reply."""
        ...


@dataclass(slots=True)
class Progress:
    """How far a delivery has come."""

    status: int = GONE_STATUS
    sent: int = 0
    complete: bool = False
    error: str = ""


class _Framing(Enum):
    """How a body's end is told (RFC 9112, section 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class Opening:
    """A reply ready to be sent: its head as bytes, and how its body will be framed."""

    __slots__ = ("_framing", "_head", "_reply", "persists")

    def __init__(
        self, reply: Reply, date: str, *, head_only: bool, modern: bool, persist: bool
    ) -> None:
        """Decide the framing and write the head; nothing is sent yet.

        Args:
            reply: what to send.
            date: the line to add if the reply has no ``Date``.
            head_only: the request was HEAD.
            modern: it was in HTTP/1.1; if not, there are no chunks, and connections end by default.
            persist: another request may follow.

        Raises:
            ProtocolViolation: the reply cannot be sent as it is.
        """
        framing, field = _frame(reply, head_only=head_only, modern=modern)
        persist = persist and not reply.close and framing is not _Framing.CLOSE
        if not persist:
            field += "Connection: close\r\n"
        elif not modern:
            field += "Connection: keep-alive\r\n"
        self.persists = persist
        self._reply = reply
        self._framing = framing
        self._head = write_head(reply.head, field, date)

    async def send(self, line: Line, progress: Progress) -> None:
        """Send it all; ``progress`` tells how far that came. The body is closed, whatever happens.

        A body that breaks off, or has another length than declared, resets the connection.

        Raises:
            ConnectionError: the client went away, or reads too slowly.
        """
        body = self._reply.body
        progress.status = self._reply.head.status
        if not isinstance(body, bytes):
            await self._stream(body, line, progress)
            return
        if self._framing is _Framing.NONE:
            line.write(self._head)
        elif len(body) <= _ONE_WRITE:
            line.write(self._head + body)
            progress.sent = len(body)
        else:
            line.write(self._head)
            line.write(body)
            progress.sent = len(body)
        if line.writing_paused:
            await line.drain()
        progress.complete = True

    async def _stream(self, body: AsyncIterator[bytes], line: Line, progress: Progress) -> None:
        try:
            line.write(self._head)
            if self._framing is not _Framing.NONE:
                await self._pieces(body, line, progress)
            progress.complete = True
        except (UpstreamError, RequestError) as error:
            progress.error = type(error).__name__
            line.abort(progress.error)
        finally:
            await close_body(body)

    async def _pieces(self, body: AsyncIterator[bytes], line: Line, progress: Progress) -> None:
        chunked = self._framing is _Framing.CHUNKED
        declared = self._reply.length if self._framing is _Framing.LENGTH else None
        async for piece in body:
            size = len(piece)
            if not size:
                continue  # in chunks it would be the end
            if declared is not None and progress.sent + size > declared:
                raise ProtocolViolation("The body is longer than was declared.")
            line.write(b"%x\r\n%b\r\n" % (size, piece) if chunked else piece)
            progress.sent += size
            if line.writing_paused:
                await line.drain()
        if declared is not None and progress.sent != declared:
            raise ProtocolViolation("The body is shorter than was declared.")
        if chunked:
            line.write(b"0\r\n\r\n")
            await line.drain()


async def close_body(body: bytes | AsyncIterator[bytes]) -> None:
    """Let go of a reply's body, read or not."""
    if not isinstance(body, bytes) and (close := getattr(body, "aclose", None)) is not None:
        await close()


def _frame(reply: Reply, *, head_only: bool, modern: bool) -> tuple[_Framing, str]:
    """How the body's end is told, and the field that says so."""
    body, length = reply.body, reply.length
    if reply.head.status in _WITHOUT_CONTENT:
        return _Framing.NONE, ""
    if head_only:
        return _Framing.NONE, "" if length is None else f"Content-Length: {length}\r\n"
    if isinstance(body, bytes):
        if length is not None and length != len(body):
            raise ProtocolViolation("The body has another length than was declared.")
        length = len(body)
    if length is not None:
        return _Framing.LENGTH, f"Content-Length: {length}\r\n"
    if modern:
        return _Framing.CHUNKED, "Transfer-Encoding: chunked\r\n"
    return _Framing.CLOSE, ""
