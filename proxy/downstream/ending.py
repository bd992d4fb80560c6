"""The end of a connection: what was said is delivered, in time, or nothing passes for the whole.

A connection that ends is lingering (the last word is said; what still comes in is thrown away, so
that it does not reset what was said) and then flushing (closed, but the client has yet to take the
end). Each has its deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Final

from proxy.deadline import Deadline
from proxy.downstream.service import Service

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Ending:
    """The end of one connection, from the moment that all was said.

    Args:
        linger: the client may be sending more.
        stalls: whether the client took too little of so many bytes; it is cut off if so.
    """

    __slots__ = ("_backlog", "_deadline", "_lingering", "_service", "_stalls", "_transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        deadline: Deadline,
        service: Service,
        stalls: Callable[[int, asyncio.Transport], bool],
        *,
        linger: bool,
    ) -> None:
        self._transport = transport
        self._deadline = deadline
        self._service = service
        self._stalls = stalls
        self._lingering = linger
        self._backlog = 0  # bytes the client had not taken when it was last looked
        if linger:
            if transport.can_write_eof():
                transport.write_eof()
            deadline.expect(service.limits.linger_s)
        else:
            self._flush()

    def too_late(self) -> None:
        """The deadline is over."""
        if self._lingering:
            self._flush()
        elif not self._stalls(self._backlog, self._transport):
            # Nothing left means that TLS waits for the client's goodbye.
            self._backlog = self._transport.get_write_buffer_size()
            self._deadline.expect(self._service.limits.stall_s)

    def hasten(self) -> None:
        """Linger no more."""
        if self._lingering:
            self._flush()

    def _flush(self) -> None:
        self._lingering = False
        self._transport.close()
        self._backlog = self._transport.get_write_buffer_size()
        self._deadline.expect(self._service.limits.stall_s)


def reset(transport: asyncio.Transport) -> None:
    """End the connection so that nothing that was sent can pass for a clean end. Idempotent."""
    # Closing a socket says FIN, which to an HTTP/1.0 client is the end of a body; closing it
    # with no time to linger says RST.
    wire = transport.get_extra_info("socket")
    if wire is not None:  # with uvloop there is none once an encrypted connection has ended
        with contextlib.suppress(OSError):
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def unread(transport: asyncio.Transport | None) -> bool:
    """Whether the client has sent what was not read yet; to close now would reset it."""
    wire = None if transport is None else transport.get_extra_info("socket")
    if wire is None:
        return False
    try:
        with socket.fromfd(wire.fileno(), wire.family, wire.type) as peeking:
            peeking.settimeout(0)
            return bool(peeking.recv(1, socket.MSG_PEEK))
    except OSError:  # nothing has come, or it has ended
        return False
