"""What was counted lately, as points in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from support.cranked import Clock
from support.records import lines_of, record

from proxy.histogram import SECONDS, Histogram
from proxy.model.decision import Why
from proxy.model.outcome import Delivery, Record, Verdict
from proxy.model.query import Usage
from proxy.observe.history import History, Kept, Point, Span, hit_ratio
from proxy.observe.snapshot import Reader, written
from proxy.observe.tally import Tally
from proxy.prices import Price, Prices

NOON = 1_795_262_400.0


@dataclass(frozen=True)
class KeptHistory:
    """As it goes into a file."""

    kept: Kept


class Scene:
    """A history of a tally, and a clock turned by hand."""

    def __init__(self) -> None:
        self.clock = Clock(0.0)
        self.tally = Tally(Prices([Price("*", 1.0, 1.0)]))
        self.heads = Histogram()
        self.shed = 0
        self.wall = NOON
        self.history = History(
            self.tally,
            shed=lambda: self.shed,
            upstream=lambda: tuple(self.heads.counts),
            wall=lambda: self.wall,
            clock=self.clock,
        )

    def come(self, *records: Record) -> None:
        lines = lines_of(*records)
        self.history.take(lines)
        self.tally.take(lines)

    def points(self, span: Span = Span.HOUR) -> Sequence[Point]:
        return self.history.points(span)[1]


def miss(seconds: float = 2.0) -> Record:
    return record(
        delivery=Delivery(200, 10, True, seconds), verdict=Verdict.MISS, why=Why.UNSEEN, tier=""
    )


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_came_is_in_the_point_of_its_time(scene: Scene) -> None:
    scene.come(record(usage=Usage(10, 5), spared_s=3.0), miss())
    scene.clock.turn(10)
    scene.come(miss())
    scene.shed += 2
    first, second = scene.points()
    assert (first.at, second.at) == (NOON, NOON + 10)
    assert first.outcomes == {"hit": 1, "miss": 1}
    assert second.outcomes == {"miss": 1, "shed": 2}
    assert (first.tiers, second.tiers) == ({"l1_memory": 1}, {})
    assert first.saved == (10, 5, pytest.approx(15e-6), 3.0)
    assert second.saved == (0, 0, 0.0, 0.0)
    assert (first.bytes, second.bytes) == (2058, 10)
    assert first.p99_s == pytest.approx(2.0, rel=0.25)


def test_points_begin_at_whole_steps(scene: Scene) -> None:
    scene.wall = NOON + 7.3
    late = History(
        scene.tally, shed=lambda: 0, upstream=list, wall=lambda: scene.wall, clock=scene.clock
    )
    assert [point.at for point in late.points(Span.QUARTER)[1]] == [NOON]
    scene.clock.turn(3)
    assert [point.at for point in late.points(Span.QUARTER)[1]] == [NOON, NOON + 10]


def test_a_wall_clock_that_is_set_back_makes_no_time_twice(scene: Scene) -> None:
    scene.wall -= 3600
    scene.clock.turn(10)
    assert [point.at for point in scene.points()] == [NOON, NOON + 10]


def test_times_in_which_nothing_came_are_points_too(scene: Scene) -> None:
    scene.come(miss())
    scene.clock.turn(55)
    scene.come(miss())
    counts = [sum(point.outcomes.values()) for point in scene.points()]
    assert counts == [1, 0, 0, 0, 0, 1]
    assert scene.points()[2].p50_s is None


@pytest.mark.parametrize(
    ("span", "step_s", "most"),
    [(Span.QUARTER, 10, 90), (Span.HOUR, 10, 360), (Span.SIX_HOURS, 60, 360), (Span.DAY, 300, 288)],
)
def test_a_span_has_its_steps_and_no_more(scene: Scene, span: Span, step_s: int, most: int) -> None:
    for _ in range(100):
        scene.come(miss())
        scene.clock.turn(900)
    told, points = scene.history.points(span)
    assert told == step_s
    assert len(points) == most
    assert points[-1].at == NOON + 90_000
    assert points[0].at == NOON + 90_000 - step_s * (most - 1)
    steps = {after.at - before.at for before, after in pairwise(points)}
    assert steps == {step_s}
    came = [NOON + 900 * number for number in range(100)]
    counted = sum(sum(point.outcomes.values()) for point in points)
    assert counted == sum(at >= points[0].at for at in came)


def test_coarse_points_hold_what_the_fine_ones_do(scene: Scene) -> None:
    for number in range(30):
        scene.come(*[miss(0.1 * number)] * number)
        scene.clock.turn(10)
    fine = [sum(point.outcomes.values()) for point in scene.points()]
    minutes = [sum(point.outcomes.values()) for point in scene.points(Span.SIX_HOURS)]
    assert minutes == [sum(fine[at : at + 6]) for at in range(0, 31, 6)]
    day = scene.points(Span.DAY)[0]
    assert sum(day.outcomes.values()) == sum(range(30))


def test_a_pause_of_days_ends_in_a_moment(scene: Scene) -> None:
    scene.come(miss())
    scene.clock.turn(10 * 86_400)
    assert [sum(point.outcomes.values()) for point in scene.points(Span.DAY)] == [0] * 288


def test_how_long_the_backends_took_is_of_the_same_time(scene: Scene) -> None:
    scene.heads.add(1.0)
    scene.clock.turn(10)
    scene.come()
    scene.heads.add(0.001)
    first, second = scene.points()
    assert first.upstream_p50_s == pytest.approx(1.0, rel=0.25)
    assert second.upstream_p50_s == pytest.approx(0.001, rel=0.25)
    assert len(scene.heads.counts) == len(SECONDS) + 1


def test_the_hit_ratio_is_of_what_could_be_answered(scene: Scene) -> None:
    assert scene.history.recent_hit_ratio is None
    scene.come(
        record(),
        record(verdict=Verdict.STALE, why=Why.SWR),
        miss(),
        record(verdict=Verdict.ERROR, why=Why.UPSTREAM_ERROR, tier=""),
        record(verdict=Verdict.ERROR, why=Why.BAD_REQUEST, tier="", dialect=""),
        record(verdict=Verdict.BYPASS, why=Why.ROUTE, tier="", dialect=""),
    )
    assert scene.history.recent_hit_ratio == 0.5
    assert hit_ratio(scene.points()) == 0.5


def test_what_is_recent_is_over_after_five_minutes(scene: Scene) -> None:
    scene.come(record())
    scene.clock.turn(290)
    scene.come(miss())
    assert scene.history.recent_hit_ratio == 0.5
    scene.clock.turn(10)
    assert scene.history.recent_hit_ratio == 0.0


def gone_on(scene: Scene, *, later: float, kept: Kept) -> History:
    """A history of another process, which looks at the same tally so many seconds later."""
    return History(
        scene.tally,
        shed=lambda: scene.shed,
        upstream=lambda: tuple(scene.heads.counts),
        wall=lambda: NOON + later,
        clock=Clock(0.0),
        kept=kept,
    )


def test_another_process_goes_on_where_one_was_and_no_point_is_lost_or_told_twice() -> None:
    scene = Scene()
    scene.come(miss())
    scene.clock.turn(10)
    scene.come(miss(), miss())
    scene.clock.turn(5)
    kept = Reader(KeptHistory).read(written(KeptHistory(scene.history.kept))).kept
    scene.come(miss())  # nobody looks
    after = gone_on(scene, later=27, kept=kept)
    _, points = after.points(Span.HOUR)
    assert [(each.at - NOON, sum(each.outcomes.values())) for each in points] == [
        (0, 1), (10, 3), (20, 0),
    ]  # fmt: skip
    for span in Span:
        assert sum(sum(each.outcomes.values()) for each in after.points(span)[1]) == 4


def test_where_something_was_lost_meanwhile_no_point_counts_backwards() -> None:
    scene = Scene()
    scene.come(miss(), miss())
    scene.clock.turn(15)
    scene.history.tick()
    kept = scene.history.kept
    lesser = Scene()
    lesser.come(miss())
    after = gone_on(lesser, later=27, kept=kept)
    lesser.tally.take(lines_of(miss()))
    _, points = after.points(Span.HOUR)
    assert [count for each in points for count in each.outcomes.values()] == [2, 1]


def test_requests_that_are_told_together_are_counted_one_by_one(scene: Scene) -> None:
    scene.tally.take(lines_of(record(usage=Usage(10, 5)), more=(2.0, 2.0)))
    (point,) = scene.points()
    assert (point.outcomes, point.tiers, point.bytes) == (
        {"hit": 3}, {"l1_memory": 3}, 3 * record().delivery.sent,
    )  # fmt: skip
    assert point.saved[:2] == (30, 15)
    assert point.p50_s == pytest.approx(2.0, rel=0.25)
