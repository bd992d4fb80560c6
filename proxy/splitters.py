"""Which request headers split the cache: the same question, asked with several values of one.

Every header that goes to the backend is part of the key, as it may change the answer. One that has
another value in each request and changes nothing (an id that some client adds) makes every request
a miss, and only the operator can tell that it does not count. So he is told its name.

Only what had to be asked for is looked at, against the latest questions that had to be; values are
kept as hashes, and never told.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from proxy.model.query import Query

Fields = Sequence[tuple[str, str]]
"""Headers that are part of the key, names in lower case."""

_LONG: Final = 32 * 2**10  # bytes; to hash a longer question takes long
_QUESTIONS: Final = 2048  # the latest; some 2 MB with 5 headers each
_MOST_FIELDS: Final = 32  # of a request; of one with more nothing is learned
_HEADERS: Final = 64  # that are counted
_VALUES: Final = 1000  # of one header that are told apart
_TOLD_AT: Final = 10  # questions that it has split
_LONGEST: Final = 64  # characters of a name


class Splitter(NamedTuple):
    """A header that splits the cache."""

    header: str
    values: int  # different ones, up to 1000
    bodies: int  # questions that were asked with more than one


class _Count:
    __slots__ = ("bodies", "values")

    def __init__(self) -> None:
        self.values: set[int] = set()
        self.bodies = 0


class _Seen:
    """How a question was asked first, and which headers have been different since."""

    __slots__ = ("fields", "split")

    def __init__(self, fields: dict[str, int]) -> None:
        self.fields = fields
        self.split: set[str] = set()


class Splitters:
    """Finds them.

    Args:
        report: told once of each header that has split ten questions.
    """

    def __init__(self, report: Callable[[str], None] = lambda _header: None) -> None:
        self._report = report
        self._questions: OrderedDict[int, _Seen] = OrderedDict()
        self._counts: dict[str, _Count] = {}

    def sight(self, path: str, scope: str, query: Query, fields: Fields) -> None:
        """Note that ``query`` had to be asked at ``path``, for callers of ``scope``."""
        if len(fields) > _MOST_FIELDS or len(query.canonical) > _LONG:
            return
        namespace = query.controls.namespace
        question = hash(
            (query.canonical, path, scope, query.dialect, query.query_string, namespace)
        )
        now: dict[str, int] = {}
        for name, value in fields:
            if len(name) <= _LONGEST:  # of others nothing is told
                now[name] = hash((now.get(name), value))
        seen = self._questions.get(question)
        if seen is None:
            self._questions[question] = _Seen(now)
            if len(self._questions) > _QUESTIONS:
                self._questions.popitem(last=False)
            return
        self._questions.move_to_end(question)
        self._compare(seen, now)

    def told(self) -> list[Splitter]:
        """All that were found, the worst first."""
        found = [
            Splitter(name, len(count.values), count.bodies) for name, count in self._counts.items()
        ]
        return sorted(found, key=lambda each: (-each.bodies, each.header))

    def _compare(self, seen: _Seen, now: dict[str, int]) -> None:
        if seen.fields == now:
            return
        for name in _differing(seen.fields, now):
            count = self._count(name)
            if count is None:
                continue
            for fields in (seen.fields, now):
                if name in fields and len(count.values) < _VALUES:
                    count.values.add(fields[name])
            if name not in seen.split:
                seen.split.add(name)
                count.bodies += 1
                if count.bodies == _TOLD_AT:
                    self._report(name)

    def _count(self, name: str) -> _Count | None:
        count = self._counts.get(name)
        if count is None and len(self._counts) < _HEADERS and _is_fit(name):
            count = self._counts[name] = _Count()
        return count


def _differing(one: dict[str, int], other: dict[str, int]) -> Iterable[str]:
    return [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]


def _is_fit(name: str) -> bool:
    return len(name) <= _LONGEST and name.isascii() and name.isprintable()
