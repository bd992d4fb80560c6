"""What is known of Redis by what came of each command."""

from __future__ import annotations

from support.cranked import Clock

from proxy.link.health import Health, Standing
from proxy.link.replies import NotAllowed, NoWrites


def made(told: list[tuple[Standing, str]]) -> Health:
    return Health(
        clock=Clock(), dice=lambda: 0.5, suspect="first",
        report=lambda standing, why: told.append((standing, why)),
    )  # fmt: skip


def test_five_failures_turn_it_off_however_many_commands_each_meets() -> None:
    told: list[tuple[Standing, str]] = []
    health = made(told)
    for _ in range(4):
        assert str(health.note_failure("k", "gone", 64)) == "gone"
    assert (health.failed, health.standing, health.suspect) == (256, Standing.ON, "k")
    health.note_failure("k", "x" * 1000)
    assert told == [(Standing.OFF, "x" * 200)]
    assert health.doubtful


def test_writes_that_are_refused_leave_reads_alone_and_a_failure_takes_both() -> None:
    told: list[tuple[Standing, str]] = []
    health = made(told)
    health.note_refusal(NotAllowed("no such command"))
    assert health.standing is Standing.ON
    health.note_refusal(NoWrites("a replica"))
    health.note_refusal(NoWrites("a replica"))
    assert (health.standing, health.refused) == (Standing.READS_ONLY, 3)
    health.breaker.trip("gone")
    health.writes.recovered()
    health.breaker.recovered()
    standings = [standing for standing, _ in told]
    assert standings == [Standing.READS_ONLY, Standing.OFF, Standing.ON]


def test_who_was_late_makes_it_doubtful_until_it_answers() -> None:
    health = made([])
    assert not health.doubtful
    health.note_late()
    assert (health.late, health.doubtful) == (1, True)
    health.note_answer()
    assert not health.doubtful
