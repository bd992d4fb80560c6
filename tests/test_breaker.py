"""The breaker: when it opens, who probes, and what closes it."""

from __future__ import annotations

from support.cranked import Clock

from proxy.breaker import Breaker


class Scene:
    """A breaker with a clock turned by hand and dice that fall as told."""

    def __init__(self, roll: float = 0.5, consecutive: int = 5) -> None:
        self.clock = Clock()
        self.roll = roll
        self.reports: list[tuple[bool, str]] = []
        self.breaker = Breaker(
            clock=self.clock,
            dice=lambda: self.roll,
            report=lambda closed, why: self.reports.append((closed, why)),
            consecutive=consecutive,
        )

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.failed("no answer")


def test_it_opens_after_five_failures_in_a_row_and_says_so_once() -> None:
    scene = Scene()
    scene.fail(4)
    assert scene.breaker.closed
    assert scene.reports == []
    scene.fail(4)
    assert not scene.breaker.closed
    assert scene.reports == [(False, "no answer")]


def test_a_success_between_failures_keeps_it_closed() -> None:
    scene = Scene()
    for _ in range(4):
        scene.fail(4)
        scene.breaker.succeeded()
    assert scene.breaker.closed


def test_it_opens_when_half_of_twenty_calls_within_ten_seconds_failed() -> None:
    scene = Scene()
    for _ in range(9):
        scene.breaker.succeeded()
        scene.fail()
        scene.clock.turn(1.0)
    scene.breaker.succeeded()
    assert scene.breaker.closed  # 19 calls
    scene.fail()
    assert not scene.breaker.closed


def test_a_few_failures_among_many_calls_do_not_open_it() -> None:
    scene = Scene()
    for _ in range(100):
        scene.breaker.succeeded()
        scene.breaker.succeeded()
        scene.fail()
    assert scene.breaker.closed


def test_what_happened_over_ten_seconds_ago_does_not_count() -> None:
    scene = Scene()
    for _ in range(4):
        scene.fail(4)
        scene.breaker.succeeded()
        scene.breaker.succeeded()
        scene.clock.turn(10.0)
    assert scene.breaker.closed


def test_while_it_is_closed_no_probe_is_due() -> None:
    scene = Scene()
    scene.clock.turn(1e6)
    assert not scene.breaker.probe_due()


def test_one_probe_a_second_is_due_while_it_is_open() -> None:
    scene = Scene()
    scene.fail(5)
    for _ in range(3):
        assert not scene.breaker.probe_due()
        scene.clock.turn(0.99)
        assert not scene.breaker.probe_due()
        scene.clock.turn(0.01)
        assert scene.breaker.probe_due()


def test_the_dice_move_a_probe_by_a_quarter_of_a_second_at_most() -> None:
    for roll, waited in (0.0, 0.75), (0.999999, 1.25):
        scene = Scene(roll)
        scene.fail(5)
        scene.clock.turn(waited - 0.01)
        assert not scene.breaker.probe_due()
        scene.clock.turn(0.01)
        assert scene.breaker.probe_due()


def test_a_probe_that_is_answered_closes_it_and_the_past_is_forgotten() -> None:
    scene = Scene()
    scene.fail(5)
    scene.breaker.recovered()
    assert scene.breaker.closed
    assert [closed for closed, _ in scene.reports] == [False, True]
    scene.fail(4)
    assert scene.breaker.closed
    scene.breaker.recovered()
    assert len(scene.reports) == 2


def test_a_probe_that_fails_changes_nothing_and_is_not_reported() -> None:
    scene = Scene()
    scene.fail(5)
    scene.clock.turn(1.0)
    assert scene.breaker.probe_due()
    scene.breaker.trip("still no answer")
    assert not scene.breaker.closed
    assert len(scene.reports) == 1


def test_stragglers_neither_close_it_nor_count_once_it_is_open() -> None:
    scene = Scene()
    scene.fail(5)
    scene.breaker.succeeded()
    assert not scene.breaker.closed
    scene.fail(100)
    scene.breaker.recovered()
    scene.fail(4)
    assert scene.breaker.closed


def test_it_can_be_tripped_at_once_and_be_built_to_open_on_the_first_failure() -> None:
    scene = Scene()
    scene.breaker.trip("refused")
    assert scene.reports == [(False, "refused")]
    scene = Scene(consecutive=1)
    scene.fail()
    assert not scene.breaker.closed


def test_a_flap_is_told_once_a_change() -> None:
    scene = Scene()
    for _ in range(10):
        scene.fail(50)
        scene.clock.turn(1.0)
        assert scene.breaker.probe_due()
        scene.breaker.recovered()
    assert [closed for closed, _ in scene.reports] == [False, True] * 10


def test_it_says_how_long_it_is_to_the_next_probe() -> None:
    scene = Scene()
    scene.breaker.trip("no answer")
    assert scene.breaker.next_probe_s == 1.0
    scene.clock.turn(0.75)
    assert scene.breaker.next_probe_s == 0.25
    scene.clock.turn(0.25)
    assert scene.breaker.probe_due()
    assert scene.breaker.next_probe_s == 1.0
