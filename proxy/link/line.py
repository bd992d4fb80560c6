"""One connection to Redis: commands go out together, and what is answered comes in their order.

Replies belong to commands by their order alone. So nothing that goes wrong on the way is mended: a
line on which anything is not as it must be is dropped, with all that was still to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeAlias, cast

from hiredis import ProtocolError, Reader, pack_command

from proxy.link.command import Word
from proxy.link.replies import unquoting

Address: TypeAlias = tuple[str, int]

_NOTHING: Final = object()  # is there to be read yet


class ErrorReply(Exception):
    """What Redis says in place of an answer, with its first word, without what it was told."""

    def __init__(self, said: str) -> None:
        super().__init__(unquoting(said))


class Asking(Protocol):
    """Who sent something over a line. Neither method may raise."""

    def replied(self, replies: Sequence[object], *, last: bool) -> None:
        """Some replies, in the order of the commands; if they are the last, the line is free."""
        ...

    def lost(self, why: str) -> None:
        """Nothing more will come."""
        ...


def packed(words: Iterable[Word]) -> bytes:
    """A command as it is sent."""
    found: bytes = pack_command(tuple(words))  # type: ignore[arg-type] # it says tuples of one
    return found


class Line(asyncio.Protocol):
    """A connection. One asks at a time; the next may once the last reply to the first has come.

    Nothing bounds a reply but the time that it may take.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._replies = Reader(replyError=ErrorReply, notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._asking: Asking | None = None
        self._left = 0  # replies still to come
        self._moved_at = 0.0  # when anything last came in, or went out
        self._unsent = 0  # bytes, when that was last looked at
        self.peer: Address | None = None  # whom it leads to, once that is known
        self.ended: asyncio.Future[None] = self._loop.create_future()  # the socket is closed

    @property
    def open(self) -> bool:
        """Whether it can be asked, when it is free."""
        return self._transport is not None

    def ask(self, commands: bytes, count: int, asking: Asking) -> None:
        """Send so many commands. The line is free; if it is not open, ``asking`` has lost."""
        if self._transport is None:
            asking.lost("Redis hung up")
            return
        self._asking, self._left = asking, count
        self._moved_at = self._loop.time()
        self._transport.write(commands)
        self._unsent = self._transport.get_write_buffer_size()

    def still_since(self) -> float:
        """When anything last came in or went out, on the loop's clock; while something is asked."""
        if self._transport is not None:
            unsent = self._transport.get_write_buffer_size()
            if unsent < self._unsent:
                self._unsent, self._moved_at = unsent, self._loop.time()
        return self._moved_at

    def drop(self, why: str) -> None:
        """Close it at once; who still waits for replies is told ``why`` there will be none."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.lost(why)

    # -- what the loop tells ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        asking = self._asking
        if asking is None:  # nothing was asked, or it was dropped
            self.drop("")
            return
        self._moved_at = self._loop.time()
        found: list[object] = []
        read = self._replies
        try:
            read.feed(data)
            while (reply := read.gets()) is not _NOTHING:
                found.append(reply)
        except ProtocolError as error:
            self.drop(f"ProtocolError: {error}")
            return
        self._left -= len(found)
        if self._left > 0:
            if found:
                asking.replied(found, last=False)
        elif self._left < 0 or read.has_data():
            self.drop("more answers than questions")
        else:
            self._asking = None
            asking.replied(found, last=True)

    def connection_lost(self, error: Exception | None) -> None:
        self.drop("Redis hung up" if error is None else f"{type(error).__name__}: {error}")
        if not self.ended.done():
            self.ended.set_result(None)
