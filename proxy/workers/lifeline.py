"""The line between the arbiter and a process of its crew: what each tells the other.

A line of JSON each: short, and from one's own processes only. When it breaks off, the other is
dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from typing import Final, cast

import orjson

_BEAT_S: Final = 1.0
_MOST_BYTES: Final = 2**20  # of a message

Message = Mapping[str, object]


class Lines:
    """Cuts what comes into messages."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes. What is none is left out."""
        *whole, self._begun = (self._begun + data).split(b"\n")
        if len(self._begun) > _MOST_BYTES:
            self._begun = b""
        messages: list[Message] = []
        for line in whole:
            with contextlib.suppress(orjson.JSONDecodeError):
                if isinstance(said := orjson.loads(line), dict):
                    messages.append(said)
        return messages


def written(message: Message) -> bytes:
    """``message`` as it goes over a line."""
    return orjson.dumps(message) + b"\n"


class Lifeline(asyncio.Protocol):
    """A member's end of the line, on its loop. ``hold`` it before anything else.

    Args:
        told: called with each message of the arbiter.
        orphaned: called when the arbiter is gone.
    """

    def __init__(self, told: Callable[[Message], None], orphaned: Callable[[], None]) -> None:
        self._told = told
        self._orphaned = orphaned
        self._lines = Lines()
        self._transport: asyncio.WriteTransport | None = None
        self._beat: asyncio.TimerHandle | None = None

    async def hold(self, line: socket.socket) -> None:
        """Take the line, and give signs of life from now on."""
        line.settimeout(0)
        await asyncio.get_running_loop().create_connection(lambda: self, sock=line)
        self._keep_beating()

    def ready(self) -> None:
        """Tell the arbiter that this process serves."""
        self.tell({"ready": True})

    def tell(self, message: Message) -> None:
        """Tell the arbiter something."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(written(message))

    def close(self) -> None:
        """Give no more signs of life. Idempotent."""
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    # -- what asyncio calls -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # What uvloop gives is a WriteTransport in all but name.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        for message in self._lines.feed(data):
            self._told(message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio calls it
        if self._transport is not None:
            self.close()
            self._orphaned()

    def _keep_beating(self) -> None:
        self.tell({})
        self._beat = asyncio.get_running_loop().call_later(_BEAT_S, self._keep_beating)
