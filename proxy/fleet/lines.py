"""Lines: Unix sockets on which letters go one way, with their lengths before them.

The first letter says whose line it is.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from proxy.fleet.base import OWNER_CHARACTERS

LETTER_BYTES: Final = 2**20  # of one letter; what a leader says at once is a quarter of that

_LENGTH_BYTES: Final = 4
_READ_BYTES: Final = 256 * 1024  # at once


class Line:
    """The way to one other mailbox; letters come out of it as they were put in.

    Args:
        end: a connected socket, which this closes.
        ended: told once that nothing can be put in any more.
    """

    def __init__(self, end: socket.socket, ended: Callable[[], None]) -> None:
        self._socket = end
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[memoryview] = deque()
        self._moved = asyncio.Event()
        self._over = False
        self.waiting = 0  # bytes that the kernel has not taken yet
        self._loop.add_reader(end.fileno(), self._on_readable)

    def put(self, letter: bytes) -> bool:
        """Write a letter, or have it wait until that can be done; False if this is over."""
        self._write(memoryview(len(letter).to_bytes(_LENGTH_BYTES) + letter))
        return not self._over

    async def less_than(self, waiting: int) -> None:
        """Return once fewer bytes are ``waiting``, or this is over."""
        while self.waiting >= waiting and not self._over:
            await self._moved.wait()

    async def empty(self) -> None:
        """Return once all is with the kernel, or this is over."""
        await self.less_than(1)

    def end(self) -> None:
        """Put nothing in any more. Idempotent."""
        if self._over:
            return
        self._over = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._pieces.clear()
        self._moved.set()
        self._ended()

    def _write(self, piece: memoryview) -> None:
        if self._over:
            return
        if not self._pieces:
            piece = piece[self._taken(piece) :]
            if not piece or self._over:
                return
            self._loop.add_writer(self._socket.fileno(), self._on_writable)
        self._pieces.append(piece)
        self.waiting += len(piece)

    def _taken(self, piece: memoryview) -> int:
        """How many of its bytes the kernel takes now."""
        try:
            return self._socket.send(piece)
        except BlockingIOError:
            return 0
        except OSError:
            self.end()
            return 0

    def _on_writable(self) -> None:
        taken = self._taken(self._pieces[0])
        if self._over:
            return
        self.waiting -= taken
        if taken == len(self._pieces[0]):
            self._pieces.popleft()
        else:
            self._pieces[0] = self._pieces[0][taken:]
        if not self._pieces:
            self._loop.remove_writer(self._socket.fileno())
        self._moved.set()
        self._moved.clear()

    def _on_readable(self) -> None:
        with suppress(BlockingIOError):
            with suppress(ConnectionError):
                self._socket.recv(1)
            self.end()  # nobody writes here: it is the end


class Ear(Protocol):
    """Who hears lines of others."""

    def named(self, hearing: Hearing) -> None:
        """It is known whose line it is."""
        ...

    def came(self, letter: bytes) -> None:
        """A letter has come by one of the lines."""
        ...

    def ended(self, hearing: Hearing) -> None:
        """A line has come to its end."""
        ...


class Hearing:
    """The end of somebody's line to here.

    Args:
        end: a connected socket, which this closes.
        ear: is told of what comes, and of its end.
    """

    def __init__(self, end: socket.socket, ear: Ear) -> None:
        self._socket = end
        self._ear = ear
        self._came = bytearray()
        self._over = False
        self._loop = asyncio.get_running_loop()
        self.speaker = ""  # not known yet
        self._loop.add_reader(end.fileno(), self._on_readable)

    def end(self) -> None:
        """Hear no more. Idempotent."""
        if self._over:
            return
        self._over = True
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._ear.ended(self)

    def _on_readable(self) -> None:
        try:
            piece = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self.end()
            return
        self._came += piece
        if not self._read_letters():
            self.end()

    def _read_letters(self) -> bool:
        """Read what has come whole; False if it makes no sense."""
        came, at = self._came, 0
        while len(came) - at >= _LENGTH_BYTES:
            start = at + _LENGTH_BYTES
            length = int.from_bytes(came[at:start])
            if length > (LETTER_BYTES if self.speaker else OWNER_CHARACTERS):
                return False  # nobody who belongs here writes that
            if len(came) - start < length:
                break
            at = start + length
            self._read(bytes(came[start:at]))
            if self._over:
                break
        del came[:at]
        return True

    def _read(self, letter: bytes) -> None:
        if self.speaker:
            self._ear.came(letter)
        else:
            self.speaker = letter.decode("ascii", "replace")
            self._ear.named(self)


def unix_socket() -> socket.socket:
    """One that waits for nothing."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(0)
    return made
