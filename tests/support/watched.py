"""Headers that tell which of them were looked at."""

from __future__ import annotations

from proxy.model.message import Headers


class _Index(dict[str, str]):
    def __init__(self, fields: dict[str, str], looked_at: set[str]) -> None:
        super().__init__(fields)
        self._looked_at = looked_at

    def get(self, name, default=None):
        self._looked_at.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self._looked_at.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._looked_at.add(str(name))
        return super().__contains__(name)


class Watched(Headers):
    """Headers, and the names (lower case) that somebody has asked for in ``looked_at``.

    All fields at once cannot be had: who goes through them looks at all.
    """

    __slots__ = ("looked_at",)

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self.looked_at: set[str] = set()
        self._index = _Index(Headers(pairs).index(), self.looked_at)

    def all(self, name: str) -> tuple[str, ...]:
        self.looked_at.add(name)
        return super().all(name)

    def __iter__(self):
        raise AssertionError("somebody looks at all fields")
