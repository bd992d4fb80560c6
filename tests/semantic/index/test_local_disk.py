"""The local index on disk: across restarts, processes, kills and broken files."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.cranked import Clock
from support.index_contract import (
    DIMENSIONS,
    FINGERPRINT,
    HERE,
    LATER,
    START,
    THERE,
    key,
    keys,
    row,
    scattered,
    unit,
)
from support.index_processes import BOOT, child

from proxy.model.errors import TierError
from proxy.semantic.index.local import LocalIndex
from proxy.semantic.index.look import Shape
from proxy.semantic.index.rows import Space

VECTORS = scattered(400)
SMALL = Shape(rows=8)  # of many lists


@pytest.fixture
def wall() -> Clock:
    return Clock(START)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "index"


@asynccontextmanager
async def opened(place: Path, wall: Clock, **settings: Any) -> AsyncIterator[LocalIndex]:
    given: dict[str, Any] = {"max_rows": 1_000, "dtype": "f32", "boot": BOOT, "merged_at": 1}
    index = LocalIndex(place, wall=wall, **(given | settings))
    await index.open(FINGERPRINT, DIMENSIONS)
    try:
        await index.settled()
        yield index
    finally:
        await index.close()


async def reading(place: Path, wall: Clock) -> tuple[LocalIndex, threading.Event]:
    """An index whose files are being read until the event is set."""
    may_read = threading.Event()

    def held() -> float:
        # ``open`` looks at the clock before it has the files read, in the thread held here.
        if not may_read.is_set():
            index._builds.submit(may_read.wait)
        return wall()

    index = LocalIndex(place, max_rows=1_000, wall=held, dtype="f32", boot=BOOT, ready_s=0.0)
    await index.open(FINGERPRINT, DIMENSIONS)
    return index, may_read


def inside(place: Path) -> Path:
    """The folder of the vectors of the embedder."""
    (folder,) = place.iterdir()
    return folder


def models(place: Path) -> list[str]:
    """Those whose vectors are there."""
    return sorted(path.name.split("-")[0] for path in place.iterdir())


def spoil(place: Path) -> None:
    """Have a file where the folder should be."""
    place.parent.mkdir(parents=True)
    place.write_text("not a folder")


def space(index: LocalIndex) -> Space:
    assert index._rows is not None
    return index._rows.spaces[HERE]


async def numbers(index: LocalIndex) -> set[int]:
    """Of all rows; each is found by its own vector, and so is what it should be."""
    found = await index.search(HERE, unit(1), 1_000)
    return {int.from_bytes(each.key.digest) for each in found}


async def are_right(index: LocalIndex, some: set[int]) -> bool:
    """Whether each of these rows has the vector that it was added with."""
    for number in some:
        (nearest,) = await index.search(HERE, VECTORS[number], 1)
        if nearest.key != key(number) or nearest.score < 0.999:
            return False
    return True


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
@pytest.mark.parametrize("exact_up_to", [500, 10])
async def test_rows_survive_a_restart(
    place: Path, wall: Clock, dtype: str, exact_up_to: int
) -> None:
    async with opened(place, wall, dtype=dtype, exact_up_to=exact_up_to) as index:
        await index.add([row(n, VECTORS[n]) for n in range(100)])
        await index.add([row(0, unit(1), namespace=THERE, scope="another ü \ud800")])
        await index.remove(HERE, [key(n) for n in range(10)])
    async with opened(place, wall, dtype=dtype, exact_up_to=exact_up_to) as index:
        assert await numbers(index) == set(range(10, 100))
        assert await are_right(index, set(range(10, 100)))
        (other,) = await index.search(THERE, unit(1), 3)
        assert other.key == key(0, "another ü \ud800")
        assert index.rows == 91
        assert index.set_aside == index.failed == index.unwritten == 0


async def test_lists_are_read_and_not_made_again(place: Path, wall: Clock) -> None:
    async with opened(place, wall, exact_up_to=10, shape=SMALL) as index:
        await index.add([row(n, VECTORS[n]) for n in range(200)])
        await index.settled()
        made = space(index).lists
        assert made is not None
        before, _ = made.saved()
    async with opened(place, wall, exact_up_to=10, merged_at=10_000, shape=SMALL) as index:
        read = space(index).lists
        assert read is not None
        assert len(read) == 200
        assert len(space(index).loose) == 0
        assert len(before) > 5
        assert (read.saved()[0] == before).all()
        assert await are_right(index, set(range(200)))


async def test_lists_that_were_read_can_grow_and_shrink(place: Path, wall: Clock) -> None:
    async with opened(place, wall, exact_up_to=10, shape=SMALL) as index:
        await index.add([row(n, VECTORS[n]) for n in range(100)])
    for start in (100, 200):
        async with opened(place, wall, exact_up_to=10, shape=SMALL) as index:
            await index.remove(HERE, [key(n) for n in range(start - 100, start - 50)])
            await index.add([row(n, VECTORS[n]) for n in range(start, start + 100)])
            await index.settled()
            assert await are_right(index, await numbers(index))
    assert len(list(inside(place).glob("*.lists"))) == 1
    async with opened(place, wall, exact_up_to=10) as index:
        assert await numbers(index) == {*range(50, 100), *range(150, 300)}


async def test_lists_of_earlier_rows_give_way_to_what_came_since(place: Path, wall: Clock) -> None:
    async with opened(place, wall, exact_up_to=10, max_rows=100_000) as index:
        await index.add([row(n, VECTORS[n]) for n in range(100)])
        await index.settled()
    async with child(place, exact_up_to=10) as other:
        await other.told("remove 0 20")
        await other.told("add 20 40 99")  # with other vectors
        await other.told("add 100 120 7")
        await other.kill()
    changed = scattered(40, seed=99)
    async with opened(place, wall, exact_up_to=10, max_rows=100_000, merged_at=10_000) as index:
        assert len(space(index).lists or ()) == 60
        assert len(space(index).loose) == 40
        assert await numbers(index) == set(range(20, 120))
        assert await are_right(index, set(range(40, 120)))
        for number in range(20, 40):
            (found,) = await index.search(HERE, changed[number], 1)
            assert found.key == key(number)
            assert found.score > 0.999


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def of_another_release(path: Path) -> None:
    body = path.read_bytes()[32:].replace(b"lists 1", b"lists 0", 1)
    path.write_bytes(hashlib.blake2b(body, digest_size=32).digest() + body)


@pytest.mark.parametrize("harm", [halve, flip, of_another_release, Path.unlink])
async def test_broken_lists_are_made_again(
    place: Path, wall: Clock, harm: Callable[[Path], None]
) -> None:
    async with opened(place, wall, exact_up_to=10) as index:
        await index.add([row(n, VECTORS[n]) for n in range(100)])
        await index.settled()
    (file,) = inside(place).glob("*.lists")
    harm(file)
    async with opened(place, wall, exact_up_to=10) as index:
        assert index.failed == 0
        assert len(space(index).lists or ()) == 100
        assert await numbers(index) == set(range(100))
        assert await are_right(index, set(range(100)))
    assert file.exists()


async def test_lists_give_way_where_there_is_room_for_few_of_their_rows(
    place: Path, wall: Clock
) -> None:
    async with opened(place, wall, exact_up_to=10, max_rows=5_000) as index:
        vectors = scattered(3_000)
        await index.add([row(n, vectors[n]) for n in range(3_000)])
        await index.settled()
    async with opened(place, wall, exact_up_to=200, max_rows=100) as index:
        assert index.rows == 100
        assert space(index).lists is None
        assert len(await numbers(index)) == 100


async def test_the_lists_of_what_is_small_again_are_deleted(place: Path, wall: Clock) -> None:
    async with opened(place, wall, exact_up_to=10) as index:
        await index.add([row(n, VECTORS[n]) for n in range(100)])
    async with opened(place, wall, exact_up_to=10) as index:
        await index.clear()
        await index.add([row(1, VECTORS[1])])
    assert not list(inside(place).glob("*.lists"))
    async with opened(place, wall, exact_up_to=10) as index:
        assert await numbers(index) == {1}


async def test_rows_past_their_time_are_not_read_again(place: Path, wall: Clock) -> None:
    async with opened(place, wall) as index:
        await index.add([row(1, VECTORS[1], expires=START + 60), row(2, VECTORS[2])])
    wall.turn(61)
    async with opened(place, wall) as index:
        assert index.rows == 1
        await index.flush()
    wall.turn(-61)
    async with opened(place, wall) as index:
        assert await numbers(index) == {2}


async def test_the_newest_are_kept_where_there_is_room_for_fewer(place: Path, wall: Clock) -> None:
    async with opened(place, wall) as index:
        for number in (3, 1, 4, 2, 5):
            await index.add([row(number, VECTORS[number])])
            wall.turn(1)
    async with opened(place, wall, max_rows=3) as index:
        assert await numbers(index) == {4, 2, 5}
        await index.add([row(6, VECTORS[6])])
        assert await numbers(index) == {2, 5, 6}


async def test_a_clearing_is_for_good(place: Path, wall: Clock) -> None:
    async with opened(place, wall) as index:
        await index.add([row(1, VECTORS[1])])
        await index.clear()
        await index.add([row(2, VECTORS[2])])
    async with opened(place, wall) as index:
        assert await numbers(index) == {2}


async def test_a_killed_process_leaves_all_it_has_written(place: Path, wall: Clock) -> None:
    async with child(place) as other:
        assert await other.told("flood 7") == "100"
        while (written := int(await other.hear())) < 1_000:
            pass
        await other.kill()
    vectors = scattered(50_000)
    async with opened(place, wall, max_rows=100_000, exact_up_to=100_000) as index:
        found = await index.search(HERE, unit(1), 60_000)
        there = {int.from_bytes(each.key.digest) for each in found}
        assert there >= set(range(written))
        assert there == set(range(len(there)))  # no holes: a batch is written whole
        for number in range(0, len(there), 97):
            (nearest,) = await index.search(HERE, vectors[number], 1)
            assert nearest.key == key(number)
        assert index.set_aside == 0


async def test_processes_see_what_others_added_when_they_start(place: Path, wall: Clock) -> None:
    async with opened(place, wall) as index, child(place) as other:
        await index.add([row(n, VECTORS[n]) for n in range(10)])
        await index.flush()
        assert await other.told("add 10 20 7") == "done"
        assert await numbers(index) == set(range(10))
        async with child(place) as third:
            await third.told("remove 5 15")
            assert await third.told("close") == "closed"
        assert await other.told("close") == "closed"
    async with opened(place, wall) as index:
        assert await numbers(index) == {*range(5), *range(15, 20)}
        assert index.set_aside == 0


async def test_a_file_in_use_when_the_machine_stopped_is_set_aside(
    place: Path, wall: Clock
) -> None:
    async with opened(place, wall) as index:
        await index.add([row(1, VECTORS[1])])
        await index.flush()
        shutil.copytree(inside(place), place.parent / "then")
    shutil.rmtree(inside(place))
    (place.parent / "then").rename(place / f"{FINGERPRINT}-{DIMENSIONS}-f32")
    async with opened(place, wall, boot="another boot") as index:
        assert index.set_aside == 1
        assert await numbers(index) == set()
        await index.add([row(2, VECTORS[2])])
    assert (inside(place) / "rows.mdb.broken-1").exists()
    async with opened(place, wall, boot="a third boot") as index:
        assert await numbers(index) == {2}


def overwrite(path: Path) -> None:
    path.write_bytes(b"something else" * 1_000)


def cut(path: Path) -> None:
    os.truncate(path, 8_192)


@pytest.mark.parametrize("harm", [overwrite, cut])
async def test_a_broken_file_is_set_aside(
    place: Path, wall: Clock, harm: Callable[[Path], None]
) -> None:
    async with opened(place, wall) as index:
        await index.add([row(n, VECTORS[n]) for n in range(400)])
    harm(inside(place) / "rows.mdb")
    async with opened(place, wall) as index:
        assert index.set_aside == 1
        assert await numbers(index) == set()
        await index.add([row(1, VECTORS[1])])
    async with opened(place, wall) as index:
        assert await numbers(index) == {1}


async def test_a_file_torn_inside_is_begun_anew(place: Path, wall: Clock) -> None:
    """All is well but for the pages of rows, which say that they are something else."""
    async with opened(place, wall) as index:
        await index.add([row(n, VECTORS[n]) for n in range(400)])
    file = inside(place) / "rows.mdb"
    content = bytearray(file.read_bytes())
    for at in range(2 * 4096, len(content), 4096):
        # As mdb.c has it: flags (2 is P_LEAF), where the first node is, and after 8 bytes its key.
        first = at + int.from_bytes(content[at + 16 : at + 18], "little")
        if content[at + 10] == 2 and content[first + 8 : first + 24] == HERE:
            content[at + 10] = 0
    file.write_bytes(content)
    async with opened(place, wall) as index:
        assert index.failed == 1
        await index.add([row(1, VECTORS[1])])
        await index.flush()
        assert index.set_aside == 1
        assert index.unwritten == 0
        assert await numbers(index) == {1}
    async with opened(place, wall) as index:
        assert await numbers(index) == {1}


async def test_without_its_folder_it_is_an_index_in_memory(place: Path, wall: Clock) -> None:
    spoil(place)
    index = LocalIndex(place, max_rows=100, wall=wall, dtype="f32", boot=BOOT)
    with pytest.raises(TierError):
        await index.open(FINGERPRINT, DIMENSIONS)
    await index.add([row(1, VECTORS[1])])
    assert await numbers(index) == {1}
    await index.close()
    assert index.failed == 1


async def test_a_fingerprint_is_no_path(place: Path, wall: Clock) -> None:
    index = LocalIndex(place, max_rows=100, wall=wall)
    with pytest.raises(TierError):
        await index.open("../elsewhere", DIMENSIONS)


async def test_vectors_of_the_embedder_before_are_kept_and_older_ones_go(
    place: Path, wall: Clock
) -> None:
    for number, model in enumerate(("first", "second", "third")):
        index = LocalIndex(place, max_rows=100, wall=wall, dtype="f32", boot=BOOT)
        await index.open(model, DIMENSIONS)
        await index.add([row(number, VECTORS[number])])
        await index.close()
        os.utime(place / f"{model}-{DIMENSIONS}-f32" / "state", (number, number))
    index = LocalIndex(place, max_rows=100, wall=wall, dtype="f32", boot=BOOT)
    await index.open("second", DIMENSIONS)
    assert await numbers(index) == {1}
    await index.close()
    assert models(place) == ["second", "third"]


async def test_what_comes_while_the_files_are_read_is_there_then(place: Path, wall: Clock) -> None:
    async with opened(place, wall) as index:
        await index.add([row(n, VECTORS[n]) for n in range(100)])
    index, may_read = await reading(place, wall)
    assert await numbers(index) == set()
    await index.add([row(100, VECTORS[100])])
    await index.remove(HERE, [key(n) for n in range(50)])
    with pytest.raises(TierError):
        await index.add([row(101, unit(1, dimensions=3))])
    may_read.set()
    await index.settled()
    assert await numbers(index) == set(range(50, 101))
    await index.close()


async def test_a_clearing_while_the_files_are_read_leaves_nothing_of_them(
    place: Path, wall: Clock
) -> None:
    async with opened(place, wall) as index:
        await index.add([row(n, VECTORS[n]) for n in range(100)])
    index, may_read = await reading(place, wall)
    await index.add([row(1, VECTORS[1])])
    may_read.set()  # the clearing waits for the thread, but begins before it is heard
    await index.clear()
    assert await numbers(index) == set()
    await index.add([row(2, VECTORS[2], expires=LATER)])
    await index.close()
    async with opened(place, wall) as index:
        assert await numbers(index) == {2}


async def test_long_vectors_survive_a_restart_too(place: Path, wall: Clock) -> None:
    long = scattered(20, dimensions=700)
    index = LocalIndex(place, max_rows=100, wall=wall, dtype="f32", boot=BOOT)
    for turn in range(2):
        await index.open("long", 700)
        if turn == 0:
            await index.add([row(n, vector) for n, vector in enumerate(long)])
        for number, vector in enumerate(long):
            assert keys(await index.search(HERE, vector, 1)) == [key(number)]
        await index.close()


async def test_a_disk_that_hangs_holds_up_nobody_but_a_clearing(place: Path, wall: Clock) -> None:
    index = LocalIndex(place, max_rows=100, wall=wall, dtype="f32", boot=BOOT)
    await index.open(FINGERPRINT, DIMENSIONS)
    await index.settled()
    index._patience_s = 0.05  # from here on it hangs
    going = threading.Event()
    hanging = index._writes.submit(going.wait)
    await index.add([row(1, VECTORS[1])])
    assert await numbers(index) == {1}
    with pytest.raises(TierError):
        await index.clear()
    assert await numbers(index) == set()
    await index.close()
    assert index.failed == 2
    going.set()
    await hanging


async def test_a_disk_that_fails_is_no_fault_but_of_a_clearing(place: Path, wall: Clock) -> None:
    async with opened(place, wall) as index:
        await index.add([row(1, VECTORS[1])])
        await index.flush()
        assert index._file is not None
        index._file._file.env.close()  # every write fails from now on
        with pytest.raises(TierError):
            await index.clear()
        await index.add([row(2, VECTORS[2])])
        await index.flush()
        assert await numbers(index) == {2}
        assert index.unwritten >= 1
    assert index.failed >= 1
