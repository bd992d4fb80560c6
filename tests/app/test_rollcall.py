"""What workers have counted, asked of them; those who hang, leave and die."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.admin.colleagues import Silent
from proxy.app.looking import nothing
from proxy.app.rollcall import Incarnation, RollCall
from proxy.app.seat import last_word, leave_word
from proxy.histogram import Histogram
from proxy.observe.process import Figures
from proxy.observe.snapshot import Snapshot, written
from proxy.observe.tally import Counted, Group, Row
from proxy.workers.lifeline import Message

NOTHING = Snapshot(Counted(), Histogram(), nothing())


def said(slot: int, pid: int, requests: int, *, under_way: int = 0, cpu_s: float = 0.0) -> Snapshot:
    state = nothing()
    clients = {**state.clients, "received": requests + under_way}
    rows = [(Group("hit", "fresh", "", ""), Row(requests))]
    return Snapshot(
        Counted(rows), Histogram(), replace(state, clients=clients), (), Figures(cpu_s), pid, slot
    )


class Crew:
    """Made-up workers, by slot, and what they say."""

    def __init__(self) -> None:
        self.say: dict[int, Snapshot | bytes] = {}
        self.hangs: set[int] = set()
        self.asked: list[int] = []
        self.pids: dict[int, int] = {}

    async def ask(self, path: Path, _limit_s: float) -> bytes:
        slot = int(path.name)
        self.asked.append(slot)
        if slot in self.hangs:
            await asyncio.Event().wait()
        if slot not in self.say:
            raise Silent
        told = self.say[slot]
        return told if isinstance(told, bytes) else written(told)

    def roster(self, *, leaving: tuple[int, ...] = (), starting: tuple[int, ...] = ()) -> Message:
        return {
            "workers": [
                {
                    "slot": slot,
                    "pid": pid,
                    "ready": slot not in starting,
                    "leaving": slot in leaving,
                }
                for slot, pid in self.pids.items()
            ]
        }


@pytest.fixture
def crew() -> Crew:
    crew = Crew()
    crew.pids = {1: 11, 2: 22}
    crew.say = {1: said(1, 11, 5), 2: said(2, 22, 7)}
    return crew


Make = Callable[[], RollCall]


@pytest.fixture
async def make(crew: Crew, tmp_path: Path) -> AsyncIterator[Make]:
    made: list[RollCall] = []

    def make() -> RollCall:
        roll = RollCall(tmp_path, crew.ask, socket=lambda slot: Path(str(slot)), nothing=NOTHING)
        made.append(roll)
        roll.hear(crew.roster())
        return roll

    yield make
    for each in made:
        await each.close()


def total(roll: RollCall) -> int:
    return roll.gone.over + sum(each.over for each in roll.counted)


async def test_all_are_asked_and_what_they_said_last_stands(make: Make, crew: Crew) -> None:
    roll = make()
    await roll.round()
    assert total(roll) == 12
    crew.say[1] = said(1, 11, 6, cpu_s=2.5)
    await roll.round()
    assert total(roll) == 13
    assert [each.busy_s for each in roll.present] == [2.5, 0.0]
    del crew.say[1]  # it does not answer any more
    await roll.round()
    assert total(roll) == 13
    assert [each.silent for each in roll.present] == [True, False]


async def test_who_hangs_is_not_waited_for_again_until_it_answers(make: Make, crew: Crew) -> None:
    roll = make()
    crew.hangs = {1}
    await roll.fresh()  # half a second
    assert [each.silent for each in roll.present] == [True, False]
    async with asyncio.timeout(5):  # half a second each would be ten
        for _ in range(20):
            await roll.fresh()
    assert crew.asked.count(1) == 1  # it has one question to answer, not more and more
    assert crew.asked.count(2) == 21


async def test_many_who_want_to_know_share_a_look(make: Make, crew: Crew) -> None:
    roll = make()
    looks: list[int] = []
    roll.told = lambda: looks.append(1)
    await asyncio.gather(*(roll.fresh() for _ in range(50)))
    assert len(looks) <= 2
    assert crew.asked.count(1) <= 2


async def test_who_starts_is_not_asked_yet(make: Make, crew: Crew) -> None:
    roll = make()
    roll.hear(crew.roster(starting=(2,)))
    fresh = RollCall(Path(), crew.ask, socket=lambda slot: Path(str(slot)), nothing=NOTHING)
    fresh.hear(crew.roster(starting=(2,)))
    await fresh.fresh()
    assert crew.asked == [1]
    await fresh.close()


async def test_of_one_that_was_killed_its_latest_word_stays(make: Make, crew: Crew) -> None:
    roll = make()
    crew.say[1] = said(1, 11, 5, under_way=2)
    await roll.round()
    crew.pids = {1: 33, 2: 22}  # another has taken its place
    crew.say[1] = said(1, 33, 1)
    roll.hear(crew.roster())
    await roll.round()
    assert roll.gone.over == 7  # of these, two that were under way
    assert total(roll) == 7 + 1 + 7
    await roll.round()
    assert total(roll) == 15
    assert [each.incarnation for each in roll.present] == [Incarnation(1, 33), Incarnation(2, 22)]


async def test_one_that_left_in_order_has_the_last_word(
    make: Make, crew: Crew, tmp_path: Path
) -> None:
    roll = make()
    await roll.round()
    roll.hear(crew.roster(leaving=(1,)))
    word = said(1, os.getpid(), 50)
    crew.pids[1] = os.getpid()
    crew.say[1] = said(1, os.getpid(), 40)
    roll.hear(crew.roster())
    await roll.round()
    leave_word(tmp_path, 1, written(word))
    del crew.pids[1]
    roll.hear(crew.roster())
    await roll.round()
    assert roll.gone.over == 5 + 50
    await roll.round()
    assert roll.gone.over == 55
    assert last_word(tmp_path, 1, os.getpid()).exists()  # another desk may want to read it


async def test_a_last_word_is_removed_once_nobody_can_want_it(crew: Crew, tmp_path: Path) -> None:
    now = [0.0]
    roll = RollCall(
        tmp_path, crew.ask, socket=lambda slot: Path(str(slot)), nothing=NOTHING,
        wall=lambda: now[0],
    )  # fmt: skip
    roll.hear(crew.roster())
    path = last_word(tmp_path, 1, 99)
    path.write_bytes(written(said(1, 99, 3)))
    now[0] = path.stat().st_mtime
    await roll.part()
    await roll.part()
    assert path.exists()
    now[0] += 61
    await roll.part()
    assert not path.exists()
    assert roll.gone.over == 3
    await roll.close()


async def test_an_answer_of_who_has_taken_anothers_place_is_not_taken_for_that_ones(
    make: Make, crew: Crew
) -> None:
    roll = make()
    await roll.round()
    crew.say[1] = said(1, 33, 0)  # the arbiter has not told yet
    await roll.round()
    assert total(roll) == 12


async def test_what_cannot_be_read_is_no_answer(make: Make, crew: Crew) -> None:
    roll = make()
    await roll.round()
    crew.say[1] = b"nonsense"
    await roll.round()
    assert total(roll) == 12
    assert [each.silent for each in roll.present] == [True, False]


async def test_who_takes_over_goes_on_where_the_one_before_was(make: Make, crew: Crew) -> None:
    before = make()
    before.extras.models = lambda: ["a", "b"]
    before.extras.reloads = lambda: (3, 2, 1)
    crew.pids = {1: 11, 2: 22, 3: 44}
    crew.say[3] = said(3, 44, 100)
    before.hear(crew.roster())
    await before.round()
    crew.pids = {1: 11, 2: 22}  # one has died
    before.hear(crew.roster())
    await before.round()
    assert total(before) == 112

    crew.pids = {2: 22}  # and another, which nobody sees
    del crew.say[1]
    after = make()
    kept = await after.take_over()
    assert kept is not None
    assert (kept.models, kept.edition, kept.applied, kept.refusals) == (["a", "b"], 3, 2, 1)
    assert after.started_at == before.started_at
    assert after.cpu_s == before.cpu_s > 0
    await after.fresh()
    assert total(after) == 112
    await after.part()
    assert (after.gone.over, total(after)) == (105, 112)


async def test_two_that_are_there_at_once_add_each_worker_once(
    make: Make, crew: Crew, tmp_path: Path
) -> None:
    """During a reload the old desk is there until the new one is ready."""
    old = make()
    await old.round()
    new = make()
    await new.take_over()
    await new.fresh()
    last_word(tmp_path, 1, 11).write_bytes(written(said(1, 11, 9)))
    del crew.pids[1]
    for each in (old, new, old, new):
        each.hear(crew.roster())
        await each.round()
    assert (old.gone.over, new.gone.over) == (9, 9)
    third = make()
    await third.take_over()
    await third.round()
    assert (third.gone.over, total(third)) == (9, 16)


async def test_a_damaged_file_is_told_of_and_begins_anew(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "counted.json").write_bytes(b"{nonsense")
    roll = make()
    assert await roll.take_over() is None
    assert "cannot be read" in caplog.text
    await roll.round()
    assert total(roll) == 12


async def test_a_folder_that_is_gone_costs_no_figures(
    crew: Crew, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    roll = RollCall(
        tmp_path / "gone", crew.ask, socket=lambda slot: Path(str(slot)), nothing=NOTHING
    )
    roll.hear(crew.roster())
    await roll.round()
    assert total(roll) == 12
    assert "cannot be kept" in caplog.text
    await roll.close()
