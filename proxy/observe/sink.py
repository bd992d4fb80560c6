"""Where log lines go: a stream that may block, written to from a thread that may wait for it.

A full pipe, a stopped terminal or a slow disk blocks whoever writes, and making standard error
non-blocking would do so for every process that shares it. So one thread writes, and everybody else
hands lines over without waiting. What has not been written yet has a bound in bytes; past it, lines
are dropped and counted, and a line tells so once the stream takes lines again.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Final, Protocol

MAX_PENDING: Final = 4 * 2**20  # bytes; some ten thousand lines, seconds of a busy proxy


class Stream(Protocol):
    """What bytes are written to; may block, and may fail with OSError or ValueError (closed)."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


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
