"""A snapshot: all that one worker has counted, as it is sent to who adds up those of all workers.

Both sides are processes of one program, forked from one another: there is no format to agree on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from proxy.histogram import Histogram
from proxy.observe.process import Figures
from proxy.observe.state import State
from proxy.observe.tally import Counted
from proxy.splitters import Splitter

MOST_BYTES: Final = 16 * 2**20  # of a snapshot; one with 50 models and 20 strata has 150 KB

T = TypeVar("T")


class Unreadable(Exception):
    """It makes no sense."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a worker, or several together, have counted."""

    counted: Counted
    lag: Histogram
    state: State
    splitters: Sequence[Splitter] = ()
    process: Figures = field(default_factory=lambda: Figures(0.0))
    pid: int = 0  # of the worker; 0: they are several
    slot: int = 0
    started_at: float = 0.0  # seconds since the epoch

    @property
    def over(self) -> int:
        """Requests that are over, and connections that were turned away."""
        rows = sum(row.requests for _, row in self.counted.rows)
        return rows + self.state.clients.get("turned_away", 0)

    @property
    def under_way(self) -> int:
        """Requests that have come, and are not over."""
        return max(0, self.state.clients.get("received", 0) - self.over)


def written(told: object) -> bytes:
    """A dataclass, and all that is in it, as JSON."""
    return orjson.dumps(told, default=_listed)


def _listed(value: object) -> list[object]:
    """What orjson has no form for: tuples with names."""
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(type(value).__name__)


class Reader(Generic[T]):
    """Reads what was ``written``.

    Args:
        kind: a dataclass.
    """

    def __init__(self, kind: type[T]) -> None:
        self._adapter = TypeAdapter(kind)

    def read(self, data: bytes) -> T:
        """What ``data`` says. Raises Unreadable."""
        try:
            return self._adapter.validate_json(data)
        except ValidationError as error:
            # Without what it says, which quotes what was read.
            raise Unreadable(f"{error.error_count()} faults in {error.title}") from None
