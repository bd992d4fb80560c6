"""What the commands that serve open: the proxy itself, the tour, the made-up backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proxy.config.load import Loaded, Origin


class Serve(Protocol):
    """Serves until told to stop; returns the exit status."""

    def __call__(self, loaded: Loaded, source: Origin, *, demo: bool = False) -> int: ...


class Backend(Protocol):
    """Answers as a backend, at an address, until told to stop; returns the exit status."""

    def __call__(self, host: str, port: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the commands open; imported when asked for, so that the others start at once."""

    serve: Serve
    tour: Callable[[], int]
    backend: Backend
