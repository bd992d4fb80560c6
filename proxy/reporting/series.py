"""What the charts show, as numbers: also the tables behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from math import ceil
from typing import Final, NamedTuple

from proxy import figures
from proxy.model.outcome import OUTCOMES, STAGES
from proxy.reporting.stats import Point, Stats
from proxy.reporting.told import Told

_MOST_POINTS: Final = 96  # of a chart over time
_MOST_MODELS: Final = 8
_LONGEST: Final = 40  # characters of a name in a chart
_MODELS: Final = "model"


class Kind(StrEnum):
    """How it is drawn."""

    STACKED = "stacked"  # areas over time, one on the other
    LINES = "lines"  # over time
    LOG_LINES = "log-lines"  # over time, by orders of magnitude
    BARS = "bars"  # for each name one bar, of pieces one behind the other


class Unit(StrEnum):
    """What its numbers are."""

    SHARE = "share"
    SECONDS = "seconds"
    COUNT = "count"
    MONEY = "money"


class Line(NamedTuple):
    """One measure: its name, and a value for each place; None: not known."""

    name: str
    values: tuple[float | None, ...]


class Chart(NamedTuple):
    """One chart.

    Attributes:
        slug: its name in files.
        caption: what it shows and how it is to be read, in a sentence or two.
        places: what the values are for: moments, or names.
        over: what the places are, in a word.
    """

    slug: str
    title: str
    caption: str
    kind: Kind
    unit: Unit
    places: tuple[datetime, ...] | tuple[str, ...]
    lines: tuple[Line, ...]
    over: str = "time"
    currency: str = ""

    def said(self, value: float | None) -> str:
        """A value for people."""
        match self.unit:
            case Unit.SHARE:
                return figures.share(value)
            case Unit.SECONDS:
                return figures.duration(value)
            case Unit.COUNT:
                return figures.count(value)
            case Unit.MONEY:
                return figures.money(value, self.currency)


def charts(told: Told) -> list[Chart]:
    """All charts that there is something to show in."""
    points = coarser(ended(told), _MOST_POINTS)
    drawn: list[Chart] = []
    if len(points) > 1 and any(point.total for point in points):
        drawn += _over_time(points, told)
    drawn += _stages(told.stats)
    drawn += _models(told.stats)
    return drawn


def ended(told: Told) -> Sequence[Point]:
    """The history but for a point that is still going on, which would look like a fall."""
    points, step_s = told.history.points, told.history.step_s
    now = told.stats.now or told.saved_at
    going_on = points and (now - points[-1].at).total_seconds() < step_s
    return points[:-1] if going_on else points


def coarser(points: Sequence[Point], most: int) -> list[Point]:
    """``points``, so many of them made one that there are ``most`` at most.

    Counts add up; a median is the middle one by requests, the highest percentile the highest.
    """
    some = ceil(len(points) / most) or 1
    return [_one(points[begin : begin + some]) for begin in range(0, len(points), some)]


def _one(points: Sequence[Point]) -> Point:
    if len(points) == 1:
        return points[0]
    tiers: dict[str, int] = {}
    for point in points:
        for name, number in point.tiers.items():
            tiers[name] = tiers.get(name, 0) + number
    monies = [point.saved_money for point in points if point.saved_money is not None]
    return Point(
        at=points[0].at,
        requests=sum(point.total for point in points),
        **{name: sum(point.by_outcome()[name] for point in points) for name in OUTCOMES},
        saved_input_tokens=sum(point.saved_input_tokens for point in points),
        saved_output_tokens=sum(point.saved_output_tokens for point in points),
        saved_money=sum(monies) if monies else None,
        saved_s=sum(point.saved_s for point in points),
        p50_s=_middle(points, lambda point: point.p50_s),
        p99_s=max((p.p99_s for p in points if p.p99_s is not None), default=None),
        upstream_p50_s=_middle(points, lambda point: point.upstream_p50_s),
        loop_lag_p99_s=max(
            (p.loop_lag_p99_s for p in points if p.loop_lag_p99_s is not None), default=None
        ),
        bytes=sum(point.bytes for point in points),
        tiers=tiers,
    )


def _middle(points: Sequence[Point], value: Callable[[Point], float | None]) -> float | None:
    known = sorted((each, point.total) for point in points if (each := value(point)) is not None)
    half = sum(requests for _, requests in known) / 2
    counted = 0
    for each, requests in known:
        counted += requests
        if counted >= half:
            return each
    return None


def _over_time(points: Sequence[Point], told: Told) -> Iterator[Chart]:
    at = tuple(point.at for point in points)

    def line(name: str, value: Callable[[Point], float | None]) -> Line:
        return Line(name, tuple(value(point) for point in points))

    tiers = sorted({name for point in points for name in point.tiers})
    order = {tier.tier: place for place, tier in enumerate(told.tiers.tiers)}
    tiers.sort(key=lambda name: order.get(name, len(order)))
    yield Chart(
        "hit-rate",
        "Hit rate",
        "Of the requests that could be answered from the cache, the share that each tier answered, "
        "and that was heard from a call under way. The rest went to the backend.",
        Kind.STACKED,
        Unit.SHARE,
        at,
        (
            *(line(_short(name), _tier_share(name)) for name in tiers),
            line("shared call", lambda p: _of_cacheable(p, p.coalesced)),
        ),
    )
    yield Chart(
        "outcomes",
        "Outcomes",
        "What became of all requests.",
        Kind.STACKED,
        Unit.COUNT,
        at,
        tuple(
            each
            for name in OUTCOMES
            if any((each := line(name, lambda p, name=name: p.by_outcome()[name])).values)  # type: ignore[misc] # mypy cannot infer the type of such a lambda
        ),
    )
    yield Chart(
        "latency",
        "Latency",
        "How long requests took, of all outcomes together: half of them no longer than p50, all "
        "but one in a hundred no longer than p99. By orders of magnitude.",
        Kind.LOG_LINES,
        Unit.SECONDS,
        at,
        (
            line("p50", lambda p: p.p50_s),
            line("p99", lambda p: p.p99_s),
            line("backend p50", lambda p: p.upstream_p50_s),
        ),
    )
    yield Chart(
        "tokens",
        "Tokens saved",
        "Tokens that the backend would have been asked for, added up from the beginning of the "
        "time that is shown.",
        Kind.STACKED,
        Unit.COUNT,
        at,
        (
            Line("input", tuple(accumulate(p.saved_input_tokens for p in points))),
            Line("output", tuple(accumulate(p.saved_output_tokens for p in points))),
        ),
    )
    if any(point.saved_money for point in points):
        yield Chart(
            "money",
            "Money saved",
            "What these tokens would have cost, by the prices that are configured.",
            Kind.LINES,
            Unit.MONEY,
            at,
            (Line("saved", tuple(accumulate(p.saved_money or 0.0 for p in points))),),
            currency=told.stats.saved.currency,
        )


def _tier_share(name: str) -> Callable[[Point], float | None]:
    return lambda point: _of_cacheable(point, point.tiers.get(name, 0))


def _of_cacheable(point: Point, number: int) -> float | None:
    asked = point.spared + point.miss + point.degraded
    return number / asked if asked else None


def _stages(stats: Stats) -> Iterator[Chart]:
    """Where the time goes, for each outcome; and, as hits are so short, theirs alone."""
    means = {name: {stage: _mean(stats, name, stage) for stage in STAGES} for name in OUTCOMES}
    there = [outcome for outcome in OUTCOMES if sum(means[outcome].values())]
    if not there:
        return
    totals = {outcome: sum(means[outcome].values()) for outcome in there}
    stages = [stage for stage in STAGES if any(means[outcome][stage] for outcome in there)]
    yield Chart(
        "stages",
        "Where the time goes",
        "The stages of an average request of each outcome, as shares of its time, which stands "
        "beside its name.",
        Kind.BARS,
        Unit.SHARE,
        tuple(f"{outcome}, {figures.duration(totals[outcome])}" for outcome in there),
        tuple(
            Line(stage, tuple(means[outcome][stage] / totals[outcome] for outcome in there))
            for stage in stages
        ),
        over="outcome",
    )
    quick = [outcome for outcome in there if outcome in {"hit", "stale"}]
    if quick:
        yield Chart(
            "stages-of-hits",
            "What a stored answer takes",
            "The stages of an average request that was answered from a tier, in seconds.",
            Kind.BARS,
            Unit.SECONDS,
            tuple(quick),
            tuple(
                Line(stage, tuple(means[outcome][stage] for outcome in quick))
                for stage in stages
                if any(means[outcome][stage] for outcome in quick)
            ),
            over="outcome",
        )


def _mean(stats: Stats, outcome: str, stage: str) -> float:
    found = stats.stage(outcome, stage)
    return (found.mean_s or 0.0) if found is not None else 0.0


def _models(stats: Stats) -> Iterator[Chart]:
    saved = [each for each in stats.models if each.saved.input_tokens or each.saved.output_tokens]
    saved.sort(key=lambda each: -(each.saved.input_tokens + each.saved.output_tokens))
    most = saved[:_MOST_MODELS]
    if most:
        yield Chart(
            "models",
            "Tokens saved by model",
            "The models whose answers were most often not asked for.",
            Kind.BARS,
            Unit.COUNT,
            tuple(_short(each.model) for each in most),
            (
                Line("input", tuple(each.saved.input_tokens for each in most)),
                Line("output", tuple(each.saved.output_tokens for each in most)),
            ),
            over=_MODELS,
        )


def _short(name: str) -> str:
    """A name that callers chose, fit for a chart."""
    text = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in name)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
