"""Gathering: what is kept of requests that are over until it is read, by all readers at once.

On the way of a request one line is appended to a list. Whoever tells or counts requests reads the
list when it is due: lines in a row cost half as much as one between two requests, which finds
nothing of its own in the processor's caches.

Where requests that are equal to the byte are answered faster than that, they are held back and told
together: one line that stands for several. Who holds some back hands them over before anybody reads
what was counted (``Gathering.sources``), and by a clock of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from proxy.model.outcome import Delivery, Outcome, Record

log = logging.getLogger("sidecache.observe")

LONGEST: Final = 256  # characters kept of a path
_WAIT_S: Final = 0.05  # that a line may wait for company
_MOST: Final = 64  # lines: more at once would take the loop a millisecond

MOST_TOGETHER: Final = 1024
"""Further requests that one line may stand for: 32 KB of durations, and to read them half a
millisecond, in which nobody is answered."""

Line = tuple[float, str, str, str, Outcome, Delivery, Sequence[float]]
"""When it ended (seconds since the epoch), method, path, peer, and the rest.

The last are the durations (seconds; 0: not known) of further requests that are equal to this one to
the byte, were answered alike, each with as many bytes, and are told together with it: all within a
second, at most ``MOST_TOGETHER``. Mostly there are none: (). Nobody alters them.

The request is not in it, whose body and headers nobody who reads this may tell. A plain tuple: one
with names takes four times as long to make.
"""

CallLater = Callable[[float, Callable[[], None]], object]


class Reader(Protocol):
    """Reads lines, a batch at a time, in the order they came."""

    def take(self, lines: Sequence[Line], /) -> None:
        """Read ``lines``. Must not wait."""
        ...


class Teller(Protocol):
    """Is told of requests that are over, as ``Gathering.write`` is."""

    def __call__(
        self, record: Record, more: Sequence[float] = (), ended: float | None = None, /
    ) -> None:
        """Be told of ``record`` and what is equal to it. Does not wait, raises nothing."""
        ...


class Gathering:
    """Hands what is kept of records to its readers.

    Who holds back what it is to write adds to ``sources`` what writes all of it; called whenever
    what was counted is about to be looked at. A source must not flush.

    Args:
        readers: in order; what one of them raises is counted, and the others read on.
        wall: seconds since the epoch.
        call_later: calls back after so many seconds, as a loop's does.
    """

    def __init__(
        self, readers: Sequence[Reader], *, wall: Callable[[], float], call_later: CallLater
    ) -> None:
        self.readers = list(readers)
        self.sources: list[Callable[[], None]] = []
        self.bugs = 0  # batches that some reader failed at, and sources that failed
        self._wall = wall
        self._call_later = call_later
        self._lines: list[Line] = []
        self._timer = False  # whether a call is due

    def write(
        self, record: Record, more: Sequence[float] = (), ended: float | None = None, /
    ) -> None:
        """Keep what is to be told of ``record``. Does not wait, raises nothing.

        Args:
            more: the durations of further requests that are told with it, as a ``Line`` has them.
            ended: when the first of them all did, seconds since the epoch; None: now.
        """
        request, outcome, delivery = record
        path, lines = request.path, self._lines
        if len(path) > LONGEST:
            path = path[:LONGEST]
        at = self._wall() if ended is None else ended
        lines.append((at, request.method, path, request.peer, outcome, delivery, more))
        if not self._timer:
            self._timer = True
            self._call_later(_WAIT_S, self._on_time)
        if len(lines) >= _MOST:
            self._read()

    def flush(self) -> None:
        """Have read what has been gathered, and what was held back."""
        for source in self.sources:
            try:
                source()
            except Exception as error:  # noqa: BLE001 - as below
                self._failed(error)
        self._read()

    def _read(self) -> None:
        lines = self._lines
        if not lines:
            return
        self._lines = []
        for reader in self.readers:
            try:
                reader.take(lines)
            except Exception as error:  # noqa: BLE001 - the root of all telling: the others go on
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.bugs += 1
        # Without what it says, which may quote what a client said.
        log.error("requests were not told", extra={"reason": type(error).__name__})

    def _on_time(self) -> None:
        # What is held back stays so: it is to be told a second's together, not these 50 ms's.
        self._timer = False
        self._read()
