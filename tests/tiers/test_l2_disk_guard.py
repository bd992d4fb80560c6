"""The disk tier with a guard: it finds all that it would find without, and looks less."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.cranked import Clock
from support.tier_contract import KEY, OTHER, TierContract, entry, same

from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.tiers.codec import Codec
from proxy.tiers.disk_file import DiskFile
from proxy.tiers.guard import Guard
from proxy.tiers.l2_disk import L2Disk

ROOT = Path(__file__).parents[2]
EPOCH = 1_700_000_000.0
UNHURRIED_S = 30.0  # how fast this machine is says nothing
LONG = Lifetime(1e6)


@asynccontextmanager
async def opened(directory: Path, clock: Clock, **given: Any) -> AsyncIterator[L2Disk]:
    disk = made(directory, clock, **given)
    await disk.start()
    try:
        yield disk
    finally:
        await disk.close()


def made(directory: Path, clock: Clock, *, guarded: bool = True, boot: str = "boot") -> L2Disk:
    return L2Disk(
        directory,
        codec=Codec(),
        max_bytes=8 * 2**20,
        max_entry_bytes=TierContract.max_entry_bytes,
        clock=clock,
        wall=lambda: EPOCH + clock(),
        read_timeout_s=UNHURRIED_S,
        write_timeout_s=UNHURRIED_S,
        guarded=guarded,
        boot=boot,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "disk"


def key(number: int) -> CacheKey:
    return CacheKey("scope", number.to_bytes(32))


def guard_of(disk: L2Disk) -> Guard:
    assert disk._file.guard is not None
    return disk._file.guard


async def until_it_answers(disk: L2Disk) -> None:
    """Wait until the guard knows all of the file; it does not have to rest for it."""
    async with asyncio.timeout(UNHURRIED_S):
        while guard_of(disk).wanting:
            assert disk._refill is not None
            disk._refill._rested_at = 0.0
            disk._refill.look()
            await disk._writes.submit(lambda: None)


async def spares(disk: L2Disk) -> bool:
    """Whether a look for what was never there is spared."""
    before = disk.spared
    assert await disk.get(CacheKey("scope", os.urandom(32))) is None
    return disk.spared > before


async def put(disk: L2Disk, *keys: CacheKey) -> None:
    for each in keys:
        await disk.put(entry(each, lifetime=LONG))
    await disk.flush()


class Flushing(L2Disk):
    """A disk tier whose every put is on the disk when it returns, and known to the guard."""

    async def put(self, entry: Entry) -> bool:
        await until_it_answers(self)
        taken = await super().put(entry)
        await self.flush()
        return taken


class TestTheGuardedFile(TierContract):
    """The contract, where the guard has seen all there is."""

    @pytest.fixture
    async def tier(self, place: Path, clock: Clock) -> AsyncIterator[L2Disk]:
        tier = Flushing(
            place,
            codec=Codec(),
            max_bytes=8 * 2**20,
            max_entry_bytes=self.max_entry_bytes,
            clock=clock,
            wall=lambda: EPOCH + clock(),
            read_timeout_s=UNHURRIED_S,
            write_timeout_s=UNHURRIED_S,
            guarded=True,
        )
        await tier.start()
        await until_it_answers(tier)
        yield tier
        await tier.close()


# -- what it spares ---------------------------------------------------------------------------


class Stuck(DiskFile):
    """A file on a disk that hangs when told to."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, 8 * 2**20, "boot", guarded=True)
        self.reading = threading.Event()
        self.reading.set()

    def read_some(self, *args: Any) -> Any:
        self.reading.wait()
        return super().read_some(*args)


async def test_what_is_not_there_is_not_looked_for(place: Path, clock: Clock) -> None:
    disk = made(place, clock)
    disk._file = file = Stuck(place)
    await disk.start()
    await put(disk, KEY)
    await until_it_answers(disk)
    file.reading.clear()
    for number in range(1000):
        assert await disk.get(key(number)) is None
    assert disk.spared >= 980
    assert disk.misses == 1000
    file.reading.set()
    assert same(await disk.get(KEY), entry(lifetime=LONG))
    await disk.close()


async def test_what_the_guard_lets_pass_is_counted_and_what_of_it_was_in_vain(
    place: Path, clock: Clock
) -> None:
    async with opened(place, clock) as disk:
        await put(disk, KEY)
        await until_it_answers(disk)
        guard = disk.guard
        assert guard is not None
        assert guard.fill_ratio is not None
        assert 0 < guard.fill_ratio < 0.001
        before = guard.passed
        assert await disk.get(KEY) is not None
        assert (guard.passed - before, disk.guard_wrong) == (1, 0)
        await disk.delete(KEY)  # which a filter cannot forget
        assert await disk.get(KEY) is None
        assert (guard.passed - before, disk.guard_wrong) == (2, 1)
        assert disk.is_open
        assert disk.max_bytes == 8 * 2**20
    assert not disk.is_open


async def test_without_a_guard_there_is_nothing_to_tell_of_one(place: Path, clock: Clock) -> None:
    async with opened(place, clock, guarded=False) as disk:
        assert await disk.get(KEY) is None
        assert disk.guard is None
        assert disk.guard_wrong == 0


async def test_what_was_written_and_deleted_and_cleared_is_found_or_not_as_it_should(
    place: Path, clock: Clock
) -> None:
    async with opened(place, clock) as disk:
        await until_it_answers(disk)
        await put(disk, KEY, OTHER)
        assert await disk.get(KEY) is not None
        await disk.delete(KEY)
        assert await disk.get(KEY) is None
        assert await disk.get(OTHER) is not None
        await disk.clear()
        assert await disk.get(OTHER) is None
        await put(disk, OTHER)
        assert await disk.get(OTHER) is not None
        assert await spares(disk)


async def test_without_a_guard_nothing_is_spared_and_others_are_told_of_writes(
    place: Path, clock: Clock
) -> None:
    async with opened(place, clock, guarded=False) as disk:
        before = disk._file._tally.count
        await put(disk, KEY)
        assert await disk.get(OTHER) is None
        assert (disk.spared, disk.guard_wrong) == (0, 0)
        assert disk._file._tally.count > before


# -- filling ----------------------------------------------------------------------------------


async def test_a_file_without_a_saved_guard_is_gone_through(place: Path, clock: Clock) -> None:
    keys = [key(number) for number in range(3000)]
    async with opened(place, clock, guarded=False) as disk:
        await put(disk, *keys)
    assert not (place / "guard").exists()
    async with opened(place, clock) as disk:
        await until_it_answers(disk)
        assert await spares(disk)
        assert all([await disk.get(each) is not None for each in keys])


async def test_writes_go_on_while_the_file_is_gone_through(place: Path, clock: Clock) -> None:
    keys = [key(number) for number in range(4000)]
    async with opened(place, clock, guarded=False) as disk:
        await put(disk, *keys[:2000])
    async with opened(place, clock) as disk:
        for each in keys[2000:]:
            await disk.put(entry(each, lifetime=LONG))
        await disk.delete(keys[0])
        await disk.flush()
        await until_it_answers(disk)
        assert await spares(disk)
        assert await disk.get(keys[0]) is None
        assert all([await disk.get(each) is not None for each in keys[1:]])


async def test_it_may_be_closed_while_the_file_is_gone_through(place: Path, clock: Clock) -> None:
    async with opened(place, clock, guarded=False) as disk:
        await put(disk, *(key(number) for number in range(3000)))
    async with opened(place, clock) as disk:
        assert guard_of(disk).wanting
    assert disk.failed == 0
    assert not (place / "guard").exists()


async def test_after_a_vain_attempt_there_is_a_rest(place: Path, clock: Clock) -> None:
    async with opened(place, clock) as disk:
        await until_it_answers(disk)
        tally = disk._file._tally
        tally.step()  # as another process would
        assert not await spares(disk)
        await disk._writes.submit(lambda: None)
        assert not await spares(disk)
        clock.turn(1.5)
        assert not await spares(disk)
        await until_it_answers(disk)
        assert await spares(disk)


async def test_a_file_that_fails_while_it_is_gone_through_leaves_the_guard_silent(
    place: Path, clock: Clock
) -> None:
    disk = made(place, clock)

    class Failing(DiskFile):
        def survey(self) -> bool:
            raise lmdb.DiskError("Input/output error")

    disk._file = Failing(place, 8 * 2**20, "boot", guarded=True)
    await disk.start()
    for _ in range(10):
        await disk._writes.submit(lambda: None)
        assert not await spares(disk)
    await put(disk, KEY)
    assert await disk.get(KEY) is not None
    await disk.close()


# -- restarts ---------------------------------------------------------------------------------


async def test_after_a_restart_it_answers_at_once(place: Path, clock: Clock) -> None:
    async with opened(place, clock) as disk:
        await put(disk, KEY)
        await until_it_answers(disk)
    async with opened(place, clock) as disk:
        assert not guard_of(disk).wanting
        assert await spares(disk)
        assert await disk.get(KEY) is not None


async def test_what_was_saved_before_somebody_else_wrote_is_not_believed(
    place: Path, clock: Clock
) -> None:
    async with opened(place, clock) as disk:
        await put(disk, KEY)
        await until_it_answers(disk)
    async with opened(place, clock, guarded=False) as disk:
        await put(disk, OTHER)
    async with opened(place, clock) as disk:
        assert await disk.get(OTHER) is not None
        await until_it_answers(disk)
        assert await disk.get(OTHER) is not None
        assert await spares(disk)


async def test_opening_and_closing_alone_outdates_nothing(place: Path, clock: Clock) -> None:
    async with opened(place, clock) as disk:
        await until_it_answers(disk)
    async with opened(place, clock, guarded=False):
        pass
    async with opened(place, clock) as disk:
        assert await spares(disk)


def removed(place: Path) -> None:
    (place / "guard").unlink()


def garbage(place: Path) -> None:
    (place / "guard").write_bytes(os.urandom(5000))


def a_folder(place: Path) -> None:
    removed(place)
    (place / "guard").mkdir()


def of_a_file_that_was_set_aside(place: Path) -> None:
    (place / "entries.mdb").write_bytes(b"garbage" * 5000)


@pytest.mark.parametrize(
    "spoil",
    [removed, garbage, a_folder, of_a_file_that_was_set_aside],
    ids=lambda spoil: spoil.__name__,
)
async def test_a_saved_guard_that_is_gone_or_odd_is_made_anew(
    place: Path, clock: Clock, spoil: Callable[[Path], None]
) -> None:
    async with opened(place, clock) as disk:
        await put(disk, KEY)
        await until_it_answers(disk)
    spoil(place)
    async with opened(place, clock) as disk:
        await put(disk, OTHER)
        await until_it_answers(disk)
        assert await disk.get(OTHER) is not None
        assert (await disk.get(KEY) is not None) == (disk.set_aside == 0)
        assert await spares(disk)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "flush", "get", "delete", "clear", "reopen", "others", "fill"]),
            st.integers(0, 9),
        ),
        max_size=60,
    )
)
def test_nothing_that_was_put_is_ever_ruled_out(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def play(place: Path) -> None:
        clock, held = Clock(1000.0), set[int]()
        disk = made(place, clock)
        await disk.start()
        for what, number in steps:
            clock.turn(2.0)
            match what:
                case "put":
                    await disk.put(entry(key(number), stored_at=clock(), lifetime=LONG))
                    held.add(number)
                case "flush":
                    await disk.flush()
                case "get":
                    assert (await disk.get(key(number)) is not None) == (number in held)
                case "delete":
                    await disk.delete(key(number))
                    held.discard(number)
                case "clear":
                    await disk.clear()
                    held.clear()
                case "reopen":
                    await disk.close()
                    disk = made(place, clock)
                    await disk.start()
                case "others":
                    disk._file._tally.step()
                case "fill":
                    await until_it_answers(disk)
        await disk.flush()
        assert held == {number for number in range(10) if await disk.get(key(number)) is not None}
        await disk.close()

    asyncio.run(play(tmp_path_factory.mktemp("disk")))


# -- several processes ------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from pathlib import Path
from support.cranked import Clock
from support.tier_contract import entry
from proxy.model.entry import CacheKey, Lifetime
from proxy.tiers.codec import Codec
from proxy.tiers.l2_disk import L2Disk

EPOCH, LONG = 1_700_000_000.0, Lifetime(1e6)

async def main():
    clock, disk, spared = Clock(), None, 0
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        now, what, word = line.split(maxsplit=2)
        clock.now = float(now)
        word, answer = word.strip(), "done"
        key = CacheKey("scope", word.encode().rjust(32))
        match what:
            case "open":
                disk = L2Disk(Path(word), codec=Codec(), max_bytes=4 * 2**20, max_entry_bytes=65536,
                              clock=clock, wall=lambda: EPOCH + clock(), read_timeout_s=30,
                              write_timeout_s=30, guarded=True)
                await disk.start()
            case "close":
                spared += disk.spared
                await disk.close()
            case "put":
                await disk.get(key)  # or a clearing by others would be news, and the put void
                await disk.put(entry(key, stored_at=clock(), lifetime=LONG))
                await disk.flush()
            case "get":
                answer = await disk.get(key) is not None
            case "delete":
                await disk.delete(key)
            case "clear":
                await disk.clear()
            case "fill":
                while disk._file.guard.wanting:
                    disk._refill._rested_at = 0.0
                    disk._refill.look()
                    await disk._writes.submit(lambda: None)
            case "race":
                found = []
                for number in range(300):
                    clock.turn(2.0)
                    key = CacheKey("scope", f"{word} {number}".encode().rjust(32))
                    await disk.put(entry(key, stored_at=clock(), lifetime=LONG))
                    await disk.flush()
                    found.append(await disk.get(key) is not None)
                answer = all(found)
            case "spared":
                answer = spared
        print(answer, flush=True)

asyncio.run(main())
"""


class Child:
    """A process of its own that opens and closes guarded tiers as it is told."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self.hear() == "ready"

    def say(self, now: float, what: str, word: str = "-") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{now} {what} {word}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, now: float, what: str, word: str = "-") -> str:
        self.say(now, what, word)
        return self.hear()


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Child, Child]]:
    children = Child(), Child()
    yield children
    for child in children:
        child.process.communicate()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from(["put", "put", "get", "get", "delete", "clear", "reopen", "fill"]),
            st.integers(0, 7).map(str),
        ),
        max_size=40,
    )
)
@example(steps=[(0, "clear", "0"), (1, "fill", "0"), (1, "put", "0")])  # a put that was void
def test_processes_with_guards_find_what_they_would_find_without(
    steps: list[tuple[int, str, str]],
    pair: tuple[Child, Child],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place, times, held = str(tmp_path_factory.mktemp("disk")), count(2000, 2), set[str]()
    for child in pair:
        assert child.ask(next(times), "open", place) == "done"
    for who, what, word in [*steps, *((w, "get", str(n)) for n in range(8) for w in (0, 1))]:
        child, now = pair[who], next(times)
        match what:
            case "reopen":
                assert child.ask(now, "close") == "done"
                assert child.ask(now, "open", place) == "done"
                continue
            case "get":
                assert child.ask(now, "get", word) == str(word in held)
                continue
            case "put":
                held.add(word)
            case "delete":
                held.discard(word)
            case "clear":
                held.clear()
        assert child.ask(now, what, word) == "done"
    for child in pair:
        assert child.ask(next(times), "close") == "done"


def test_processes_that_write_at_once_find_all_they_wrote(
    pair: tuple[Child, Child], tmp_path: Path
) -> None:
    one, two = pair
    for child in pair:
        assert child.ask(5000, "open", str(tmp_path)) == "done"
    one.say(5000, "race", "one")
    two.say(5000, "race", "two")
    assert (one.hear(), two.hear()) == ("True", "True")
    for child, word in ((one, "two"), (two, "one")):
        assert child.ask(6000, "fill") == "done"
        found = [child.ask(6000, "get", f"{word} {number}") for number in range(300)]
        assert set(found) == {"True"}
        for number in range(300):
            assert child.ask(6000, "get", f"neither {number}") == "False"
        assert child.ask(6000, "close") == "done"
        assert int(child.ask(6000, "spared")) > 250
