"""Reads of the disk: they go together, come back together, and none waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from proxy.lane import Lane
from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from proxy.tiers.disk_reads import DiskReads

UNHURRIED_S = 30.0


def key(number: int) -> CacheKey:
    return CacheKey("scope", number.to_bytes(32))


class Disk:
    """What is read: of each key its number, of a few keys at a time if told so."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.parts = 1000
        self.going = threading.Event()
        self.going.set()
        self.error: TierError | None = None

    def read(self, keys: Sequence[CacheKey]) -> list[int | None]:
        self.going.wait()
        self.batches.append(len(keys))
        if self.error is not None:
            raise self.error
        return [int.from_bytes(each.digest) or None for each in keys[: self.parts]]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    lane = Lane("reads")
    yield lane
    lane.stop()


@pytest.fixture
async def reads(disk: Disk, lane: Lane) -> AsyncIterator[DiskReads[int]]:
    reads = DiskReads(disk.read, UNHURRIED_S)
    reads.start(lane)
    yield reads
    disk.going.set()
    reads.close()
    await lane.submit(lambda: None)


async def test_what_is_asked_for_in_one_turn_is_read_at_once(
    reads: DiskReads[int], disk: Disk
) -> None:
    found = await asyncio.gather(*(reads.get(key(number)) for number in range(20)))
    assert found == [None, *range(1, 20)]
    assert disk.batches == [20]


async def test_a_batch_is_bounded(reads: DiskReads[int], disk: Disk) -> None:
    found = await asyncio.gather(*(reads.get(key(number)) for number in range(150)))
    assert found == [None, *range(1, 150)]
    assert disk.batches == [64, 64, 22]


async def test_who_asks_later_does_not_wait_for_all_of_a_batch_that_is_much(
    reads: DiskReads[int], disk: Disk
) -> None:
    disk.parts = 2
    disk.going.clear()
    done: list[int | None] = []

    async def ask(number: int) -> None:
        done.append(await reads.get(key(number)))

    async with asyncio.TaskGroup() as asking:
        for number in range(1, 6):
            asking.create_task(ask(number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # they have been sent
        asking.create_task(ask(6))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        disk.going.set()
    assert done == [1, 2, 6, 3, 4, 5]
    assert disk.batches == [5, 1, 3, 1]


async def test_who_gave_up_waiting_is_not_read_for(reads: DiskReads[int], disk: Disk) -> None:
    asking = [asyncio.ensure_future(reads.get(key(number))) for number in range(1, 5)]  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    asking[1].cancel()
    await asyncio.sleep(0)
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [found[0], *found[2:]] == [1, 3, 4]
    assert isinstance(found[1], asyncio.CancelledError)
    assert disk.batches == [3]


async def test_what_cannot_be_read_fails_those_who_asked_for_it(
    reads: DiskReads[int], disk: Disk
) -> None:
    disk.error = TierError("disk: a bad sector")
    found = await asyncio.gather(reads.get(key(1)), reads.get(key(2)), return_exceptions=True)
    assert [str(each) for each in found] == ["disk: a bad sector"] * 2
    disk.error = None
    assert await reads.get(key(1)) == 1
    assert reads.late == 0


async def test_a_disk_that_hangs_costs_one_deadline_and_is_used_again(
    reads: DiskReads[int], disk: Disk, lane: Lane
) -> None:
    reads.limit_s = 0.01
    disk.going.clear()
    found = await asyncio.gather(reads.get(key(1)), reads.get(key(2)), return_exceptions=True)
    assert [str(each) for each in found] == ["disk: no answer within 0.01 s"] * 2
    with pytest.raises(TierError, match="still busy"):
        await reads.get(key(3))
    assert reads.late == 3
    disk.going.set()
    await lane.submit(lambda: None)
    reads.limit_s = UNHURRIED_S
    assert await reads.get(key(3)) == 3


async def test_each_batch_has_a_deadline_of_its_own(
    reads: DiskReads[int], disk: Disk, lane: Lane
) -> None:
    reads.limit_s = 0.02
    disk.going.clear()
    first = asyncio.ensure_future(reads.get(key(1)))  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # it has been sent
    reads.limit_s = 0.05
    second = asyncio.ensure_future(reads.get(key(2)))  # noqa: TID251 - awaited below
    with pytest.raises(TierError, match="within"):
        await first
    assert not second.done()
    disk.going.set()
    assert await second == 2
    assert reads.late == 1


async def test_a_loop_that_was_kept_busy_has_nobody_late_whose_answer_is_there(
    reads: DiskReads[int], disk: Disk
) -> None:
    reads.limit_s = 0.01
    asking = asyncio.ensure_future(reads.get(key(1)))  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # it has been sent
    threading.Event().wait(0.05)  # so is the loop: it cannot hear of what comes meanwhile
    assert await asking == 1
    assert reads.late == 0


async def test_after_the_end_nobody_is_left_waiting(
    reads: DiskReads[int], disk: Disk, lane: Lane
) -> None:
    disk.parts = 1
    disk.going.clear()
    asking = [asyncio.ensure_future(reads.get(key(number))) for number in (1, 2)]  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # they have been sent
    asking.append(asyncio.ensure_future(reads.get(key(3))))  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    reads.close()
    disk.going.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert found[0] == 1
    assert [str(each) for each in found[1:]] == ["the disk tier is not open"] * 2
    assert disk.batches == [2]
