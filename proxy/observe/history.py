"""The history: what was counted lately, as points in time; ten seconds each, and coarser ones.

Nothing is counted twice: a point is the difference of two looks at what only grows. A look is taken
when the time of a point is over, before anything newer is counted, so there is no timer: what is
gathered next ends the point, or whoever asks. Times in which nothing came are points as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from proxy.histogram import SECONDS, quantile
from proxy.model.outcome import SERVED
from proxy.observe.gather import Line
from proxy.observe.tally import Tally

_RECENT_S: Final = 300.0
_FAILED_HERE: Final = "error"
_CACHEABLE: Final = (*SERVED, "miss", "degraded")


class Span(StrEnum):
    """How far back."""

    QUARTER = "15m"
    HOUR = "1h"
    SIX_HOURS = "6h"
    DAY = "24h"


class _Ring(NamedTuple):
    """Points of so many seconds, and how many of them are kept."""

    step_s: int
    most: int


_RINGS: Final = (_Ring(10, 360), _Ring(60, 360), _Ring(300, 288))
_SHOWN: Final = {
    Span.QUARTER: (0, 90),
    Span.HOUR: (0, 360),
    Span.SIX_HOURS: (1, 360),
    Span.DAY: (2, 288),
}


class Look(NamedTuple):
    """What was counted up to a moment."""

    outcomes: Mapping[str, int]
    tiers: Mapping[str, int]  # answers by the tier they came from
    cacheable: int  # requests that could have been answered from the cache
    bytes: int
    saved: tuple[int, int, float, float]  # input and output tokens, money, seconds
    took: Sequence[int]  # counts of a histogram of durations
    upstream: Sequence[int]  # and of the backends' heads


@dataclass(frozen=True, slots=True)
class Point:
    """What happened in a while."""

    at: float  # its beginning, seconds since the epoch
    outcomes: Mapping[str, int]
    tiers: Mapping[str, int]
    cacheable: int
    bytes: int
    saved: tuple[int, int, float, float]
    p50_s: float | None
    p99_s: float | None
    upstream_p50_s: float | None


@dataclass(frozen=True, slots=True)
class KeptSeries:
    """Points of one length, and where the one that is going on began."""

    points: Sequence[Point]
    began: float
    look: Look


Kept = Sequence[KeptSeries]


class History:
    """Keeps points. A ``Reader``, to be read before the tally that it looks at.

    Args:
        tally: counts.
        shed: how many requests were turned away so far.
        upstream: how often the backends' heads took how long so far, as counts of a histogram.
        wall: seconds since the epoch; may be set back.
        clock: seconds, monotonic.
        kept: what a history of another process, that looked at the same, said it ``kept``.
    """

    def __init__(
        self,
        tally: Tally,
        *,
        shed: Callable[[], int],
        upstream: Callable[[], Sequence[int]],
        wall: Callable[[], float],
        clock: Callable[[], float],
        kept: Kept = (),
    ) -> None:
        self._tally = tally
        self._shed = shed
        self._upstream = upstream
        self._clock = clock
        self._epoch = wall() - clock()
        now = self._now()
        first = self._look()
        self._series = [_Series(ring, now, first) for ring in _RINGS]
        for series, before in zip(self._series, kept, strict=False):
            series.go_on(before, now, first)
        self._next = min(series.due for series in self._series)

    def take(self, _lines: Sequence[Line]) -> None:
        """End the points whose time is over."""
        self.tick()

    def tick(self) -> None:
        """The same, whoever comes."""
        now = self._now()
        if now < self._next:
            return
        look = self._look()
        for series in self._series:
            series.end(now, look)
        self._next = min(series.due for series in self._series)

    def points(self, span: Span) -> tuple[int, list[Point]]:
        """Seconds of a point, and the points, the one that is going on last."""
        self.tick()
        ring, most = _SHOWN[span]
        series = self._series[ring]
        ended = list(series.points)[-(most - 1) :]
        return series.step_s, [*ended, series.going_on(self._look())]

    @property
    def kept(self) -> Kept:
        """All of it, for another process to go on with."""
        return [series.kept for series in self._series]

    @property
    def recent_hit_ratio(self) -> float | None:
        """Of the last five minutes; None if nothing that could be cached was asked."""
        step_s, points = self.points(Span.QUARTER)
        return hit_ratio(points[-int(_RECENT_S / step_s) :])

    def _now(self) -> float:
        # Not the wall clock itself, which may be set back.
        return self._epoch + self._clock()

    def _look(self) -> Look:
        tally, saved = self._tally, self._tally.saved
        return Look(
            outcomes(tally) | {"shed": self._shed()},
            answered_by(tally),
            cacheable(tally),
            sum(row.bytes for row in tally.rows.values()),
            (saved.input_tokens, saved.output_tokens, saved.money, saved.seconds),
            _together([each.counts for each in tally.latency.values()]),
            self._upstream(),
        )


class _Series:
    """Points of one length."""

    def __init__(self, ring: _Ring, now: float, look: Look) -> None:
        self.step_s = ring.step_s
        self.points: deque[Point] = deque(maxlen=ring.most)
        self._began = now - now % ring.step_s
        self._look = look

    @property
    def kept(self) -> KeptSeries:
        """It, for another process."""
        return KeptSeries(list(self.points), self._began, self._look)

    def go_on(self, kept: KeptSeries, now: float, look: Look) -> None:
        """Go on with what was kept, now that ``look`` is what is seen."""
        self.points.extend(each for each in kept.points if each.at < now)
        # Something may have been lost with the process that kept it: no point counts backwards.
        fits = kept.began <= now and all(
            after >= before
            for pair in ((look.took, kept.look.took), (look.upstream, kept.look.upstream))
            for after, before in zip(*pair, strict=True)
        )
        if fits:
            self._began, self._look = kept.began, kept.look

    @property
    def due(self) -> float:
        """When the point that is going on ends."""
        return self._began + self.step_s

    def end(self, now: float, look: Look) -> None:
        """End what is over by ``now``."""
        if now < self.due:
            return
        self.points.append(self.going_on(look))
        self._began, self._look = self.due, look
        # Nothing came since; of a long time only as much as is kept.
        self._began = max(
            self._began, now - now % self.step_s - self.step_s * (self.points.maxlen or 0)
        )
        while self.due <= now:
            self.points.append(self.going_on(look))
            self._began = self.due

    def going_on(self, look: Look) -> Point:
        """The point that is going on, up to ``look``."""
        before = self._look
        took = _since(look.took, before.took)
        upstream = _since(look.upstream, before.upstream)
        saved = [now - then for now, then in zip(look.saved, before.saved, strict=True)]
        return Point(
            self._began,
            _more(look.outcomes, before.outcomes),
            _more(look.tiers, before.tiers),
            look.cacheable - before.cacheable,
            look.bytes - before.bytes,
            (int(saved[0]), int(saved[1]), saved[2], saved[3]),
            quantile(SECONDS, took, 0.5, SECONDS[-1]),
            quantile(SECONDS, took, 0.99, SECONDS[-1]),
            quantile(SECONDS, upstream, 0.5, SECONDS[-1]),
        )


def outcomes(tally: Tally) -> dict[str, int]:
    """Requests by outcome."""
    told: dict[str, int] = {}
    for group, row in tally.rows.items():
        told[group.outcome] = told.get(group.outcome, 0) + row.requests
    return told


def answered_by(tally: Tally) -> dict[str, int]:
    """Answers from the cache by the tier they came from."""
    told: dict[str, int] = {}
    for group, row in tally.rows.items():
        if group.tier:
            told[group.tier] = told.get(group.tier, 0) + row.requests
    return told


def cacheable(tally: Tally) -> int:
    """Requests that could have been answered from the cache, those that failed among them."""
    return sum(
        row.requests
        for group, row in tally.rows.items()
        if group.outcome in _CACHEABLE or (group.outcome == _FAILED_HERE and group.dialect)
    )


def hit_ratio(points: Sequence[Point]) -> float | None:
    """What part of what could be was answered from the cache; None of nothing."""
    could = sum(point.cacheable for point in points)
    if not could:
        return None
    return sum(point.outcomes.get(name, 0) for point in points for name in SERVED) / could


def _more(now: Mapping[str, int], then: Mapping[str, int]) -> dict[str, int]:
    """What has come to each since ``then``, but for those that nothing has come to."""
    return {name: more for name, count in now.items() if (more := count - then.get(name, 0))}


def _together(counts: Sequence[Sequence[int]]) -> list[int]:
    return [sum(each) for each in zip(*counts, strict=True)] if counts else _NOTHING


def _since(now: Sequence[int], then: Sequence[int]) -> list[int]:
    return [after - before for after, before in zip(now, then, strict=True)]


_NOTHING: Final = [0] * (len(SECONDS) + 1)
