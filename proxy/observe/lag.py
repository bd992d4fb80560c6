"""How late the event loop is: whatever keeps it busy keeps everybody waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from proxy.histogram import Histogram

_EVERY_S: Final = 0.1


class Due(Protocol):
    """Something that will be called."""

    def cancel(self) -> None: ...


class Lag:
    """Asks to be called ten times a second, and measures by how much that was late.

    ``start`` it on the loop, and ``stop`` it in the end.

    Args:
        call_later: the loop's.
        clock: seconds, monotonic; not the loop's own, which may be rounded.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], Due],
        clock: Callable[[], float],
    ) -> None:
        self._call_later = call_later
        self._clock = clock
        self._due: Due | None = None
        self._due_at = 0.0
        self.seconds = Histogram()

    def start(self) -> None:
        """Begin."""
        self._due_at = self._clock() + _EVERY_S
        self._due = self._call_later(_EVERY_S, self._on_time)

    def stop(self) -> None:
        """Measure no more. Idempotent."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _on_time(self) -> None:
        # Timers are rounded to milliseconds, either way.
        self.seconds.add(max(0.0, self._clock() - self._due_at))
        self.start()
