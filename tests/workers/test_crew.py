"""The crew: who is forked, watched, replaced and ended, and when."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.workers.crew import REFUSED, Crew, Fork, Member, Patience, Role, Rolled, Send

PATIENCE = Patience(start_s=60, silent_s=30, leave_s=45)


class Play:
    """A crew whose processes are made up."""

    def __init__(self, workers: int = 2) -> None:
        self.crew = Crew(workers, PATIENCE)
        self.now = 100.0
        self.sent: list[tuple[int, signal.Signals]] = []  # slot, signal
        self._pids = 0

    def go(self, seconds: float = 0.0) -> list[Fork]:
        """Let time pass, and do what is due; what was forked."""
        self.now += seconds
        forked = []
        for action in self.crew.due(self.now):
            if isinstance(action, Send):
                self.sent.append((self.crew.members[action.pid].slot, action.signal))
            else:
                self._pids += 1
                self.crew.born(action, self._pids, self.now)
                forked.append(action)
        return forked

    def begin(self) -> None:
        """The first worker is ready, and then all."""
        self.go()
        self.up()
        self.go()
        self.up()

    def up(self) -> None:
        """All that were forked are ready."""
        for pid in self.crew.members:
            self.crew.ready(pid, self.now)

    def member(self, slot: int, edition: int | None = None) -> Member:
        return next(
            each
            for each in reversed(self.crew.members.values())
            if each.slot == slot and edition in (None, each.edition)
        )

    def dies(self, slot: int, status: int = -9, edition: int | None = None) -> None:
        self.crew.died(self.member(slot, edition).pid, status, self.now)

    def beat(self) -> None:
        for pid in self.crew.members:
            self.crew.heard(pid, self.now)

    def slots(self, role: Role = Role.WORKER) -> list[tuple[int, int]]:
        return sorted((m.slot, m.edition) for m in self.crew.members.values() if m.role is role)


@pytest.fixture
def play() -> Play:
    """A crew of two that has served for a while."""
    play = Play()
    play.begin()
    play.go(10)
    play.beat()
    return play


def test_it_begins_with_one_worker_and_a_desk_and_then_all_workers() -> None:
    play = Play(3)

    assert play.go() == [Fork(Role.WORKER, 1, 1), Fork(Role.DESK, 0, 1)]
    assert play.go() == []
    play.up()
    assert play.go() == [Fork(Role.WORKER, 2, 1), Fork(Role.WORKER, 3, 1)]
    assert not play.crew.complete
    play.up()
    assert play.crew.complete
    assert play.go() == []


def test_who_dies_after_having_served_is_forked_again_at_once_in_the_same_slot(play: Play) -> None:
    play.dies(1)

    assert play.go() == [Fork(Role.WORKER, 1, 1)]
    assert play.crew.restarts[Role.WORKER] == 1
    assert play.crew.serving() == 1


def test_deaths_every_few_seconds_never_make_it_pause_or_give_up(play: Play) -> None:
    for _ in range(50):
        play.dies(2)
        assert play.go() == [Fork(Role.WORKER, 2, 1)]
        play.up()
        play.go(5)
        play.beat()
    assert play.crew.status is None
    assert play.crew.restarts[Role.WORKER] == 50


def test_who_keeps_dying_at_once_is_forked_after_ever_longer_pauses(play: Play) -> None:
    pauses = []
    for _ in range(9):
        play.dies(1)
        began = play.now
        while not play.go():
            play.now += 0.01
            play.beat()
        pauses.append(round(play.now - began, 2))
    assert pauses[:2] == [0, 0]  # the first had served
    assert pauses[2:] == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 10], abs=0.02)


def test_without_anybody_who_serves_it_gives_up_after_five_deaths_at_the_start() -> None:
    play = Play(1)
    for _ in range(5):
        assert play.crew.status is None
        while not any(fork.role is Role.WORKER for fork in play.go()):
            play.now += 0.1
        play.dies(1, 3)
    play.go()
    assert play.sent == [(0, signal.SIGTERM)]
    play.dies(0, 0)
    assert play.go() == []
    assert (play.crew.status, play.crew.why) == (
        70, "a worker ended with status 3 before it was ready",
    )  # fmt: skip


def test_as_long_as_one_serves_it_does_not_give_up(play: Play) -> None:
    play.dies(1)
    for _ in range(20):
        while not play.go():
            play.now += 0.5
            play.beat()
        play.dies(1, REFUSED)
    assert play.crew.status is None


def test_settings_that_the_first_workers_refuse_are_not_tried_again() -> None:
    play = Play(2)
    play.go()
    play.dies(1, REFUSED)
    play.go()

    assert play.sent == [(0, signal.SIGTERM)]
    play.dies(0, 0)
    play.go()
    assert play.crew.status == REFUSED


def test_who_is_silent_for_too_long_is_killed_once_and_forked_again(play: Play) -> None:
    for _ in range(31):
        play.crew.heard(play.member(2).pid, play.now)
        play.crew.heard(play.member(0).pid, play.now)
        play.go(1)
    assert play.sent == [(1, signal.SIGKILL)]
    play.dies(1)
    assert play.go() == [Fork(Role.WORKER, 1, 1)]


def test_who_is_not_ready_in_time_is_killed() -> None:
    play = Play(1)
    play.go()
    play.crew.ready(play.member(0).pid, play.now)
    play.go(59.9)
    play.crew.heard(play.member(0).pid, play.now)
    assert (1, signal.SIGKILL) not in play.sent
    play.go(0.2)
    assert (1, signal.SIGKILL) in play.sent


def test_a_new_edition_replaces_one_worker_after_the_other_and_then_the_desk(play: Play) -> None:
    play.crew.roll(2, 2, play.now)

    assert play.go() == [Fork(Role.WORKER, 3, 2)]
    assert play.go() == []
    assert play.sent == []
    play.up()
    assert play.go() == [Fork(Role.WORKER, 4, 2)]
    assert play.sent == [(1, signal.SIGUSR1)]
    assert play.crew.serving() == 2
    play.dies(1, 0)  # in its own time
    play.up()
    assert play.crew.rolled() == []
    assert play.go() == []
    assert play.sent[1:] == [(2, signal.SIGUSR1)]
    assert play.go() == [Fork(Role.DESK, 0, 2)]
    assert play.crew.rolled() == [Rolled(2, "")]
    assert not play.crew.is_rolling
    play.up()
    play.go()
    assert play.sent[2:] == [(0, signal.SIGTERM)]
    assert play.crew.restarts[Role.WORKER] == 0


def test_a_new_edition_that_cannot_serve_is_given_up_and_the_old_workers_stay(play: Play) -> None:
    play.crew.roll(2, 2, play.now)
    play.go()
    play.dies(3, REFUSED)

    assert play.crew.rolled() == [Rolled(2, "a worker ended with status 78 before it was ready")]
    assert play.go() == []
    assert play.slots() == [(1, 1), (2, 1)]
    assert (play.crew.edition, play.crew.workers) == (1, 2)
    assert play.crew.status is None


def test_what_was_replaced_already_is_replaced_back_when_a_new_edition_is_given_up(
    play: Play,
) -> None:
    play.crew.roll(2, 2, play.now)
    play.go()
    play.up()
    play.go()
    play.dies(1, 0)
    assert play.go() == []
    assert play.slots() == [(2, 1), (3, 2), (4, 2)]
    play.dies(4, -11)

    assert play.go() == [Fork(Role.WORKER, 1, 1)]
    play.up()
    play.go()
    assert play.sent[-1] == (3, signal.SIGUSR1)
    play.dies(3, 0)
    assert play.go() == []
    assert play.slots() == [(1, 1), (2, 1)]


@pytest.mark.parametrize("workers", [1, 4])
def test_a_new_edition_may_have_another_number_of_workers(play: Play, workers: int) -> None:
    play.crew.roll(2, workers, play.now)
    for _ in range(20):
        play.go(0.1)
        play.up()
        for member in [m for m in play.crew.members.values() if m.leave_by is not None]:
            play.crew.died(member.pid, 0, play.now)
        play.beat()
    assert [edition for _, edition in play.slots()] == [2] * workers
    assert play.crew.rolled() == [Rolled(2, "")]


def test_an_old_worker_that_dies_meanwhile_is_replaced_by_a_new_one(play: Play) -> None:
    play.crew.roll(2, 2, play.now)
    play.go()
    play.dies(1)
    play.dies(2)
    play.up()
    assert play.go() == [Fork(Role.WORKER, 1, 2)]


def test_when_all_is_to_end_the_workers_go_first_and_the_desk_last(play: Play) -> None:
    play.crew.stop(signal.SIGINT)
    play.go()
    assert sorted(play.sent) == [(1, signal.SIGINT), (2, signal.SIGINT)]
    play.dies(1, 0)
    assert play.go() == []
    play.dies(2, 0)
    play.go()
    assert play.sent[2:] == [(0, signal.SIGTERM)]
    play.dies(0, 0)
    play.go()
    assert play.crew.status == 0


def test_who_does_not_leave_in_time_is_killed(play: Play) -> None:
    play.crew.stop(signal.SIGTERM)
    play.go()
    play.go(20)
    play.beat()
    play.go(24)
    assert len(play.sent) == 2
    play.go(2)
    assert sorted(play.sent[2:]) == [(1, signal.SIGKILL), (2, signal.SIGKILL)]


def test_who_is_leaving_is_not_told_twice(play: Play) -> None:
    play.crew.roll(2, 2, play.now)
    play.go()
    play.up()
    play.go()
    play.crew.stop(signal.SIGTERM)
    play.go()
    assert play.sent.count((1, signal.SIGUSR1)) == 1
    assert (1, signal.SIGTERM) not in play.sent


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_befalls_it_enough_serve_again_when_it_is_left_alone(data: st.DataObject) -> None:
    play = Play(data.draw(st.integers(1, 4)))
    edition = 1
    for _ in range(data.draw(st.integers(0, 25))):
        play.go(data.draw(st.sampled_from([0.0, 0.3, 3.0])))
        pids = sorted(play.crew.members)
        match data.draw(st.sampled_from(["ready", "die", "roll", "beat"])):
            case "ready" if pids:
                play.crew.ready(data.draw(st.sampled_from(pids)), play.now)
            case "die" if pids and play.crew.serving() > 0:
                play.crew.died(data.draw(st.sampled_from(pids)), 1, play.now)
            case "roll" if not play.crew.is_rolling:
                edition += 1
                play.crew.roll(edition, data.draw(st.integers(1, 4)), play.now)
            case _:
                play.beat()
        if play.crew.status is not None:
            return
    for _ in range(200):
        play.go(0.5)
        play.up()
        play.beat()
        for member in [m for m in play.crew.members.values() if m.leave_by is not None]:
            play.crew.died(member.pid, 0, play.now)
    if play.crew.status is None:
        assert play.crew.complete
        assert [edition for _, edition in play.slots()] == [play.crew.edition] * play.crew.workers
        assert not play.crew.is_rolling


def test_an_edition_that_workers_take_over_themselves_replaces_the_desk_only(play: Play) -> None:
    play.crew.adopt(2, [play.member(slot).pid for slot in (1, 2)])

    assert play.go() == [Fork(Role.DESK, 0, 2)]
    play.up()
    assert play.go() == []
    assert play.sent == [(0, signal.SIGTERM)]
    play.dies(2)
    assert play.go() == [Fork(Role.WORKER, 2, 2)]


def test_only_editions_that_somebody_has_or_may_have_again_are_kept(play: Play) -> None:
    assert play.crew.editions == {1}
    play.crew.roll(2, 2, play.now)
    assert play.crew.editions == {1, 2}
    for _ in range(9):
        play.go()
        play.up()
        for member in [m for m in play.crew.members.values() if m.leave_by is not None]:
            play.crew.died(member.pid, 0, play.now)
    assert play.crew.editions == {2}


def test_where_there_can_be_no_fork_it_is_tried_again_a_second_later(play: Play) -> None:
    play.dies(1)
    play.crew.put_off(Role.WORKER, play.now)
    assert play.go() == []
    assert play.go(1.0) == [Fork(Role.WORKER, 1, 1)]


def test_time_in_which_nobody_listened_counts_against_nobody() -> None:
    play = Play()
    play.begin()
    play.dies(1)
    play.go()  # another has begun to start
    play.now += 1000
    play.crew.was_away(1000)
    play.go()
    assert play.sent == []
    play.go(PATIENCE.silent_s)
    assert sorted(play.sent) == [(0, signal.SIGKILL), (2, signal.SIGKILL)]
    play.go(PATIENCE.start_s - PATIENCE.silent_s)
    assert (1, signal.SIGKILL) in play.sent


def test_time_in_which_nobody_looked_is_not_taken_from_those_who_leave(play: Play) -> None:
    play.crew.stop(signal.SIGTERM)
    play.go()
    play.sent.clear()
    play.now += 1000
    play.crew.was_away(1000)
    for _ in range(2):
        play.go(PATIENCE.leave_s / 2 - 1)
        play.beat()
    assert play.sent == []
    play.go(2)
    assert sorted(play.sent) == [(1, signal.SIGKILL), (2, signal.SIGKILL)]


def test_who_was_not_asked_whether_it_takes_an_edition_over_is_replaced(play: Play) -> None:
    play.dies(1)
    play.go()
    play.crew.adopt(2, [play.member(2).pid])  # nobody knew yet that there is another
    play.up()

    assert Fork(Role.WORKER, 3, 2) in play.go()
    play.up()
    play.go()
    assert play.sent == [(1, signal.SIGUSR1), (0, signal.SIGTERM)]
