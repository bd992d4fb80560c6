"""From the files of a recording to the workload they hold."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Final, TypeVar

from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.errors import ConfigError
from proxy.model.message import Head, Headers
from proxy.model.outcome import Verdict
from proxy.model.query import Controls
from proxy.observe import trace
from proxy.observe.trace import Row, TraceError, TraceFile
from proxy.observe.trace_writer import FILES, aside
from proxy.tuning.workload import (
    NOBODY,
    NOTHING_SAID,
    Ask,
    Fact,
    Mark,
    Measured,
    Near,
    Seed,
    Workload,
)

T = TypeVar("T")

_OVERHEAD: Final = 2700  # bytes that an entry takes beside its body, with six header fields
_BODY: Final = 2000  # bytes, of an answer of which nothing at all is known

_BY_MEANING: Final = frozenset({Why.CANONICAL, Why.TYPO, Why.SEMANTIC})
_CERTAIN: Final = frozenset({Why.CANONICAL, Why.TYPO})
# Why an answer was not stored that says nothing of the answer.
_CHANCE: Final = frozenset(
    {"", Why.FIRST_SIGHTING, Why.SUPERSEDED, Why.CROWDED, Why.WAIT_TIMEOUT, Why.GIVE_UP, Why.FRESH,
     Why.STANDBY}
)  # fmt: skip
# Why each who waited had to ask for himself.
_ALONE: Final = frozenset(
    {Why.SET_COOKIE, Why.VARY, Why.PRIVATE, Why.NO_STORE, Why.NO_CACHE, Why.MEDIA_TYPE,
     Why.ENCODED, Why.HIT_FOR_MISS, Why.FORM}
)  # fmt: skip


def read(paths: Iterable[Path]) -> Workload:
    """The workload of a recording, whose older files beside those named are read, too.

    Raises:
        ConfigError: a file cannot be read, they are not of one recording, or hold no request.
    """
    builder = _Builder()
    try:
        files = [TraceFile(path) for path in _with_older(paths)]
    except TraceError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    if len({file.recording for file in files}) > 1:
        raise ConfigError(
            "these files are of more than one recording, which cannot be put together:"
            " name those of one, the proxy having run all the while"
        )
    for file in files:
        for block in file:
            for row in block.rows:
                builder.add(row)
            builder.workload.labels += block.labels
            builder.workload.left_out.update(block.others)
            builder.workload.dropped += block.dropped
        builder.workload.unreadable += file.unreadable
    return builder.built()


def _with_older(paths: Iterable[Path]) -> list[Path]:
    """The files at ``paths``, and those of the same recording set aside from one of them."""
    found: dict[Path, None] = {}
    for path in paths:
        found[path] = None
        own = TraceFile(path).recording
        for number in range(1, FILES):
            older = aside(path, number)
            if older.is_file() and TraceFile(older).recording == own:
                found[older] = None
    return list(found)


@dataclass(slots=True)
class _Builder:
    """Takes rows in any order, and makes the workload of them."""

    workload: Workload = field(default_factory=Workload)
    _numbers: dict[int, int] = field(default_factory=dict)  # of keys
    _facts: dict[Fact, int] = field(default_factory=dict)
    _asks: dict[Ask, int] = field(default_factory=dict)
    _nears: dict[Near, int] = field(default_factory=dict)
    _ages: array[float] = field(default_factory=lambda: array("f"))  # of each request; nan
    _supposed: dict[int, Fact] = field(default_factory=dict)  # of keys, from hits on them
    _heads: dict[tuple[str, str], Head] = field(default_factory=dict)
    _verdicts: dict[str, int] = field(default_factory=dict)
    _age_s: float = 0.0
    _aged: int = 0

    def add(self, row: Row) -> None:
        """Take one request."""
        kind, facts, load = row.kind, row.facts, self.workload
        by_meaning = kind.verdict == Verdict.HIT and kind.why in _BY_MEANING
        key = self._key(row.key, row.scope)
        load.at.append(row.at)
        load.key.append(key)
        load.fact.append(self._fact(row, key))
        load.ask.append(_numbered(self._asks, load.asks, _ask(row)))
        load.near.append(self._near(row, served=by_meaning))
        failed = kind.why in {Why.UPSTREAM_ERROR, Why.SIE} or kind.verdict == Verdict.DEGRADED
        load.marks.append(Mark.FAILED if failed else Mark.NONE)
        exact = kind.verdict in {Verdict.HIT, Verdict.STALE} and not by_meaning
        self._ages.append(facts.age if exact else float("nan"))
        if by_meaning and row.near:
            self._supposed.setdefault(self._key(row.near, row.scope), _supposed(row))
        self._verdicts[kind.verdict] = self._verdicts.get(kind.verdict, 0) + 1
        if not isnan(facts.age):
            self._age_s += facts.age
            self._aged += 1

    def _key(self, hashed: int, scope: int) -> int:
        known = self._numbers.get(hashed)
        if known is None:
            known = self._numbers[hashed] = len(self.workload.keys)
            self.workload.keys.append(CacheKey(f"{scope:016x}", hashed.to_bytes(8, "little")))
        return known

    def _fact(self, row: Row, key: int) -> int:
        """The number of what came, or NOBODY if nothing did or it is not known."""
        kind, facts = row.kind, row.facts
        if facts.size:
            fact = Fact(
                facts.size,
                _known(facts.backend) or 0.0,
                facts.read,
                facts.written,
                self._head(row),
                _known(facts.told_age) or 0.0,
                negative=bool(row.flags & trace.NEGATIVE),
                confident=bool(row.flags & trace.CONFIDENT),
                model=kind.model,
            )
        elif row.flags & trace.NOT_STORED and kind.detail not in _CHANCE:
            fact = Fact(
                facts.sent + _OVERHEAD,
                row.took,
                facts.read,
                facts.written,
                storable=False,
                shared=kind.detail not in _ALONE,
                model=kind.model,
            )
        else:
            if (
                kind.verdict not in {Verdict.ERROR, Verdict.DEGRADED}
                and kind.why not in _BY_MEANING
            ):
                self._supposed.setdefault(key, _supposed(row))
            return NOBODY
        return _numbered(self._facts, self.workload.facts, fact)

    def _head(self, row: Row) -> Head:
        """A head that says of the lifetime what the answer's did."""
        facts, revalidates = row.facts, bool(row.flags & trace.MUST_REVALIDATE)
        told = (
            ("max-age", _known(facts.told_ttl)),
            ("stale-while-revalidate", _known(facts.told_revalidate)),
            ("stale-if-error", _known(facts.told_on_error)),
        )
        said = [f"{name}={value:.0f}" for name, value in told if value is not None]
        if not said and not revalidates:
            return NOTHING_SAID
        name = "CDN-Cache-Control" if row.flags & trace.TARGETED else "Cache-Control"
        text = ", ".join(said + ["must-revalidate"] * revalidates)
        head = self._heads.get((name, text))
        if head is None:
            head = self._heads[name, text] = Head(200, "OK", Headers([(name, text)]))
        return head

    def _near(self, row: Row, *, served: bool) -> int:
        if not row.near or isnan(row.facts.score):
            return NOBODY
        near = Near(
            self._key(row.near, row.scope),
            row.facts.score,
            bool(row.flags & trace.UNOPPOSED),
            served,
            row.kind.why in _CERTAIN,
        )
        return _numbered(self._nears, self.workload.nears, near)

    # -- in the end ---------------------------------------------------------------------------

    def built(self) -> Workload:
        """The workload. Raises ConfigError if there are no requests."""
        load = self.workload
        if not load.at:
            raise ConfigError(
                "the trace holds no request that could be cached: record for longer, or look at"
                " what the log says of the requests"
            )
        order = sorted(range(len(load.at)), key=load.at.__getitem__)
        load.at = array("d", [load.at[at] for at in order])
        for name in ("key", "fact", "ask", "near"):
            column: array[int] = getattr(load, name)
            setattr(load, name, array("i", [column[at] for at in order]))
        load.marks = array("b", [load.marks[at] for at in order])
        self._ages = array("f", [self._ages[at] for at in order])
        self._complete(load.fact, self._suppose, lambda fact: load.facts[fact].storable)
        if load.nears:
            self._complete(load.near, lambda _key: NOBODY, lambda _near: True)
        self._sow()
        load.measured = self._measured()
        return load

    def _complete(
        self,
        column: array[int],
        otherwise: Callable[[int], int],
        lasts: Callable[[int], bool],
    ) -> None:
        """Let each request without a number have that of the last before it for the same key.

        Else that of the first after it, else what ``otherwise`` says of the key.

        Args:
            lasts: whether a number says something of other requests, too.
        """
        last: dict[int, int] = {}
        keys = self.workload.key
        for at in range(len(keys) - 1, -1, -1):
            if column[at] != NOBODY and lasts(column[at]):
                last[keys[at]] = column[at]  # in the end, the first of all
        for at, key in enumerate(keys):
            if column[at] != NOBODY:
                if lasts(column[at]):
                    last[key] = column[at]
                continue
            known = last.get(key)
            if known is None:
                known = last[key] = otherwise(key)
            column[at] = known

    def _suppose(self, key: int) -> int:
        fact = self._supposed.get(key, Fact(_BODY + _OVERHEAD, 0.0))
        return _numbered(self._facts, self.workload.facts, fact)

    def _sow(self) -> None:
        """Note what must have been there before the first request."""
        load, met = self.workload, set[int]()
        for at, key in enumerate(load.key):
            if load.near[at] != NOBODY:
                near = load.nears[load.near[at]].key
                if near not in met:
                    met.add(near)
                    load.seeds.append(Seed(load.at[at], near, self._suppose(near), load.ask[at]))
            if key not in met:
                met.add(key)
                if not isnan(self._ages[at]):
                    stored_at = load.at[at] - self._ages[at]
                    load.seeds.append(Seed(stored_at, key, load.fact[at], load.ask[at]))
        first = load.at[0]
        load.seeds = sorted(
            seed._replace(stored_at=min(seed.stored_at, first)) for seed in load.seeds
        )

    def _measured(self) -> Measured:
        count = self._verdicts.get
        return Measured(
            count(Verdict.HIT, 0),
            count(Verdict.STALE, 0),
            count(Verdict.COALESCED, 0),
            count(Verdict.MISS, 0),
            count(Verdict.DEGRADED, 0),
            count(Verdict.ERROR, 0),
            self._age_s / self._aged if self._aged else 0.0,
        )


def _ask(row: Row) -> Ask:
    kind, facts = row.kind, row.facts
    controls = Controls(
        no_cache=bool(row.flags & trace.NO_CACHE),
        only_if_cached=bool(row.flags & trace.ONLY_IF_CACHED),
        max_age=_known(facts.max_age),
        min_fresh=_known(facts.min_fresh),
        max_stale=_known(facts.max_stale),
        ttl=_known(facts.wanted_ttl),
    )
    about_now = bool(row.flags & trace.ABOUT_NOW)
    return Ask(kind.path, kind.model, kind.dialect, about_now, controls)


def _supposed(row: Row) -> Fact:
    """What an answer must have been like that was served as ``row`` says."""
    facts = row.facts
    return Fact(
        facts.sent + _OVERHEAD,
        _known(facts.backend) or 0.0,
        facts.read,
        facts.written,
        model=row.kind.model,
    )


def _known(value: float) -> float | None:
    return None if isnan(value) else value


def _numbered(numbers: dict[T, int], things: list[T], thing: T) -> int:
    """The number of ``thing`` in ``things``, where it is put if it is new."""
    number = numbers.get(thing)
    if number is None:
        number = numbers[thing] = len(things)
        things.append(thing)
    return number
