"""Which prompts are made shorter, and what that has saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from proxy.compression.prompt import Compressed, Plan, compress
from proxy.wire.recent import Recent

_RECENT_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Route:
    """Where a plan holds; shell patterns, compared with case."""

    path: str = "*"
    model: str = "*"
    dialect: str = "*"
    plan: Plan = field(default_factory=Plan)


class Counts:
    """What was saved, as plain integers."""

    __slots__ = ("bytes", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = self.tokens = self.bytes = 0


class Compressor:
    """Makes prompts shorter on their way to the backend. The first route that matches counts.

    Args:
        counts: what is counted on; those of an earlier one go on.
    """

    def __init__(self, routes: Sequence[Route], counts: Counts | None = None) -> None:
        self._routes = tuple(routes)
        self._saved: Recent[bytes, int] = Recent(_RECENT_BYTES)
        self.counts = counts or Counts()

    def plan(self, path: str, model: str, dialect: str) -> Plan | None:
        """What holds for ``model`` at ``path``, asked in ``dialect``; None: nothing."""
        for route in self._routes:
            if (
                fnmatchcase(path, route.path)
                and fnmatchcase(model, route.model)
                and fnmatchcase(dialect, route.dialect)
            ):
                return route.plan
        return None

    def compress(self, body: bytes, plan: Plan) -> Compressed:
        """``body`` by ``plan``. It may run in any thread: it keeps nothing."""
        return compress(body, plan)

    def note(self, digest: bytes, done: Compressed) -> None:
        """Count what was saved for the question with this key."""
        if done.bytes:
            self.counts.requests += 1
            self.counts.tokens += done.tokens
            self.counts.bytes += done.bytes
            self._saved.put(digest, done.tokens, len(digest))

    def saved(self, digest: bytes) -> int:
        """About how many tokens were saved lately for the question with this key."""
        return self._saved.get(digest) or 0
