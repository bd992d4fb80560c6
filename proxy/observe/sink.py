"""Where log lines go: a stream that may block, written to from a thread that may wait for it.

A full pipe, a stopped terminal or a slow disk blocks whoever writes, and making standard error
non-blocking would do so for every process that shares it. So one thread writes, and everybody else
hands lines over without waiting. What has not been written yet has a bound in bytes; past it, lines
are dropped and counted, and a line tells so once the stream takes lines again.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Final, Protocol

MAX_PENDING: Final = 4 * 2**20  # bytes; some ten thousand lines, seconds of a busy proxy
_AT_ONCE: Final = 4096


class Stream(Protocol):
    """What bytes are written to; may block, and may fail with OSError or ValueError (closed)."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


class Lines(Protocol):
    """Takes lines."""

    def put(self, lines: bytes, count: int = 1) -> None:
        """Write ``lines``, which are ``count`` whole lines, or drop them. Never raises."""
        ...


class Sink:
    """Takes lines from any thread and writes them in order. Never blocks, never raises.

    Args:
        stream: where to.
        max_pending: bytes that may wait to be written.
    """

    def __init__(self, stream: Stream, *, max_pending: int = MAX_PENDING) -> None:
        self._stream = stream
        self._max_pending = max_pending
        self._lock = threading.Lock()
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._pending = 0  # bytes handed over, not yet written; with the next two, under the lock
        self._untold = 0  # lines dropped since the last line that told of any
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were not written, so far."""
        return self._dropped

    def put(self, lines: bytes, count: int = 1) -> None:
        """Write ``lines``, which are ``count`` whole lines, soon; or drop them all."""
        with self._lock:
            if self._pending + len(lines) > self._max_pending:
                self._dropped += count
                self._untold += count
                return
            if self._untold:
                lines = b'{"event":"log lines dropped","count":%d}\n' % self._untold + lines
                self._untold = 0
            self._pending += len(lines)
            self._queue.put(lines)

    def close(self, timeout: float = 1.0) -> None:
        """Write what is pending, waiting ``timeout`` seconds at most. Idempotent.

        A thread still stuck in a stream that blocks is left behind; it does not keep the process.
        """
        self._queue.put(None)
        self._thread.join(timeout)

    def _write(self) -> None:
        while (lines := self._queue.get()) is not None:
            lost = 0
            try:
                self._stream.write(lines)
                self._stream.flush()
            except (OSError, ValueError):
                # The reader is gone, and with it the only place to tell.
                lost = lines.count(b"\n")
            with self._lock:
                self._pending -= len(lines)
                self._dropped += lost


class Shared:
    """A stream that several processes write whole lines to; a ``Stream``.

    What goes into a pipe at once, up to 4096 bytes, no other process writes into the middle of
    (POSIX, write(): PIPE_BUF).

    Args:
        descriptor: open for writing; it stays open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes, /) -> None:
        """Write ``data``, whole lines. May block. Raises OSError."""
        for piece in _at_once(data):
            while piece:
                piece = piece[os.write(self._descriptor, piece) :]  # noqa: PLW2901 - what is left

    def flush(self) -> None:
        """Nothing waits here."""


class Straight:
    """Takes lines from a process that has no threads, and writes them unless that would block.

    Args:
        descriptor: open for writing; it stays open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def put(self, lines: bytes, count: int = 1) -> None:  # noqa: ARG002 - as ``Lines`` has it
        for piece in _at_once(lines):
            try:
                if self._poll.poll(0):
                    os.write(self._descriptor, piece)
            except OSError:  # the reader is gone, and with it the only place to tell
                return


def _at_once(lines: bytes) -> Iterator[bytes]:
    """``lines`` in pieces of whole lines, none above ``_AT_ONCE`` bytes but for a longer line."""
    while len(lines) > _AT_ONCE:
        end = lines.rfind(b"\n", 0, _AT_ONCE) + 1 or lines.find(b"\n") + 1 or len(lines)
        yield lines[:end]
        lines = lines[end:]
    if lines:
        yield lines
