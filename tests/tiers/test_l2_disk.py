"""The disk tier: what every tier promises, across restarts, processes, kills and broken files."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb
import pytest
from support.cranked import Clock
from support.tier_contract import KEY, OTHER, TierContract, entry, same

from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.errors import TierError
from proxy.tiers.codec import Codec, EncryptionKey, Odd
from proxy.tiers.disk_file import DiskFile, Write
from proxy.tiers.l2_disk import L2Disk

ROOT = Path(__file__).parents[2]
EPOCH = 1_700_000_000.0  # seconds since 1970 when the hand-turned clock stands at 0
UNHURRIED_S = 30.0  # how fast this machine is says nothing


@asynccontextmanager
async def opened(directory: Path, clock: Clock, **settings: Any) -> AsyncIterator[L2Disk]:
    disk = made(directory, clock, **settings)
    await disk.start()
    try:
        yield disk
    finally:
        await disk.close()


def made(directory: Path, clock: Clock, **settings: Any) -> L2Disk:
    given: dict[str, Any] = {
        "codec": Codec(),
        "max_bytes": 4 * 2**20,
        "max_entry_bytes": TierContract.max_entry_bytes,
        "clock": clock,
        "wall": lambda: EPOCH + clock(),
        "read_timeout_s": UNHURRIED_S,
        "write_timeout_s": UNHURRIED_S,
        "boot": "this boot",
    }
    return L2Disk(directory, **(given | settings))


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "disk"


@pytest.fixture
async def disk(place: Path, clock: Clock) -> AsyncIterator[L2Disk]:
    async with opened(place, clock) as disk:
        yield disk


def key(number: int) -> CacheKey:
    return CacheKey("scope", number.to_bytes(32))


def noise(length: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(length)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def names(place: Path, pattern: str) -> list[str]:
    return [file.name for file in place.glob(pattern)]


def make(place: Path, mode: int = 0o700) -> None:
    place.mkdir(parents=True)
    place.chmod(mode)


def link(place: Path, target: Path) -> None:
    place.symlink_to(target)


class TestTheQueue(TierContract):
    """The contract, where most is answered from what waits to be written."""

    @pytest.fixture
    async def tier(self, place: Path, clock: Clock) -> AsyncIterator[L2Disk]:
        async with opened(place, clock) as disk:
            yield disk


class Flushing(L2Disk):
    """A disk tier whose every put is on the disk when it returns."""

    async def put(self, entry: Entry) -> bool:
        taken = await super().put(entry)
        await self.flush()
        return taken


class TestTheFile(TierContract):
    """The contract, where all is answered from the file."""

    keys: tuple[EncryptionKey, ...] = ()

    @pytest.fixture
    async def tier(self, place: Path, clock: Clock) -> AsyncIterator[L2Disk]:
        tier = Flushing(
            place,
            codec=Codec(keys=self.keys),
            max_bytes=4 * 2**20,
            max_entry_bytes=self.max_entry_bytes,
            clock=clock,
            wall=lambda: EPOCH + clock(),
            read_timeout_s=UNHURRIED_S,
            write_timeout_s=UNHURRIED_S,
        )
        await tier.start()
        yield tier
        await tier.close()


class TestTheEncryptedFile(TestTheFile):
    keys = (EncryptionKey(7, bytes(32)),)


# -- restarts ---------------------------------------------------------------------------------


async def test_entries_outlive_the_process_and_their_age_goes_on(place: Path, clock: Clock) -> None:
    async with opened(place, clock) as disk:
        await disk.put(entry())
    restarted = Clock(5.0)  # a monotonic clock of its own
    async with opened(place, restarted, wall=lambda: EPOCH + 1020.0) as disk:
        found = await disk.get(KEY)
        assert found is not None
        assert found.age(restarted()) == pytest.approx(20.0)
        assert disk.set_aside == 0


async def test_only_the_owner_can_read_it(disk: L2Disk, place: Path) -> None:
    await disk.put(entry())
    await disk.flush()
    assert mode(place) == 0o700
    assert {mode(place / name) & 0o077 for name in names(place, "*.mdb*")} == {0}


async def test_a_directory_open_to_others_is_closed_to_them(place: Path, clock: Clock) -> None:
    make(place, 0o777)
    async with opened(place, clock):
        assert mode(place) == 0o700


async def test_a_link_in_place_of_the_directory_is_refused(
    place: Path, tmp_path: Path, clock: Clock
) -> None:
    make(tmp_path / "elsewhere")
    make(place.parent)
    link(place, tmp_path / "elsewhere")
    with pytest.raises(TierError):
        await made(place, clock).start()


async def test_a_place_that_cannot_be_made_is_a_tier_error(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").touch()
    disk = made(tmp_path / "file" / "disk", clock)
    with pytest.raises(TierError):
        await disk.start()
    for call in (disk.get(KEY), disk.put(entry()), disk.delete(KEY), disk.clear()):
        with pytest.raises(TierError):
            await call
    await disk.close()


async def test_two_tiers_in_one_process_do_not_share_a_file(disk: L2Disk, place: Path) -> None:
    with pytest.raises(TierError, match="already open"):
        await made(place, Clock()).start()
    await disk.put(entry())
    await disk.flush()
    assert await disk.get(KEY) is not None


# -- broken files -----------------------------------------------------------------------------


def another_database(file: Path) -> None:
    with lmdb.open(str(file), subdir=False) as env, env.begin(write=True) as txn:
        txn.put(b"somebody", b"else's")


def another_release(file: Path) -> None:
    with lmdb.open(str(file), subdir=False, max_dbs=3) as env, env.begin(write=True) as txn:
        about = env.open_db(b"about", txn=txn)
        txn.put(b"format", b"sidecache 999", db=about)


def cut_short(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def garbage(file: Path) -> None:
    file.write_bytes(noise(50_000))


def torn_head(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.write(noise(8192))


def empty_table(file: Path) -> None:
    with lmdb.open(str(file), subdir=False) as env, env.begin(write=True) as txn:
        txn.put(b"about", b"no table")


@pytest.mark.parametrize(
    "broken",
    [another_database, another_release, cut_short, garbage, torn_head, empty_table],
    ids=lambda broken: broken.__name__,
)
async def test_a_file_that_is_broken_or_not_ours_is_set_aside_and_a_new_one_begun(
    place: Path, clock: Clock, broken: Callable[[Path], None]
) -> None:
    file = place / "entries.mdb"
    async with opened(place, clock) as disk:
        for number in range(50):
            await disk.put(entry(key(number), noise(5000)))
    if broken in {another_database, another_release, empty_table}:
        file.unlink()
    broken(file)
    async with opened(place, clock) as disk:
        assert disk.set_aside == 1
        assert (place / "entries.mdb.broken-1").exists()
        assert await disk.get(key(1)) is None
        await disk.put(entry())
        await disk.flush()
        assert same(await disk.get(KEY), entry())


async def test_a_file_left_open_when_the_machine_went_down_is_not_trusted(
    place: Path, clock: Clock
) -> None:
    disk = made(place, clock, boot="monday")
    await disk.start()
    await disk.put(entry())
    await disk.flush()
    killed = place.with_name("killed")
    shutil.copytree(place, killed)
    await disk.close()

    async with opened(killed, clock, boot="tuesday") as after:
        assert after.set_aside == 1
        assert await after.get(KEY) is None
    async with opened(place, clock, boot="tuesday") as after:  # which was closed well
        assert after.set_aside == 0
        assert await after.get(KEY) is not None


async def test_a_file_found_torn_is_left_alone_and_set_aside_by_the_next_to_open_it(
    place: Path, clock: Clock
) -> None:
    async with opened(place, clock) as disk:
        await disk.put(entry())
        await disk.flush()
        with pytest.raises(TierError):
            disk._guarded(lambda: raising(lmdb.CorruptedError("a page makes no sense")))
        with pytest.raises(TierError, match="torn"):
            await disk.get(KEY)
    async with opened(place, clock) as disk:
        assert disk.set_aside == 1
        assert await disk.get(KEY) is None


def raising(error: Exception) -> None:
    raise error


async def test_only_the_last_broken_file_is_kept(place: Path, clock: Clock) -> None:
    for number in (1, 2, 3):
        async with opened(place, clock) as disk:
            assert disk.set_aside == (number > 1)
        garbage(place / "entries.mdb")
    assert names(place, "*.broken-*") == ["entries.mdb.broken-2"]


@pytest.mark.parametrize("length", [3000, 20_000])  # decoded on the loop, and in the lane
async def test_flipped_bytes_in_a_value_are_a_miss(place: Path, clock: Clock, length: int) -> None:
    codec = Codec()
    body = noise(length)
    async with opened(place, clock) as disk:
        await disk.put(entry(body=body))
    file = place / "entries.mdb"
    raw = file.read_bytes()
    assert body[:1000] in raw
    file.write_bytes(raw.replace(body[500:504], b"flip"))
    async with opened(place, clock, codec=codec) as disk:
        assert await disk.get(KEY) is None
        assert codec.odd[Odd.CORRUPT] == 1
        await disk.put(entry())
        await disk.flush()
        assert same(await disk.get(KEY), entry())


# -- room -------------------------------------------------------------------------------------


async def test_the_file_stays_within_its_budget_and_what_would_die_soonest_goes_first(
    disk: L2Disk, place: Path
) -> None:
    for number in range(600):
        await disk.put(entry(key(number), noise(20_000, number), lifetime=Lifetime(60 + number)))
        if number % 20 == 0:
            await disk.flush()
    await disk.flush()
    assert (place / "entries.mdb").stat().st_size <= 4 * 2**20
    assert disk.evicted > 0
    assert disk.failed == disk.dropped == 0
    found = [number for number in range(600) if await disk.get(key(number)) is not None]
    assert len(found) > 80
    assert found == list(range(600 - len(found), 600))


async def test_small_entries_fill_their_share_and_no_more(disk: L2Disk, place: Path) -> None:
    for number in range(12_000):
        await disk.put(entry(key(number), b"small", lifetime=Lifetime(60 + number)))
        if number % 500 == 0:
            await disk.flush()
    await disk.flush()
    assert disk.evicted > 0
    assert disk.failed == 0
    assert (place / "entries.mdb").stat().st_size <= 4 * 2**20


async def test_the_dead_are_swept_out_by_later_writes(disk: L2Disk, clock: Clock) -> None:
    for number in range(100):
        await disk.put(entry(key(number)))
    await disk.flush()
    full = disk.bytes
    clock.turn(61.0)
    for number in range(100, 110):
        await disk.put(entry(key(number), stored_at=clock()))
        await disk.flush()
    assert disk.expired == 100
    assert disk.bytes < full / 5


async def test_room_is_made_when_the_map_is_full_in_spite_of_the_budget(place: Path) -> None:
    """Free pages that are not side by side cannot hold a large value."""
    file = DiskFile(place, 2**20, "boot")
    file.open()
    for number in range(2000):
        size = 100 if number % 7 else 200_000
        file.write([Write(number.to_bytes(32), noise(size), 2e9 + number)], EPOCH)
        assert file.read(number.to_bytes(32)) == noise(size)
    assert (place / "entries.mdb").stat().st_size <= 2**20
    file.close()


def test_what_can_never_fit_leaves_the_rest_in_place(place: Path) -> None:
    file = DiskFile(place, 2**20, "boot")
    file.open()
    file.write([Write(b"a" * 32, b"small", 2e9)], EPOCH)
    with pytest.raises(lmdb.MapFullError):
        file.write([Write(b"b" * 32, bytes(2 * 2**20), 2e9)], EPOCH)
    assert file.read(b"b" * 32) is None
    file.write([Write(b"c" * 32, b"small", 2e9)], EPOCH)
    assert file.read(b"c" * 32) == b"small"
    file.close()


# -- disks that fail or hang ------------------------------------------------------------------


class Stuck(DiskFile):
    """A file on a disk that hangs, or fails, when told to."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, 4 * 2**20, "boot")
        self.reading, self.writing = threading.Event(), threading.Event()
        self.reading.set()
        self.writing.set()
        self.error: Exception | None = None
        self.full = False  # so that nothing can be put, though it can be deleted
        self.writes: list[int] = []  # how many words each had

    def read_some(self, *args: Any) -> Any:
        self.reading.wait()
        return super().read_some(*args)

    def write(self, *args: Any, **kwargs: Any) -> None:
        self.writing.wait()
        if self.error is not None:
            raise self.error
        if self.full and any(write.value is not None for write in args[0]):
            raise lmdb.DiskError("No space left on device")
        self.writes.append(len(args[0]))
        super().write(*args, **kwargs)


@asynccontextmanager
async def stuck(place: Path, clock: Clock, **settings: Any) -> AsyncIterator[tuple[L2Disk, Stuck]]:
    disk = made(place, clock, **settings)
    disk._file = file = Stuck(place)
    await disk.start()
    try:
        yield disk, file
    finally:
        file.error = None
        file.reading.set()
        file.writing.set()
        await disk.close()


async def test_a_read_that_hangs_is_given_up_and_those_after_it_do_not_wait(
    place: Path, clock: Clock
) -> None:
    async with stuck(place, clock, read_timeout_s=0.02) as (disk, file):
        file.reading.clear()
        with pytest.raises(TierError, match="within"):
            await disk.get(KEY)
        for _ in range(1000):
            with pytest.raises(TierError, match="still busy"):
                await disk.get(KEY)
        assert disk.late == 1001
        file.reading.set()
        await disk._reads.submit(lambda: None)  # it has come back
        disk._reading.limit_s = UNHURRIED_S
        assert await disk.get(KEY) is None


async def test_the_loop_goes_on_while_the_disk_hangs(place: Path, clock: Clock) -> None:
    async with stuck(place, clock) as (disk, file):
        file.reading.clear()
        file.writing.clear()
        await disk.put(entry())
        reading = asyncio.ensure_future(disk.get(OTHER))  # noqa: TID251 # ended below
        deleting = asyncio.ensure_future(disk.delete(OTHER))  # noqa: TID251 # ended below
        for _ in range(100):
            await asyncio.sleep(0)
        assert not reading.done()
        assert not deleting.done()
        assert same(await disk.get(KEY), entry())  # what waits can be read all the same
        file.reading.set()
        file.writing.set()
        assert await reading is None
        await deleting


async def test_who_waits_for_an_entry_goes_on_once_others_find_it(
    place: Path, clock: Clock
) -> None:
    async with stuck(place, clock) as (disk, file):
        await disk.settled(KEY)  # nothing waits
        file.writing.clear()
        await disk.put(entry(OTHER))
        await disk.put(entry())
        waiting = asyncio.ensure_future(disk.settled(KEY))  # noqa: TID251 # ended below
        await asyncio.sleep(0)
        assert not waiting.done()
        file.writing.set()
        await waiting
        assert disk._file.read(KEY.digest) is not None


async def test_who_waits_for_an_entry_that_cannot_be_written_goes_on_too(
    place: Path, clock: Clock
) -> None:
    async with stuck(place, clock) as (disk, file):
        file.error = lmdb.DiskError("no room")
        await disk.put(entry())
        async with asyncio.timeout(UNHURRIED_S):
            await disk.settled(KEY)
        assert disk.failed == 1


async def test_puts_wait_for_company_and_are_written_together(place: Path, clock: Clock) -> None:
    async with stuck(place, clock, gather_s=UNHURRIED_S) as (disk, file):
        for number in range(3):
            await disk.put(entry(key(number)))
        await disk._writes.submit(lambda: None)
        assert file.writes == []
        assert await disk.get(key(1)) is not None
        await disk.flush()
        assert file.writes[0] == 3


async def test_but_not_for_long(place: Path, clock: Clock) -> None:
    async with stuck(place, clock, gather_s=0.001) as (disk, file), asyncio.timeout(UNHURRIED_S):
        for number in range(2):
            await disk.put(entry(key(number)))
            await disk._writing.turned.wait()
        assert file.writes == [1, 1]


async def test_a_batch_that_is_full_waits_for_nobody(place: Path, clock: Clock) -> None:
    async with stuck(place, clock, gather_s=UNHURRIED_S) as (disk, file):
        for number in range(64):
            await disk.put(entry(key(number)))
        await disk._writes.submit(lambda: None)
        assert file.writes == [64]


async def test_nor_does_what_somebody_waits_for(place: Path, clock: Clock) -> None:
    async with (
        stuck(place, clock, gather_s=10 * UNHURRIED_S) as (disk, file),
        asyncio.timeout(UNHURRIED_S),
    ):
        await disk.put(entry())
        await disk.settled(KEY)
        assert disk._file.read(KEY.digest) is not None
        file.writing.clear()
        await disk.put(entry(OTHER))
        await disk.put(entry(key(1)))
        settling = [asyncio.ensure_future(disk.settled(each)) for each in (OTHER, key(1))]  # noqa: TID251 # awaited below
        await asyncio.sleep(0)
        await disk.put(entry(key(2)))  # behind a batch that is on its way
        settling.append(asyncio.ensure_future(disk.settled(key(2))))  # noqa: TID251 # awaited below
        file.writing.set()
        await asyncio.gather(*settling)
        assert file.writes == [1, 2, 1]


async def test_a_deletion_is_not_lost_with_the_puts_beside_it(place: Path, clock: Clock) -> None:
    async with stuck(place, clock, gather_s=UNHURRIED_S) as (disk, file):
        await disk.put(entry())
        await disk.flush()
        file.full = True
        await disk.put(entry(OTHER))
        await asyncio.gather(disk.delete(KEY), disk.delete(key(1)))
        assert (disk.failed, disk.dropped) == (1, 1)
        assert disk._file.read(KEY.digest) is None
        assert await disk.get(OTHER) is None


async def test_many_may_flush_at_once(place: Path, clock: Clock) -> None:
    async with stuck(place, clock) as (disk, file):

        async def put(number: int) -> None:
            await disk.put(entry(key(number)))
            await disk.flush()

        async with asyncio.timeout(UNHURRIED_S):
            await asyncio.gather(*map(put, range(20)))
        assert sum(file.writes) == 20


async def test_writes_that_hang_take_nothing_from_reads(place: Path, clock: Clock) -> None:
    async with stuck(place, clock) as (disk, file):
        await disk.put(entry())
        await disk.flush()
        file.writing.clear()
        await disk.put(entry(OTHER))
        assert same(await disk.get(KEY), entry())


async def test_the_queue_is_bounded_and_its_oldest_go_first(place: Path, clock: Clock) -> None:
    async with stuck(place, clock, max_queued_bytes=100_000) as (disk, file):
        await disk.put(entry(key(1), b"old"))
        await disk.flush()
        file.writing.clear()
        await disk.put(entry(OTHER))  # on its way
        for number in range(1, 1001):
            await disk.put(entry(key(number), noise(1000)))
        assert disk._writing.pending.size <= 100_000
        assert disk.dropped > 900
        assert await disk.get(key(1)) is None  # not the older one that is still on the disk
        assert same(await disk.get(key(1000)), entry(key(1000), noise(1000)))
        file.writing.set()
        await disk.flush()
        assert await disk.get(key(1)) is None
        assert same(await disk.get(key(1000)), entry(key(1000), noise(1000)))


async def test_what_waits_to_be_forgotten_is_bounded_too(place: Path, clock: Clock) -> None:
    async with stuck(place, clock) as (disk, file):
        await disk.put(entry())
        await disk.flush()
        file.writing.clear()
        await disk.put(entry(OTHER))
        for number in range(70_000):
            disk._writing.pending.delete(number.to_bytes(32))
        assert len(disk._writing.pending.deletes) < 65_536
        assert await disk.get(KEY) is None  # all is to be forgotten
        file.writing.set()
        await disk.flush()
        assert await disk.get(KEY) is None


async def test_a_full_disk_turns_writing_off_for_a_while_and_reading_goes_on(
    place: Path, clock: Clock
) -> None:
    async with stuck(place, clock) as (disk, file):
        long = Lifetime(3600.0)
        await disk.put(entry(KEY, b"old", lifetime=long))
        await disk.put(entry(OTHER, lifetime=long))
        await disk.flush()
        file.error = lmdb.DiskError("No space left on device")
        await disk.put(entry(KEY, b"new", lifetime=long))
        with pytest.raises(TierError):
            await disk.flush()
        assert disk.failed >= 1
        assert await disk.get(KEY) is None  # what is superseded is not served
        assert await disk.get(OTHER) is not None
        file.error = None
        assert not await disk.put(entry(key(1), lifetime=long))
        assert disk.declined == 1
        clock.turn(31.0)
        assert await disk.put(entry(key(1), lifetime=long))
        await disk.flush()
        assert await disk.get(key(1)) is not None
        assert await disk.get(KEY) is None


async def test_a_deletion_that_cannot_be_promised_is_an_error_and_holds_here(
    place: Path, clock: Clock
) -> None:
    async with stuck(place, clock) as (disk, file):
        await disk.put(entry())
        await disk.put(entry(OTHER))
        await disk.flush()
        file.error = OSError(5, "Input/output error")
        with pytest.raises(TierError):
            await disk.delete(KEY)
        assert await disk.get(KEY) is None
        assert await disk.get(OTHER) is not None
        with pytest.raises(TierError):
            await disk.clear()
        assert await disk.get(OTHER) is None
        file.error = None
        await disk.flush()
        assert await disk.get(OTHER) is None


async def test_what_is_deleted_while_it_is_read_is_not_found(place: Path, clock: Clock) -> None:
    async with stuck(place, clock) as (disk, file):
        await disk.put(entry())
        await disk.flush()
        file.reading.clear()
        reading = asyncio.ensure_future(disk.get(KEY))  # noqa: TID251 # ended below
        await asyncio.sleep(0)
        await disk.delete(KEY)
        file.reading.set()
        assert await reading is None


async def test_callers_that_give_up_leave_nothing_behind(place: Path, clock: Clock) -> None:
    async with stuck(place, clock) as (disk, file):
        await disk.put(entry())
        await disk.flush()
        file.reading.clear()
        reads = [asyncio.ensure_future(disk.get(KEY)) for _ in range(100)]  # noqa: TID251 # ended below
        await asyncio.sleep(0)
        for read in reads[::2]:
            read.cancel()
        file.reading.set()
        found = await asyncio.gather(*reads, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in found[::2])
        assert all(isinstance(each, Entry) and same(each, entry()) for each in found[1::2])


async def test_a_disk_that_hangs_does_not_hold_up_the_end(place: Path, clock: Clock) -> None:
    async with stuck(place, clock) as (disk, file):
        file.writing.clear()
        await disk.put(entry())
        disk._write_timeout_s = 0.02
        await disk.close()
        assert disk.failed == 2  # to write, and to close
        with pytest.raises(TierError):
            await disk.get(KEY)


FULL = """
import asyncio, resource, sys, time
from pathlib import Path
from support.tier_contract import entry
from proxy.model.entry import CacheKey
from proxy.tiers.codec import Codec
from proxy.tiers.l2_disk import L2Disk

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    disk = L2Disk(Path(sys.argv[1]), codec=Codec(compress_above=2**20), max_bytes=2**26,
                  max_entry_bytes=65536, clock=time.monotonic, wall=time.time,
                  read_timeout_s=30, write_timeout_s=30)
    await disk.start()
    keys = [CacheKey("scope", number.to_bytes(32)) for number in range(100)]
    taken = 0
    while await disk.put(entry(keys[taken], bytes(20_000), stored_at=time.monotonic())):
        taken += 1
        await disk.flush()
    found = [await disk.get(key) is not None for key in keys]
    print(disk.failed, disk.dropped, disk.declined, 20 < taken < 60, found.index(False) - taken)
    await disk.close()

asyncio.run(main())
"""


def test_a_file_that_cannot_grow_is_read_on(place: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(place)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=UNHURRIED_S,
        check=True,
    )
    assert ended.stdout.split() == ["1", "1", "1", "True", "-1"]  # the last taken was lost


async def test_an_entry_no_envelope_can_hold_is_declined(disk: L2Disk) -> None:
    await disk.put(entry())
    await disk.flush()
    await disk.put(replace(entry(), head=entry().head._replace(status=2**16)))
    await disk.flush()
    assert await disk.get(KEY) is None
    assert (disk.written, disk.declined) == (1, 1)


async def test_it_counts_what_it_does(disk: L2Disk) -> None:
    await disk.put(entry())
    await disk.flush()
    await disk.get(KEY)
    await disk.get(OTHER)
    assert (disk.hits, disk.misses, disk.written) == (1, 1, 1)
    assert disk.bytes > 0


# -- several processes ------------------------------------------------------------------------

CHILD = """
import asyncio, sys, time
from pathlib import Path
from support.tier_contract import KEY, OTHER, entry, same
from proxy.model.entry import CacheKey, Lifetime
from proxy.tiers.codec import Codec
from proxy.tiers.l2_disk import L2Disk

def body(number):
    return (str(number).encode() + b",") * (number % 4000)

async def main():
    disk = L2Disk(Path(sys.argv[1]), codec=Codec(), max_bytes=4 * 2**20, max_entry_bytes=65536,
                  clock=time.monotonic, wall=time.time, read_timeout_s=30, write_timeout_s=30)
    await disk.start()
    loop = asyncio.get_running_loop()
    number = 0
    print("open", disk.set_aside, flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        match line.split():
            case ["put", text]:
                await disk.put(entry(body=text.encode(), stored_at=time.monotonic()))
                await disk.flush()
                print("done", flush=True)
            case ["get"]:
                found = await disk.get(KEY)
                print(found and found.body.decode(), flush=True)
            case ["hold"]:
                txn = disk._file._file.env.begin(write=True)
                print("held", flush=True)
            case ["clear"]:
                await disk.clear()
                print("done", flush=True)
            case ["storm"]:
                while True:
                    for _ in range(40):
                        number += 1
                        key = CacheKey("scope", (number % 700).to_bytes(32))
                        life = Lifetime(100.0 + number % 97)
                        await disk.put(entry(key, body(number), stored_at=time.monotonic(),
                                             lifetime=life))
                        if number % 50 == 0:
                            await disk.delete(key)
                    await disk.flush()
                    if number == 200:
                        print("storming", flush=True)
    await disk.close()

asyncio.run(main())
"""


class Child:
    """A process of its own with the tier open."""

    def __init__(self, place: Path) -> None:
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self.hear().startswith("open")

    def say(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, words: str) -> str:
        self.say(words)
        return self.hear()

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        self.process.communicate()


def test_processes_share_entries_and_clearings(place: Path) -> None:
    one, two = Child(place), Child(place)
    try:
        assert one.ask("put first") == "done"
        assert two.ask("get") == "first"
        assert two.ask("put second") == "done"
        assert one.ask("get") == "second"
        assert one.ask("clear") == "done"
        assert two.ask("get") == "None"
        two.end(kill=True)
        assert one.ask("put third") == "done"
        three = Child(place)
        assert three.ask("get") == "third"
        three.end()
    finally:
        one.end()
        two.end(kill=True)


async def test_a_process_that_stops_with_the_lock_takes_nothing_from_readers(
    disk: L2Disk, place: Path
) -> None:
    await disk.put(entry())
    await disk.flush()
    other = Child(place)
    try:
        assert other.ask("hold") == "held"
        await disk.put(entry(OTHER))
        assert same(await disk.get(KEY), entry())
        assert same(await disk.get(OTHER), entry(OTHER))
        disk._write_timeout_s = 0.02
        with pytest.raises(TierError):
            await disk.delete(KEY)
    finally:
        other.end(kill=True)
    disk._write_timeout_s = UNHURRIED_S
    await disk.flush()
    assert await disk.get(KEY) is None
    assert same(await disk.get(OTHER), entry(OTHER))


async def test_what_waited_in_another_process_does_not_outlive_a_clearing(
    place: Path, clock: Clock
) -> None:
    async with stuck(place, clock) as (disk, file):
        await disk.put(entry())
        await disk.flush()
        file.writing.clear()
        await disk.put(entry(OTHER))
        other = Child(place)
        assert other.ask("clear") == "done"
        other.end()
        file.writing.set()
        await disk.flush()
        assert await disk.get(KEY) is None
        assert await disk.get(OTHER) is None
        await disk.put(entry(OTHER))
        await disk.flush()
        assert await disk.get(OTHER) is not None


def kill_again_and_again(place: Path, times: int, seed: int) -> None:
    """Two processes write; one is killed, then looked at what is there, and so on."""
    dice = random.Random(seed)
    for _ in range(times):
        writers = [Child(place), Child(place)]
        for writer in writers:
            writer.say("storm")
        for writer in writers:
            assert writer.hear() == "storming"
            time.sleep(dice.random() * 0.05)  # to be killed anywhere, in mid-commit too
            writer.end(kill=True)
        asyncio.run(look(place))


async def look(place: Path) -> None:
    codec = Codec()
    disk = L2Disk(
        place,
        codec=codec,
        max_bytes=4 * 2**20,
        max_entry_bytes=65_536,
        clock=time.monotonic,
        wall=time.time,  # noqa: TID251 # as the processes that wrote
        read_timeout_s=UNHURRIED_S,
        write_timeout_s=2.0,
    )
    await disk.start()
    assert disk.set_aside == 0
    found = [await disk.get(key(number)) for number in range(700)]
    await disk.close()
    assert sum(codec.odd.values()) == 0
    alive = [each for each in found if each is not None]
    assert len(alive) > 50
    for each in alive:
        number = int(each.body.partition(b",")[0] or b"0")
        assert each.body == f"{number},".encode() * (number % 4000)
        assert number % 700 == int.from_bytes(each.key.digest) or number == 0


def test_a_process_killed_while_it_writes_leaves_a_file_that_opens_and_is_right(
    place: Path,
) -> None:
    kill_again_and_again(place, 4, seed=9)


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(5))
def test_a_hundred_processes_killed_while_they_write_leave_a_file_that_is_right(
    place: Path, part: int
) -> None:
    kill_again_and_again(place, 10, seed=part)
