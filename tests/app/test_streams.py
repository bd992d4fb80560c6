"""The streams of several workers, made one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.admin.colleagues import Colleague, Silent
from proxy.app.streams import Streams
from proxy.observe.live import Watcher

Json = dict[str, Any]


class Worker:
    """One whose stream a test tells."""

    def __init__(self, slot: int, pid: int) -> None:
        self.colleague = Colleague(slot, pid, Path(str(slot)))
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.followed = 0

    def tell(self, seq: int, at: str, kind: str = "request", repeats: int = 0) -> None:
        said = {"seq": seq, "at": at, "status": 200, "repeats": repeats}
        self.pieces.put_nowait(b"id: %d\nevent: %b\ndata: %b\n\n" % (
            seq, kind.encode(), orjson.dumps(said),
        ))  # fmt: skip

    async def stream(self) -> AsyncIterator[bytes]:
        while piece := await self.pieces.get():
            yield piece


class Crew:
    """In the place of ``Colleagues``."""

    def __init__(self, *workers: Worker) -> None:
        self.workers = list(workers)

    def present(self) -> list[Colleague]:
        return [each.colleague for each in self.workers]

    @asynccontextmanager
    async def heard(
        self, one: Colleague, path: str, _silent_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        assert path.startswith("/live?last=")
        worker = next(each for each in self.workers if each.colleague == one)
        worker.followed += 1
        if worker.followed == 1 and one.slot == 9:
            raise Silent
        yield worker.stream()


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Streams, Worker, Worker]]:
    one, other = Worker(1, 11), Worker(2, 22)
    streams = Streams(Crew(one, other), asyncio.get_running_loop().time)  # type: ignore[arg-type] # as it is used
    yield streams, one, other
    await streams.close()


async def events(watcher: Watcher, count: int) -> list[Json]:
    """The next requests."""
    seen: list[Json] = []
    async with asyncio.timeout(10):
        while len(seen) < count:
            seen += [
                orjson.loads(block.split(b"data: ")[1])
                for block in (await watcher.some(5)).split(b"\n\n")
                if b"event: request" in block
            ]
    assert len(seen) == count
    return seen


async def test_what_was_before_comes_in_the_order_in_which_it_happened(
    pair: tuple[Streams, Worker, Worker],
) -> None:
    streams, one, other = pair
    for seq, at in ((1, "01"), (2, "04"), (3, "05")):
        one.tell(seq, at)
    for seq, at in ((7, "02"), (8, "03")):
        other.tell(seq, at)
    watcher = streams.watch(4)
    assert watcher is not None
    seen = await events(watcher, 4)
    assert [(each["seq"], each["at"], each["worker"]) for each in seen] == [
        (2, "02", 2), (3, "03", 2), (4, "04", 1), (5, "05", 1),
    ]  # fmt: skip
    watcher.close()


async def test_what_is_told_twice_is_shown_once_and_pieces_may_be_cut_anywhere(
    pair: tuple[Streams, Worker, Worker],
) -> None:
    streams, one, _ = pair
    watcher = streams.watch(10)
    assert watcher is not None
    whole = Worker(1, 11)
    for seq in (1, 2, 2, 1, 3):
        whole.tell(seq, f"0{seq}")
    data = b"event: stats\ndata: {}\n\n"
    while not whole.pieces.empty():
        data += whole.pieces.get_nowait()
    for at in range(0, len(data), 7):
        one.pieces.put_nowait(data[at : at + 7])
    assert [each["at"] for each in await events(watcher, 3)] == ["01", "02", "03"]


async def test_who_misses_some_of_a_worker_is_told_how_many(
    pair: tuple[Streams, Worker, Worker],
) -> None:
    streams, one, _ = pair
    watcher = streams.watch(10)
    assert watcher is not None
    one.tell(1, "01")
    await events(watcher, 1)
    one.pieces.put_nowait(b'event: dropped\ndata: {"count":5}\n\n')
    async with asyncio.timeout(5):
        while b"dropped" not in (said := await watcher.some(5)):
            pass
    assert b'{"count":5}' in said


async def test_who_misses_requests_that_are_told_together_is_told_of_all(
    pair: tuple[Streams, Worker, Worker],
) -> None:
    streams, one, _ = pair
    early, late = streams.watch(10), streams.watch(10)
    assert early is not None
    assert late is not None
    one.tell(1, "01", repeats=1)
    one.tell(2, "02", repeats=6)
    assert [each["repeats"] for each in await events(early, 2)] == [1, 6]
    early.put(b"x" * 2**18, 1)  # all there is room for
    one.tell(3, "03", repeats=8)
    seen = await events(late, 3)
    assert (seen[-1]["repeats"], seen[-1]["worker"]) == (8, 1)
    assert b'{"count":9}' in await early.some(5)


async def test_a_stream_that_ends_is_taken_up_again_and_a_new_worker_too() -> None:
    flaky, fresh = Worker(9, 99), Worker(2, 22)
    crew = Crew(flaky)
    streams = Streams(crew, asyncio.get_running_loop().time)  # type: ignore[arg-type] # as above
    watcher = streams.watch(10)
    assert watcher is not None
    flaky.tell(1, "01")  # it is there at the second attempt
    assert (await events(watcher, 1))[0]["worker"] == 9
    crew.workers = [fresh]  # in its place
    flaky.pieces.put_nowait(b"")
    fresh.tell(1, "02")
    assert (await events(watcher, 1))[0]["worker"] == 2
    await streams.close()


async def test_what_never_ends_is_not_kept(pair: tuple[Streams, Worker, Worker]) -> None:
    streams, one, _ = pair
    watcher = streams.watch(0)
    assert watcher is not None
    one.pieces.put_nowait(b"data: " + b"x" * (2**20 + 1))
    one.tell(1, "01")  # of the next attempt
    async with asyncio.timeout(10):
        while one.followed < 2:
            await watcher.some(0.05)


async def test_so_many_may_look_on_and_after_its_end_nobody(
    pair: tuple[Streams, Worker, Worker],
) -> None:
    streams, _, _ = pair
    watchers = [streams.watch(0) for _ in range(16)]
    assert all(watchers)
    assert streams.watch(0) is None
    assert watchers[0] is not None
    watchers[0].close()
    last = streams.watch(0)
    assert last is not None
    last.close()  # before it has begun
    await streams.close()
    assert all(each.over for each in watchers[1:] if each is not None)
    assert streams.watch(0) is None


async def test_when_nobody_looks_on_for_long_workers_are_left_alone() -> None:
    now = [0.0]
    one = Worker(1, 11)
    streams = Streams(Crew(one), lambda: now[0])  # type: ignore[arg-type] # as above
    watcher = streams.watch(5)
    assert watcher is not None
    one.tell(1, "01")
    await events(watcher, 1)
    watcher.close()
    now[0] += 60
    assert streams._tending is not None
    async with asyncio.timeout(5):
        await streams._tending
    assert streams._following == {}
    again = streams.watch(5)  # and finds what was there under the same number
    assert again is not None
    one.tell(1, "01")
    one.tell(2, "02")
    assert [(each["seq"], each["at"]) for each in await events(again, 2)] == [(1, "01"), (2, "02")]
    await streams.close()
