"""The body of a request as it comes in: read whole or in pieces, against the clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from proxy.downstream.limits import Limits
from proxy.model.errors import RequestError


class NoBody:
    """The body of a request that has none."""

    length = 0

    async def whole(self, limit: int) -> bytes | None:  # noqa: ARG002 - nothing fits any limit
        return b""

    def pieces(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


NO_BODY = NoBody()


class IncomingBody:
    """A body that is arriving. Trailers and chunk extensions are no part of it and are dropped.

    Only time spent waiting for the client counts against it: a slow upstream is not its fault. What
    it may take is a total, and less than that while it has sent less than the least rate allows.

    Args:
        stream: where aiohttp puts the bytes.
        length: as declared, or None.
        invite: asks the client to send (100 Continue), the first time it is waited for.
    """

    __slots__ = ("_invite", "_limits", "_prefix", "_received", "_stream", "_waited_s", "length")

    def __init__(
        self,
        stream: StreamReader,
        length: int | None,
        limits: Limits,
        invite: Callable[[], None] | None = None,
    ) -> None:
        self.length = length
        self._stream = stream
        self._limits = limits
        self._invite = invite
        self._prefix: list[bytes] = []  # read, and found to be more than was asked for
        self._received = 0
        self._waited_s = 0.0

    async def whole(self, limit: int) -> bytes | None:
        if self.length is not None and self.length > limit:
            return None
        stream = self._stream
        if stream.is_eof() and stream.exception() is None:  # the usual case: no wait, no timer
            body = self._counted(stream.read_nowait())
            if len(body) <= limit:
                self._stream = EMPTY_PAYLOAD  # the other leads to the connection, and keeps it
                return body
            self._prefix.append(body)
            return None
        taken = self._prefix
        while piece := await self._next():
            taken.append(piece)
            if self._received > limit:
                return None
        self._prefix = []
        return b"".join(taken)

    async def pieces(self) -> AsyncIterator[bytes]:
        prefix, self._prefix = self._prefix, []
        for piece in prefix:
            yield piece
        while piece := await self._next():
            yield piece

    async def _next(self) -> bytes:
        """Some bytes, or b"" at the end. Raises RequestError."""
        stream = self._stream
        try:
            if stream.is_eof() or stream.total_bytes > self._received:
                return self._counted(stream.read_nowait())
            if self._invite is not None:
                self._invite()
                self._invite = None
            clock = asyncio.get_running_loop().time
            began = clock()
            async with asyncio.timeout(self._patience_s()):
                piece = await stream.readany()
            self._waited_s += clock() - began
            return self._counted(piece)
        except RequestError:
            raise
        except TimeoutError as error:
            raise RequestError(408, "The body of the request came too slowly.") from error
        except Exception as error:  # aiohttp puts whatever went wrong into the stream
            raise RequestError(400, "The body of the request broke off.") from error

    def _patience_s(self) -> float:
        limits = self._limits
        allowed = limits.body_grace_s + self._received / limits.min_rate
        return max(0.0, min(allowed, limits.body_deadline_s) - self._waited_s)

    def _counted(self, piece: bytes) -> bytes:
        self._received += len(piece)
        cap = self._limits.body_cap
        if cap is not None and self._received > cap:
            raise RequestError(413, f"The body of the request is longer than {cap} bytes.")
        return piece
