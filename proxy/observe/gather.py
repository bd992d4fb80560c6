"""Gathering: what is kept of requests that are over until it is read, by all readers at once.

On the way of a request one line is appended to a list. Whoever tells or counts requests reads the
list when it is due: lines in a row cost half as much as one between two requests, which finds
nothing of its own in the processor's caches.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from proxy.model.outcome import Delivery, Outcome, Record

log = logging.getLogger("sidecache.observe")

LONGEST: Final = 256  # characters kept of a path
_WAIT_S: Final = 0.05  # that a line may wait for company
_MOST: Final = 256  # lines

Line = tuple[float, str, str, str, Outcome, Delivery]
"""When it ended (seconds since the epoch), method, path, peer, and the rest.

The request is not in it, whose body and headers nobody who reads this may tell. A plain tuple: one
with names takes four times as long to make.
"""

CallLater = Callable[[float, Callable[[], None]], object]


class Reader(Protocol):
    """Reads lines, a batch at a time, in the order they came."""

    def take(self, lines: Sequence[Line], /) -> None:
        """Read ``lines``. Must not wait."""
        ...


class Gathering:
    """Hands what is kept of records to its readers.

    Args:
        readers: in order; what one of them raises is counted, and the others read on.
        wall: seconds since the epoch.
        call_later: calls back after so many seconds, as a loop's does.
    """

    def __init__(
        self, readers: Sequence[Reader], *, wall: Callable[[], float], call_later: CallLater
    ) -> None:
        self.readers = list(readers)
        self.bugs = 0  # batches that some reader failed at
        self._wall = wall
        self._call_later = call_later
        self._lines: list[Line] = []
        self._timer = False  # whether a call is due

    def write(self, record: Record) -> None:
        """Keep what is to be told of ``record``. Does not wait, raises nothing."""
        request, outcome, delivery = record
        path, lines = request.path, self._lines
        if len(path) > LONGEST:
            path = path[:LONGEST]
        lines.append((self._wall(), request.method, path, request.peer, outcome, delivery))
        if not self._timer:
            self._timer = True
            self._call_later(_WAIT_S, self._on_time)
        if len(lines) >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Have read what has been gathered."""
        lines = self._lines
        if not lines:
            return
        self._lines = []
        for reader in self.readers:
            try:
                reader.take(lines)
            except Exception as error:  # noqa: BLE001 - the root of all telling: the others go on
                self.bugs += 1
                # Without what it says, which may quote what a client said.
                log.error("requests were not told", extra={"reason": type(error).__name__})  # noqa: TRY400

    def _on_time(self) -> None:
        self._timer = False
        self.flush()
