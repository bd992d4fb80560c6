"""Locks in a file that several processes share."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cranked import Clock
from support.locks_contract import MINE, NAME, YOURS, LocksContract
from support.redis_links import refused
from support.started import started

from proxy.fleet.locks_file import FileLocks

ROOT = Path(__file__).parents[2]
BUCKET = NAME[:8]  # decides where in the file it stands


class TestFileLocks(LocksContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def locks(self, tmp_path: Path, clock: Clock) -> Iterator[FileLocks]:
        self.clock = clock
        locks = FileLocks(tmp_path / "locks", clock=clock, lease_s=0.5)
        yield locks
        locks.close()

    def turn(self, seconds: float) -> None:
        self.clock.turn(seconds)

    async def test_another_process_sees_the_same(
        self, locks: FileLocks, tmp_path: Path, clock: Clock
    ) -> None:
        other = FileLocks(tmp_path / "locks", clock=clock, lease_s=0.5)
        await locks.claim(NAME, MINE)
        assert not await other.claim(NAME, YOURS)
        assert await other.holder(NAME) == MINE
        other.close()

    async def test_where_it_is_full_what_ends_first_goes(
        self, locks: FileLocks, clock: Clock
    ) -> None:
        names = [BUCKET + bytes([number]) * 25 for number in range(9)]
        for name in names[:8]:
            assert await locks.claim(name, MINE)
            clock.turn(0.001)
        await locks.leave(names[3], MINE, 0.05)
        assert await locks.claim(names[8], YOURS)
        assert [await locks.holder(name) for name in names] == [MINE] * 3 + [None] + [MINE] * 4 + [
            YOURS
        ]

    async def test_what_is_over_is_written_over_and_the_file_does_not_grow(
        self, locks: FileLocks, clock: Clock, tmp_path: Path
    ) -> None:
        await locks.claim(NAME, MINE)
        size = (tmp_path / "locks").stat().st_size
        for number in range(100):
            assert await locks.claim(BUCKET + bytes([number]) * 25, MINE)
            clock.turn(0.1)
        assert (tmp_path / "locks").stat().st_size <= size + 1024

    async def test_what_another_clock_has_written_is_nobodys(
        self, locks: FileLocks, clock: Clock
    ) -> None:
        clock.turn(1_000_000.0)
        await locks.claim(NAME, MINE)
        clock.now = 5.0  # as after the machine was started anew
        assert await locks.holder(NAME) is None
        assert await locks.claim(NAME, YOURS)

    async def test_while_another_process_is_in_there_it_is_waited_for_and_not_for_ever(
        self, tmp_path: Path, clock: Clock
    ) -> None:
        locks = FileLocks(tmp_path / "locks", clock=clock, patience_s=0.05)
        await locks.claim(NAME, MINE)
        async with holding(tmp_path / "locks"):
            await refused(locks.holder(NAME))
        assert await locks.holder(NAME) == MINE  # it was killed in there

        patient = FileLocks(tmp_path / "locks", clock=clock, patience_s=20.0)
        async with holding(tmp_path / "locks"):
            asking = started(patient.holder(NAME))
            await asyncio.sleep(0)
        assert await asking == MINE
        locks.close()
        patient.close()

    async def test_a_file_that_cannot_be_opened_or_written_is_an_error_each_time(
        self, tmp_path: Path, clock: Clock
    ) -> None:
        for path in (tmp_path, tmp_path / "no" / "locks"):
            locks = FileLocks(path, clock=clock)
            for _ in range(2):
                await refused(locks.claim(NAME, MINE))
            locks.close()
        (tmp_path / "link").symlink_to(tmp_path / "locks")
        await refused(FileLocks(tmp_path / "link", clock=clock).claim(NAME, MINE))

    async def test_it_is_for_its_owner_only(self, locks: FileLocks, tmp_path: Path) -> None:
        await locks.claim(NAME, MINE)
        assert (tmp_path / "locks").stat().st_mode & 0o777 == 0o600


@asynccontextmanager
async def holding(path: Path) -> AsyncIterator[None]:
    """Another process is in every part of the file, until it is killed at the end."""
    code = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX)"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"{code}; print(flush=True); sys.stdin.read()", str(path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"\n"
        yield
    finally:
        child.kill()
        await child.communicate()


@given(st.binary(max_size=1200), st.integers(0, 600))
def test_whatever_is_in_the_file_a_lock_can_be_had(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes, at: int
) -> None:
    async def claim() -> None:
        path = tmp_path_factory.mktemp("garbage") / "locks"
        clock = Clock()
        locks = FileLocks(path, clock=clock)
        with path.open("wb") as file:
            place = int.from_bytes(NAME[:8]) % 8192 * 584
            file.seek(max(0, place - at))
            file.write(garbage)
        holder = await locks.holder(NAME)
        if holder is not None:
            await locks.leave(NAME, holder)
        assert await locks.claim(NAME, MINE)
        assert await locks.holder(NAME) == MINE
        locks.close()

    asyncio.run(claim())


async def test_of_many_processes_that_claim_the_same_at_once_each_lock_is_had_by_one(
    tmp_path: Path,
) -> None:
    names, claimers = 3000, 3
    children = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CLAIMING, str(tmp_path / "locks"), str(names)),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(claimers)
    ]
    for child in children:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
    told = await asyncio.gather(*(child.communicate(b"go\n") for child in children))
    had = [set(map(int, out.split())) for out, _ in told]
    assert sum(map(len, had)) == names
    assert set.union(*had) == set(range(names))


CLAIMING = """
import asyncio, sys, time
from pathlib import Path
from proxy.fleet.base import Holder, owner
from proxy.fleet.locks_file import FileLocks

async def claim():
    locks = FileLocks(Path(sys.argv[1]), clock=time.monotonic, patience_s=20.0)
    me = Holder(owner(), b"f" * 16)
    numbers = range(int(sys.argv[2]))  # eight of them in a bucket, which is all it takes
    names = [(n // 8).to_bytes(8) + n.to_bytes(8) * 3 + b"0" for n in numbers]
    print("ready", flush=True)
    sys.stdin.readline()
    print(*[number for number, name in enumerate(names) if await claimed(locks, name, me)])

async def claimed(locks, name, me):
    had = await locks.claim(name, me)
    if had:
        assert await locks.holder(name) == me
    return had

asyncio.run(claim())
"""
