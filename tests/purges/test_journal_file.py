"""The journal on disk: what every journal promises, and kills, full disks, broken files, clocks."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.cranked import Clock
from support.journal_contract import (
    EVERYTHING,
    LIMIT_S,
    Freeze,
    JournalContract,
    Make,
    Reader,
    tag,
)
from support.journal_processes import EPOCH, Child, child

from proxy.model.errors import TierError
from proxy.model.purge import Kind, Purge
from proxy.purges.base import Note
from proxy.purges.journal_file import FileJournal
from proxy.purges.journal_rows import row_of


class Reports:
    """What a journal says of itself."""

    def __init__(self) -> None:
        self.all: list[TierError | None] = []
        self._new = asyncio.Event()

    def __call__(self, error: TierError | None) -> None:
        self.all.append(error)
        self._new.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while len(self.all) < count:
                self._new.clear()
                await self._new.wait()


def made(place: Path, replica: str = "replica", **given: Any) -> FileJournal:
    settings: dict[str, Any] = {
        "wall": lambda: EPOCH,
        "report": Reports(),
        "look_s": 0.01,
        "timeout_s": LIMIT_S,
        "moment_s": LIMIT_S,
        "patience_s": LIMIT_S,
    }
    return FileJournal(place, replica=replica, **(settings | given))


@asynccontextmanager
async def reading(place: Path, replica: str = "replica", **given: Any) -> AsyncIterator[Reader]:
    reader = Reader(made(place, replica, **given))
    await reader.start()
    try:
        yield reader
    finally:
        await reader.journal.close()


async def insist(reader: Reader, purge: Purge) -> None:
    """Append until it succeeds: how fast this machine is says nothing."""
    async with asyncio.timeout(LIMIT_S):
        while purge not in reader.purges:
            with suppress(TierError):
                await reader.journal.append(purge)
            await asyncio.sleep(0)


async def absent(reader: Reader, number: int) -> dict[str, float]:
    """Who has not learned of ``number``, and for how long nothing was heard of each."""
    return {found.replica: found.silent_s for found in await reader.journal.absent(number)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "journal"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def make(place: Path, mode: int = 0o700) -> None:
    place.mkdir(parents=True)
    place.chmod(mode)


def link(place: Path, target: Path) -> None:
    place.symlink_to(target)


def write(place: Path, data: bytes) -> None:
    make(place)
    (place / "notes").write_bytes(data)


def hang(place: Path) -> None:
    """Have whoever opens the notes wait for somebody who writes."""
    os.mkfifo(place / "fifo")
    (place / "fifo").rename(place / "notes")


def names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


class TestTheContract(JournalContract):
    @pytest.fixture
    def make(self, place: Path) -> Make:
        return lambda replica, patience_s: made(place, replica, patience_s=patience_s)

    @pytest.fixture
    def freeze(self, place: Path) -> Freeze:
        @asynccontextmanager
        async def frozen() -> AsyncIterator[Callable[[], None]]:
            async with child(place, "frozen") as other:
                other.signal(signal.SIGSTOP)
                yield lambda: other.signal(signal.SIGCONT)

        return frozen


# -- where it lies ----------------------------------------------------------------------------


async def test_only_its_owner_can_read_it(place: Path) -> None:
    make(place, 0o777)
    async with reading(place):
        assert mode(place) == mode(place / "members") == 0o700
        assert mode(place / "notes") == mode(place / "lock") == 0o600
        assert [mode(path) for path in (place / "members").iterdir()] == [0o600]


async def test_a_link_in_place_of_the_directory_is_refused(place: Path, tmp_path: Path) -> None:
    make(tmp_path / "elsewhere")
    make(place.parent)
    link(place, tmp_path / "elsewhere")
    reports = Reports()
    async with reading(place, report=reports) as reader:
        with pytest.raises(TierError, match="not a directory of this user"):
            await reader.journal.append(tag("a"))
    assert reader.notes == []
    assert len(reports.all) == 1
    assert names(tmp_path / "elsewhere") == set()


async def test_the_first_number_is_the_time_in_milliseconds(place: Path) -> None:
    async with reading(place) as reader:
        assert reader.notes == [Note(int(EPOCH * 1000), EVERYTHING, EPOCH)]


async def test_a_note_tells_when_it_was_written(place: Path) -> None:
    clock = Clock(EPOCH)
    async with reading(place, wall=clock) as reader:
        clock.turn(12.5)
        number = await reader.journal.append(Purge(Kind.ALL, soft=True))
        assert number == int((EPOCH + 12.5) * 1000)
        assert reader.notes[-1].wall == EPOCH + 12.5


async def test_what_is_too_long_is_refused_and_harms_nothing(place: Path) -> None:
    async with reading(place) as reader:
        with pytest.raises(TierError, match="too long"):
            await reader.journal.append(tag("x" * 2**16))
        await reader.journal.append(tag("a"))
        assert reader.purges == [EVERYTHING, tag("a")]


# -- growth -----------------------------------------------------------------------------------


async def test_it_keeps_the_newest_and_who_has_read_all_learns_nothing_twice(place: Path) -> None:
    async with reading(place, most=10) as one, reading(place, "other", most=10) as other:
        for i in range(40):
            await other.until(await one.journal.append(tag(i)))
        assert one.purges == [EVERYTHING, *map(tag, range(40))]
        assert other.notes == one.notes
        assert len((place / "notes").read_bytes().splitlines()) <= 1 + 10


async def test_who_comes_when_the_oldest_were_dropped_holds_them_for_purged(place: Path) -> None:
    async with reading(place, most=10) as one:
        for i in range(40):
            await one.journal.append(tag(i))
        async with reading(place, "later") as later:
            first, *rest = later.notes
            assert first.purge == EVERYTHING
            assert rest == one.notes[-len(rest) :]
            assert first.number == one.numbers[-len(rest) - 1]
            assert 4 <= len(rest) < 10


# -- clocks -----------------------------------------------------------------------------------


async def test_numbers_go_on_growing_when_the_clock_is_set_back(place: Path) -> None:
    clock = Clock(EPOCH)
    async with reading(place, wall=clock) as one, reading(place, "other", wall=clock) as other:
        before = await one.journal.append(tag("a"))
        clock.turn(-86_400.0)
        after = await other.journal.append(tag("b"))
        assert after == before + 1
        await one.until(after)
        assert one.notes == other.notes
        assert list(await one.journal.absent(after)) == []


async def test_who_knows_larger_numbers_than_a_new_file_misses_nothing_of_it(place: Path) -> None:
    async with reading(place, look_s=3600.0) as one:
        await one.journal.append(tag("a"))
        shutil.rmtree(place)
        earlier = lambda: EPOCH - 86_400.0  # noqa: E731 - a clock that was set back
        async with reading(place, "other", wall=earlier) as other:
            missed = await other.journal.append(tag("b"))
            assert missed < one.numbers[-1]
            number = await one.journal.append(tag("c"))
            assert one.purges == [EVERYTHING, tag("a"), EVERYTHING, tag("c")]
            await other.until(number)
            assert other.purges == [EVERYTHING, tag("b"), EVERYTHING, tag("c")]
            assert other.numbers == sorted(other.numbers)
            assert other.notes[-2:] == one.notes[-2:]


# -- what befalls the files -------------------------------------------------------------------


async def test_a_directory_that_is_removed_is_made_again_and_all_learn_that_all_is_purged(
    place: Path,
) -> None:
    async with (
        reading(place) as one,
        reading(place, "other", patience_s=0.2) as other,
        child(place) as third,
    ):
        before = await one.journal.append(tag("a"))
        assert list(await one.journal.absent(before)) == []
        shutil.rmtree(place)
        await one.until(before + 1)
        number = await one.journal.append(tag("b"))
        await other.until(number)
        assert one.purges == [EVERYTHING, tag("a"), EVERYTHING, tag("b")]
        assert other.notes == one.notes
        # Who has not noticed yet that the directory is gone is nobody's fellow for a moment.
        async with asyncio.timeout(LIMIT_S):
            while await third.ask("learned") != ",a,,b":
                pass
        assert list(await one.journal.absent(number)) == []
        third.signal(signal.SIGSTOP)
        assert "child" in await absent(other, await other.journal.append(tag("c")))


async def test_a_file_in_place_of_the_directory_is_told_once_and_when_it_is_gone_again(
    place: Path,
) -> None:
    reports = Reports()
    async with reading(place, report=reports) as reader:
        shutil.rmtree(place.parent)
        place.parent.touch()
        await reports.until(2)
        with pytest.raises(TierError):
            await reader.journal.append(tag("a"))
        with pytest.raises(TierError):
            await reader.journal.absent(1)
        place.parent.unlink()
        await reports.until(3)
        await reader.journal.append(tag("b"))
        assert [type(error) for error in reports.all] == [type(None), TierError, type(None)]
        assert reader.purges == [EVERYTHING, EVERYTHING, tag("b")]


async def test_a_place_that_cannot_be_used_yet_is_read_as_soon_as_it_can(place: Path) -> None:
    place.parent.touch()
    async with reading(place) as reader:
        assert reader.notes == []
        place.parent.unlink()
        await reader.until(1)
        assert reader.purges == [EVERYTHING]


@pytest.mark.parametrize(
    "strange",
    [
        b"",
        b"\n",
        b"sidecache journal 1",
        b"sidecache journal 1 " + b"0" * 32 + b"\n",
        b"sidecache journal 999 " + b"0" * 32 + b"\n",
        b"sidecache journal 1 " + b"0" * 32 + b"\n" + row_of(Note(5, tag("a"), 1.0)),
        bytes(10_000),
        random.Random(1).randbytes(10_000),
    ],
)
async def test_a_file_that_makes_no_sense_is_set_aside_and_one_begun_anew(
    place: Path, strange: bytes
) -> None:
    write(place, strange)
    async with reading(place) as one, reading(place, "other") as other:
        assert (place / "notes.broken").read_bytes() == strange
        assert isinstance(one.journal, FileJournal)
        assert one.journal.set_aside == 1
        await other.until(await one.journal.append(tag("a")))
        assert one.purges == other.purges == [EVERYTHING, tag("a")]


async def test_a_file_too_long_to_be_ours_is_not_even_read(place: Path) -> None:
    write(place, b"sidecache journal 1 ")
    os.truncate(place / "notes", 2**30)  # takes no room on the disk
    async with reading(place) as reader:
        assert reader.purges == [EVERYTHING]


async def test_a_file_damaged_while_it_is_in_use_is_begun_anew_by_all(place: Path) -> None:
    async with reading(place) as one, reading(place, "other") as other:
        await other.until(await one.journal.append(tag("a")))
        with (place / "notes").open("ab") as file:
            file.write(b"not a note\n")
        await other.until(one.numbers[1] + 1)
        number = await one.journal.append(tag("b"))
        await other.until(number)
        assert one.purges == other.purges == [EVERYTHING, tag("a"), EVERYTHING, tag("b")]


async def test_an_older_copy_of_the_file_is_not_taken_for_the_whole(place: Path) -> None:
    async with reading(place) as one, reading(place, "other") as other:
        copy = (place / "notes").read_bytes()
        await other.until(await one.journal.append(tag("a")))
        (place / "notes").write_bytes(copy)
        await other.until(one.numbers[1] + 1)
        await other.until(await one.journal.append(tag("b")))
        assert one.purges == other.purges == [EVERYTHING, tag("a"), EVERYTHING, tag("b")]


# -- what hangs -------------------------------------------------------------------------------


async def test_who_is_stopped_while_it_writes_does_not_stop_the_others_from_reading(
    place: Path,
) -> None:
    async with reading(place, timeout_s=0.05) as reader:
        lock = os.open(place / "lock", os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(TierError, match="locked"):
                await reader.journal.append(tag("a"))
            last = Note(reader.numbers[-1] + 7, tag("b"), EPOCH)
            with (place / "notes").open("ab") as file:
                file.write(row_of(last))
            await reader.until(last.number)
        finally:
            os.close(lock)
        await insist(reader, tag("c"))
        assert reader.purges == [EVERYTHING, tag("b"), tag("c")]


async def test_a_disk_that_hangs_is_left_alone_until_it_comes_back(place: Path) -> None:
    async with reading(place, timeout_s=0.2) as reader:
        hang(place)
        with pytest.raises(TierError, match="no answer"):
            await reader.journal.append(tag("a"))
        with pytest.raises(TierError, match="still busy"):
            await reader.journal.append(tag("b"))
        with pytest.raises(TierError, match="still busy"):
            await reader.journal.absent(1)
        writer = os.open(place / "notes", os.O_WRONLY)
        (place / "notes").unlink()
        os.close(writer)
        await reader.until(reader.numbers[0] + 1)
        await insist(reader, tag("c"))
        assert reader.purges[1] == EVERYTHING
        assert reader.purges[-1] == tag("c")


async def test_a_disk_that_hangs_does_not_hold_up_the_beginning_nor_the_end(place: Path) -> None:
    make(place)
    hang(place)
    async with reading(place, timeout_s=0.1, moment_s=0.1) as reader:
        assert reader.notes == []
    os.close(os.open(place / "notes", os.O_WRONLY))  # lets the thread end


# -- processes --------------------------------------------------------------------------------


async def test_processes_learn_of_each_others_purges(place: Path) -> None:
    async with child(place) as one, child(place) as two, reading(place) as reader:
        assert await one.ask("append a") == str(reader.numbers[0] + 1)
        assert await two.ask("append b") == str(reader.numbers[0] + 2)
        number = await reader.journal.append(tag("c"))
        assert list(await reader.journal.absent(number)) == []
        assert await one.ask("learned") == await two.ask("learned") == ",a,b,c"


async def test_who_was_killed_is_not_absent_and_what_it_left_is_removed(place: Path) -> None:
    async with reading(place) as reader, child(place) as other, child(place) as closed:
        assert await closed.ask("close") == "closed"
        assert len(names(place / "members")) == 2
        await other.kill()
        assert list(await reader.journal.absent(await reader.journal.append(tag("a")))) == []
        assert len(names(place / "members")) == 1


async def test_how_long_a_replica_has_been_silent_is_told(place: Path) -> None:
    clock = Clock(EPOCH)
    async with (
        reading(place, wall=clock, patience_s=0.2) as reader,
        child(place, "a/b") as other,
    ):
        other.signal(signal.SIGSTOP)
        clock.turn(90.0)
        number = await reader.journal.append(tag("a"))
        assert await absent(reader, number) == {"a/b": pytest.approx(90.0)}


async def test_a_full_disk_is_an_error_and_what_others_write_is_still_learned(
    place: Path,
) -> None:
    async with reading(place) as reader, child(place) as other:
        assert await other.ask("fill") == "full"
        assert "journal: " in await other.ask("append a")
        assert "journal: " in await other.ask("append b")
        number = await reader.journal.append(tag("c"))
        assert list(await reader.journal.absent(number)) == []
        assert await other.ask("learned") == ",c"
        assert await other.ask("empty") == "empty"
        assert await other.ask("append d") == str(number + 1)
        await reader.until(number + 1)
        assert reader.purges == [EVERYTHING, tag("c"), tag("d")]


async def kill_again_and_again(place: Path, times: int, seed: int = 9) -> None:
    """Two processes write as fast as they can; both are killed at it, and so on."""
    dice = random.Random(seed)
    told: dict[int, Purge] = {}
    async with reading(place, most=1000) as reader:
        for _ in range(times):
            async with child(place) as one, child(place) as two:
                heard = [await stormed(other, dice.randrange(1, 60)) for other in (one, two)]
            for number, value in (line.split() for each in heard for line in each):
                assert int(number) not in told
                told[int(number)] = tag(value)
            last = await reader.journal.append(tag("killed"))
            told[last] = tag("killed")
            assert list(await reader.journal.absent(last)) == []
        assert isinstance(reader.journal, FileJournal)
        assert reader.journal.set_aside == 0
        assert reader.numbers == sorted(set(reader.numbers))
        learned = {note.number: note.purge for note in reader.notes}
        assert told.items() <= learned.items()
        # What was written and not told of, since its writer died: one for each that was writing.
        assert len(learned) - len(told) - 1 <= 2 * 3 * times
        assert reader.purges.count(EVERYTHING) == 1
        async with reading(place, "later") as later:
            assert later.notes[1:] == reader.notes[-len(later.notes) + 1 :]


async def stormed(other: Child, words: int) -> list[str]:
    """What a process told while it wrote, until it was killed after some words."""
    other.say("storm")
    lines = [await other.hear() for _ in range(words)]
    rest = await other.kill()
    return lines + rest[: rest.rfind("\n") + 1].splitlines()


async def test_processes_killed_while_they_write_take_nothing_away_that_was_told(
    place: Path,
) -> None:
    await kill_again_and_again(place, 10)


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(4))
async def test_hundreds_killed_while_they_write_take_nothing_away_that_was_told(
    place: Path, seed: int
) -> None:
    await kill_again_and_again(place, 25, seed)
