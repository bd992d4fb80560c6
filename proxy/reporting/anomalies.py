"""What was out of the ordinary: outliers in the history, counters that do not add up, restarts.

A value is an outlier if it is further from the median than so many median absolute deviations,
which outliers themselves hardly move, and further than a floor below which nobody cares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

from proxy import figures
from proxy.model.outcome import OUTCOMES
from proxy.reporting.series import ended
from proxy.reporting.stats import Point, Stats
from proxy.reporting.told import Told

_DEVIATIONS: Final = 6.0  # of a normal distribution, once in a billion; traffic has heavier tails
_NORMAL: Final = 1.4826  # deviations as standard deviations, were the distribution normal
_POINTS: Final = 12  # of fewer nothing is usual
_REQUESTS: Final = 10  # in a step; of fewer, no share and no percentile means anything
_EPISODES: Final = 4  # told of one measure, the worst ones
_GAP: Final = 2.5  # steps without a point
_BUSY: Final = 20  # requests in the median step, before none at all is odd
_SPANS: Final = {"m": 60, "h": 3600, "d": 86400}


class Anomaly(NamedTuple):
    """Something odd.

    Attributes:
        what: in a few words.
        text: a sentence with numbers.
        at: when it began; None: not at any one time.
    """

    what: str
    text: str
    at: datetime | None = None


class Outlier(NamedTuple):
    """A run of points whose values are out of the ordinary.

    Attributes:
        first, last: the places of its ends.
        worst: the value furthest from ``usual``, which is the median.
    """

    first: int
    last: int
    worst: float
    usual: float


def outliers(
    values: Sequence[float | None], *, floor: float, up: bool = True, down: bool = False
) -> list[Outlier]:
    """The runs of ``values`` that are out of the ordinary, in their order.

    Args:
        values: in the order of time; None: there is none, which neither ends a run nor begins one.
        floor: the least distance from the median that matters.
        up: whether high values count.
        down: whether low values do.
    """
    known = [value for value in values if value is not None]
    if len(known) < _POINTS:
        return []
    usual = median(known)
    spread = _NORMAL * median(abs(value - usual) for value in known)
    limit = max(floor, _DEVIATIONS * spread)
    found: list[Outlier] = []
    running = False
    for place, value in enumerate(values):
        if value is None:
            continue
        off = value - usual
        odd = (up and off > limit) or (down and -off > limit)
        if odd and running:
            before = found[-1]
            worst = max(before.worst, value, key=lambda each: abs(each - usual))
            found[-1] = Outlier(before.first, place, worst, usual)
        elif odd:
            found.append(Outlier(place, place, value, usual))
        running = odd
    return found


def anomalies(told: Told) -> list[Anomaly]:
    """All that is odd, in the order of time; what has no time comes first."""
    points = ended(told)
    found = [*_sums(told.stats), *_restarts(told), *_gaps(told, points), *_outliers(points)]
    return sorted(found, key=lambda each: (each.at is not None, each.at or told.saved_at))


class _Measure(NamedTuple):
    what: str
    value: Callable[[Point], float | None]
    said: Callable[[float | None], str]
    floor: float
    down: bool = False
    relative: float = 0.0  # the floor as a share of the median


def _failed(point: Point) -> float:
    return (point.error + point.shed) / point.total


_MEASURES: Final = (
    _Measure("errors", _failed, figures.share, 0.02),
    _Measure("slowest requests (p99)", lambda p: p.p99_s, figures.duration, 0.01, relative=0.5),
    _Measure("backend's median", lambda p: p.upstream_p50_s, figures.duration, 0.02, relative=0.5),
    _Measure("hit ratio", lambda p: p.hit_ratio, figures.share, 0.1, down=True),
    _Measure("lag of the event loop (p99)", lambda p: p.loop_lag_p99_s, figures.duration, 0.02),
    _Measure("requests passed on", lambda p: p.bypass / p.total, figures.share, 0.1),
)  # fmt: skip


def _outliers(points: Sequence[Point]) -> Iterator[Anomaly]:
    for measure in _MEASURES:
        values = [measure.value(p) if p.total >= _REQUESTS else None for p in points]
        known = [value for value in values if value is not None]
        floor = max(measure.floor, measure.relative * median(known)) if known else measure.floor
        found = outliers(values, floor=floor, up=not measure.down, down=measure.down)
        worst = sorted(found, key=lambda each: -abs(each.worst - each.usual))[:_EPISODES]
        for each in worst:
            begin, end = points[each.first].at, points[each.last].at
            lasted = f" until {end:%H:%M:%S}" if end > begin else ""
            verb = "fell to" if measure.down else "rose to"
            yield Anomaly(
                measure.what,
                f"At {begin:%Y-%m-%d %H:%M:%S}{lasted}: {verb} {measure.said(each.worst)}; "
                f"{measure.said(each.usual)} is usual.",
                begin,
            )


def _gaps(told: Told, points: Sequence[Point]) -> Iterator[Anomaly]:
    """Times of which nothing is known, and such in which nobody asked."""
    step_s = told.history.step_s
    for one, other in pairwise(points):
        apart = (other.at - one.at).total_seconds()
        if step_s and apart > _GAP * step_s:
            yield Anomaly(
                "a gap in the record",
                f"Nothing was recorded for {figures.duration(apart)} from "
                f"{one.at:%Y-%m-%d %H:%M:%S} on: the machine slept, or the process was stopped.",
                one.at,
            )
    counts = [point.total for point in points]
    if len(counts) >= _POINTS and median(counts) >= _BUSY:
        for before, point in pairwise(points):
            if before.total and not point.total:
                yield Anomaly(
                    "nobody asked",
                    f"No request from {point.at:%Y-%m-%d %H:%M:%S}; {median(counts):.0f} in "
                    f"{figures.duration(step_s)} are usual.",
                    point.at,
                )


def _restarts(told: Told) -> Iterator[Anomaly]:
    stats, span = told.stats, _seconds(told.span)
    if stats.started_at is not None and span and stats.uptime_s < span:
        yield Anomaly(
            "a start",
            f"The proxy started at {stats.started_at:%Y-%m-%d %H:%M:%S}, "
            f"{figures.duration(stats.uptime_s)} before this was asked for: what was before is not "
            "in these numbers, and its memory was empty then.",
            stats.started_at,
        )


def _sums(stats: Stats) -> Iterator[Anomaly]:
    """Each request ends in one way, so the counters must add up."""
    requests, under_way = stats.requests, stats.clients.open + stats.flights.in_progress
    received = requests.total if stats.received is None else stats.received
    if abs(received - requests.ended) > under_way:
        yield Anomaly(
            "counters that do not add up",
            f"{figures.count(received)} requests came, and {figures.count(requests.ended)} ended "
            f"({figures.count(under_way)} may be under way). This should not be: please report it.",
        )
    told = {name: sum(by.requests for by in stats.by if by.outcome == name) for name in OUTCOMES}
    for name, number in requests.by_outcome().items():
        if told[name] > number + under_way:
            yield Anomaly(
                "counters that do not add up",
                f"{figures.count(told[name])} requests have a reason to be a {name}, and only "
                f"{figures.count(number)} are one. This should not be: please report it.",
            )


def _seconds(span: str) -> float:
    """``span``, as "6h", in seconds; 0 if it is none."""
    number, unit = span[:-1], span[-1:]
    return int(number) * _SPANS[unit] if number.isdecimal() and unit in _SPANS else 0


def since(told: Told) -> datetime:
    """From when on there is a history."""
    points = told.history.points
    return points[0].at if points else told.saved_at - timedelta(seconds=told.stats.uptime_s)
