"""The live events of a proxy, followed across broken connections and restarts.

A thread reads, so that whoever shows them can look at the keyboard meanwhile. What is not taken in
time is dropped and counted: a screen that hangs must not hold up the reading.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from proxy.commands.asking import Answered, Event, Unreachable
from proxy.commands.refused import Refused
from proxy.commands.said import number, text

_MOST_WAITING: Final = 10_000  # events
_REMEMBERED: Final = 1000  # requests by which a replay is told from news
_WAITS_S: Final = (0.5, 1.0, 2.0, 5.0)  # between attempts; the last for all that follow
_BUSY: Final = 503  # as many watch as may


class Streams(Protocol):
    """Brings the events of a stream as they come; raises Refused."""

    def events(self, path: str, **query: object) -> Iterator[Event]: ...


class Lost(NamedTuple):
    """There is no connection at the moment."""

    why: str


class Found(NamedTuple):
    """There is one again."""


News = Event | Lost | Found | Refused


class Following:
    """Follows ``/live``: ``start`` it, ``take`` what came, and ``stop`` it in the end.

    Args:
        operator: asks.
        last: how many requests from before to begin with.
        waits_s: seconds between attempts to connect.
    """

    def __init__(
        self, operator: Streams, *, last: int, waits_s: tuple[float, ...] = _WAITS_S
    ) -> None:
        self.dropped = 0
        self._operator = operator
        self._last = last
        self._waits_s = waits_s
        self._news: queue.Queue[News] = queue.Queue(_MOST_WAITING)
        self._stop = threading.Event()
        self._seen: deque[tuple[float | None, str]] = deque(maxlen=_REMEMBERED)
        # A daemon: a read that hangs must not keep the command from ending.
        self._thread = threading.Thread(target=self._follow, name="live events", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()

    def take(self, wait_s: float) -> News | None:
        """The next news; None if there are none in time. Raises Refused if there will be none."""
        try:
            news = self._news.get(timeout=wait_s)
        except queue.Empty:
            return None
        if isinstance(news, Refused):
            raise news
        return news

    def _follow(self) -> None:
        attempt, connected = 0, False
        while not self._stop.is_set():
            try:
                for event in self._operator.events("/live", last=self._last):
                    connected = True
                    if attempt:
                        self._tell(Found())
                        attempt = 0
                    if self._stop.is_set():
                        return
                    if self._is_new(event):
                        self._tell(event)
                why = "the proxy has ended the stream"
            except Unreachable as error:
                if not connected:  # then it is rather the wrong address than a restart
                    self._tell(error)
                    return
                why = str(error)
            except Answered as error:
                if error.status != _BUSY:
                    self._tell(error)
                    return
                why = str(error)
            except Refused as error:
                self._tell(error)
                return
            self._tell(Lost(why))
            self._stop.wait(self._waits_s[min(attempt, len(self._waits_s) - 1)])
            attempt += 1

    def _is_new(self, event: Event) -> bool:
        """Whether it was not told before the connection broke."""
        if event.kind != "request":
            return True
        name = number(event.said, "seq"), text(event.said, "at")
        if name in self._seen:
            return False
        self._seen.append(name)
        return True

    def _tell(self, news: News) -> None:
        try:
            self._news.put_nowait(news)
        except queue.Full:
            self.dropped += 1
