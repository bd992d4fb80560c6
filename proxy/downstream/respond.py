"""From a Reply to bytes on the wire: framing, one write a piece, and never a false end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from proxy.model.errors import ProtocolViolation, RequestError, UpstreamError
from proxy.model.message import Head
from proxy.model.outcome import Reply
from proxy.model.outlet import Draft
from proxy.model.pieces import pour
from proxy.wire.frames import MEDIA_TYPE, ended, frame
from proxy.wire.head import write_head
from proxy.wire.problem import problem_body

GONE_STATUS: Final = 499  # for records only: the client left before there was a reply
_WITHOUT_CONTENT: Final = frozenset({204, 304})  # RFC 9110, section 6.4.1
_BLANK_LINE: Final = 4  # bytes, at most, that an event ends with
_FAREWELL: Final = frame(
    problem_body(
        "This proxy had to stop before the answer was whole.", "draining", kind="draining"
    ),
    b"error",
)
_TIMING: Final = b"\r\nServer-Timing: "
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
    told: bool = False  # the client was told that it is not complete, in the body itself
    error: str = ""
    ended: float = 0.0  # when another than the task had sent it all; seconds of time.monotonic


class _Framing(Enum):
    """How a body's end is told (RFC 9112, section 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


_NONE, _LENGTH, _CHUNKED, _CLOSE = _Framing  # for every request: members are slow to get at


class Opening:
    """A reply ready to be sent: its head as bytes, and how its body will be framed."""

    __slots__ = ("_framing", "_last", "_reply", "head", "persists")

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
        persist = persist and not reply.close and framing is not _CLOSE
        if not persist:
            field += "Connection: close\r\n"
        elif not modern:
            field += "Connection: keep-alive\r\n"
        self.persists = persist
        self._reply = reply
        self._framing = framing
        self._last = b""  # the piece that was sent last, or a few bytes at its end
        self.head = write_head(reply.head, field, date)

    def around_timing(self, beginning: bytes = b"") -> tuple[bytes, bytes] | None:
        """The head before and behind the value of our ``Server-Timing``, the last one in it.

        None where it has none, or one that does not begin as told.

        Args:
            beginning: of the value; it stays with what comes before.
        """
        before, said, rest = self.head.rpartition(_TIMING + beginning)
        return (before + said, rest[rest.index(b"\r\n") :]) if said else None

    def draft(self, body: bytes) -> Draft | None:
        """The beginning of the reply, for all who are sent the same.

        None where that is too long, or where no other request may follow.

        Args:
            body: what is there of it, if it is still coming.
        """
        reply, framing = self._reply, self._framing
        if isinstance(reply.body, bytes):
            body = reply.body
        if framing is _NONE:
            body = b""
        around = self.around_timing()
        fits = len(body) <= _ONE_WRITE and (reply.length is None or len(body) <= reply.length)
        if around is None or not fits or not self.persists:
            return None
        before, after = around
        framed = b"%x\r\n%b\r\n" % (len(body), body) if body and framing is _CHUNKED else body
        return Draft(reply, before, after + framed, len(body), body)

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
        self._write_whole(body, line, progress)
        if line.writing_paused:
            await line.drain()
        progress.complete = True

    def farewell(self, progress: Progress) -> bytes:
        """What can still be sent of a body that is broken off, so that its client is told why.

        An event, if this is a stream of events and none of them is cut; else b"". The framing
        shows that the body is not whole, so the connection need not be reset after it.
        """
        if not _holds_events(self._reply.head) or (progress.sent and not ended(self._last)):
            return b""
        if self._framing is _CHUNKED:
            return b"%x\r\n%b\r\n" % (len(_FAREWELL), _FAREWELL)
        declared = self._reply.length or 0
        fits = self._framing is _LENGTH and progress.sent + len(_FAREWELL) < declared
        return _FAREWELL if fits else b""

    def _write_head(self, line: Line) -> None:
        line.write(self.head)

    def _write_whole(self, body: bytes, /, line: Line, progress: Progress) -> None:
        if self._framing is _NONE:
            line.write(self.head)
        elif len(body) <= _ONE_WRITE:
            line.write(self.head + body)
            progress.sent = len(body)
        else:
            line.write(self.head)
            line.write(body)
            progress.sent = len(body)

    async def _stream(self, body: AsyncIterator[bytes], line: Line, progress: Progress) -> None:
        try:
            self._write_head(line)
            if self._framing is not _NONE:
                await self._pieces(body, line, progress)
            progress.complete = True
        except (UpstreamError, RequestError) as error:
            progress.error = type(error).__name__
            line.abort(progress.error)
        finally:
            await close_body(body)

    async def _pieces(self, body: AsyncIterator[bytes], line: Line, progress: Progress) -> None:
        chunked = self._framing is _CHUNKED
        declared = self._reply.length if self._framing is _LENGTH else None

        def take(piece: bytes) -> bool:
            size = len(piece)
            if not size:
                return True  # in chunks it would be the end
            if declared is not None and progress.sent + size > declared:
                raise ProtocolViolation("The body is longer than was declared.")
            line.write(b"%x\r\n%b\r\n" % (size, piece) if chunked else piece)
            progress.sent += size
            self._last = piece if size >= _BLANK_LINE else self._last[-_BLANK_LINE:] + piece
            return not line.writing_paused

        while await pour(body, take):
            await line.drain()
        if declared is not None and progress.sent != declared:
            raise ProtocolViolation("The body is shorter than was declared.")
        if chunked:
            self._last = b"0"  # there can be no event behind it
            line.write(b"0\r\n\r\n")
            await line.drain()


class Rest(Opening):
    """What is left to send of a reply whose beginning was sent as a draft."""

    __slots__ = ()

    def __init__(self, reply: Reply, draft: Draft) -> None:
        """As of an ``Opening``.

        Raises:
            ProtocolViolation: another reply has been begun, so this one cannot be sent.
        """
        if reply.head is not draft.reply.head:
            raise ProtocolViolation("Another reply has been begun.")
        self._reply = reply
        self._framing, _ = _frame(reply, head_only=False, modern=True)
        self._last = draft.last
        self.head = b""
        self.persists = True

    def _write_head(self, line: Line) -> None:
        pass

    def _write_whole(self, _body: bytes, /, line: Line, progress: Progress) -> None:
        pass


def _holds_events(head: Head) -> bool:
    fields = head.headers.index()
    kind = fields.get("content-type", "").partition(";")[0].strip().lower()
    return kind == MEDIA_TYPE and fields.get("content-encoding", "identity") == "identity"


async def close_body(body: bytes | AsyncIterator[bytes]) -> None:
    """Let go of a reply's body, read or not."""
    if not isinstance(body, bytes) and (close := getattr(body, "aclose", None)) is not None:
        await close()


def _frame(reply: Reply, *, head_only: bool, modern: bool) -> tuple[_Framing, str]:
    """How the body's end is told, and the field that says so."""
    body, length = reply.body, reply.length
    if reply.head.status in _WITHOUT_CONTENT:
        return _NONE, ""
    if head_only:
        return _NONE, "" if length is None else f"Content-Length: {length}\r\n"
    if isinstance(body, bytes):
        if length is not None and length != len(body):
            raise ProtocolViolation("The body has another length than was declared.")
        length = len(body)
    if length is not None:
        return _LENGTH, f"Content-Length: {length}\r\n"
    if modern:
        return _CHUNKED, "Transfer-Encoding: chunked\r\n"
    return _CLOSE, ""
