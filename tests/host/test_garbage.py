"""The collector looks at what is new again and again, and at everything when that is due."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator

import pytest
from support.cranked import Clock

from proxy.host.garbage import Garbage, outgrown, paced

MB = 2**20


class _Failed:
    """A request that refers to itself, as those do that ended by an exception."""

    def __init__(self) -> None:
        self.itself = self


class _Process:
    """What is told of a process."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.size: int | None = 100 * MB
        self.small = 50 * MB
        self.is_scarce = False
        self.freed = 0
        self.used_s = 0.0

    def free(self) -> None:
        self.freed += 1

    def pass_a_second(self, busy_s: float = 1.0) -> None:
        self.clock.turn(1.0)
        self.used_s += busy_s


@pytest.fixture
def process() -> _Process:
    return _Process()


@pytest.fixture
async def garbage(process: _Process) -> AsyncIterator[Garbage]:
    kept = Garbage(
        (lambda: process.size, lambda: process.small),
        lambda: process.is_scarce,
        process.free,
        process.clock,
        lambda: process.used_s,
    )
    kept.start()
    yield kept
    kept.close()


def _left_behind(garbage: Garbage) -> weakref.ref[_Failed]:
    """One that was under way when all was looked at that was new, and failed then."""
    under_way = _Failed()
    garbage.look()
    return weakref.ref(under_way)


async def test_what_failed_since_the_last_look_is_found_by_the_next(garbage: Garbage) -> None:
    failed = weakref.ref(_Failed())
    garbage.look()
    assert failed() is None


async def test_it_looks_of_itself(garbage: Garbage) -> None:
    found = asyncio.Event()
    failed = _Failed()
    weakref.finalize(failed, found.set)
    del failed
    async with asyncio.timeout(5):
        await found.wait()


async def test_what_outlived_a_look_is_not_looked_at_again(garbage: Garbage) -> None:
    failed = _left_behind(garbage)
    frozen = gc.get_freeze_count()
    garbage.look()
    gc.collect(2)
    assert failed() is not None
    assert gc.get_freeze_count() >= frozen


async def test_the_interpreters_own_collections_leave_nothing_to_look_at_either(
    garbage: Garbage,
) -> None:
    before = _Failed()
    gc.collect(1)
    # Of all that was there, this among it, nothing is left that a collection would look at.
    assert not any(each is before for each in gc.get_objects())


@pytest.mark.parametrize(
    ("grown", "busy_s", "is_scarce", "found"),
    [
        (63 * MB, 1.0, False, False),
        (64 * MB, 1.0, False, True),
        (15 * MB, 0.0, False, False),
        (16 * MB, 0.0, False, True),
        (15 * MB, 1.0, True, False),
        (16 * MB, 1.0, True, True),
    ],
    ids=["busy", "grown", "calm", "calm and grown", "scarce", "scarce and grown"],
)
async def test_all_is_looked_at_when_the_process_has_grown(  # noqa: PLR0917 - a table
    garbage: Garbage, process: _Process, grown: int, busy_s: float, is_scarce: bool, found: bool
) -> None:
    failed = _left_behind(garbage)
    assert process.size is not None
    process.size += grown
    process.is_scarce = is_scarce
    process.pass_a_second(busy_s)
    garbage.look()
    assert (failed() is None) is found
    assert garbage.full == found


async def test_how_large_it_is_is_asked_once_a_second(garbage: Garbage, process: _Process) -> None:
    process.size = 10_000 * MB
    process.clock.turn(0.9)
    garbage.look()
    assert not garbage.full
    process.clock.turn(0.1)
    garbage.look()
    assert garbage.full == 1


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([(300, 1), (400, 1), (449, 1), (450, 2)], id="from-where-it-was-left"),
        pytest.param([(20, 0), (83, 0), (84, 1)], id="what-was-given-back-and-is-taken-again"),
    ],
)
async def test_it_looks_at_everything_by_how_much_the_process_grew(
    garbage: Garbage, process: _Process, sizes: list[tuple[int, int]]
) -> None:
    for size, full in sizes:
        process.size = size * MB
        process.pass_a_second()
        garbage.look()
        assert garbage.full == full, size


async def test_garbage_is_found_that_takes_what_the_process_has_kept_of_earlier(
    garbage: Garbage, process: _Process
) -> None:
    # What was freed by looking at everything stayed with the process: it need not grow any more.
    for number in range(1, 10):
        failed = _left_behind(garbage)
        process.small += 64 * MB
        process.pass_a_second()
        garbage.look()
        assert failed() is None
        assert garbage.full == number
        process.small = 50 * MB
        process.pass_a_second()
        garbage.look()
    assert process.size == 100 * MB


async def test_what_looking_at_everything_has_freed_is_asked_to_be_given_back(
    garbage: Garbage, process: _Process
) -> None:
    process.pass_a_second()
    garbage.look()
    assert not process.freed
    process.size = 300 * MB
    process.pass_a_second()
    garbage.look()
    assert process.freed == 1


async def test_a_size_that_was_not_told_once_is_heeded_again_when_it_is(
    garbage: Garbage, process: _Process
) -> None:
    for size, full in ((300, 1), (None, 1), (300, 1), (427, 1), (450, 2)):
        process.size = None if size is None else size * MB
        process.pass_a_second()
        garbage.look()
        assert garbage.full == full, size
    process.size = None  # as it is looked at everything, of all times
    process.small += 200 * MB
    process.pass_a_second()
    garbage.look()
    for size, full in ((450, 3), (674, 3), (675, 4)):
        process.size = size * MB
        process.pass_a_second()
        garbage.look()
        assert garbage.full == full, size


async def test_a_size_below_nothing_is_one_to_grow_from(
    garbage: Garbage, process: _Process
) -> None:
    # More is accounted for as stored than there is in memory: swapped out, or lent and not used.
    for size, full in ((-500 * MB, 0), (-437 * MB, 0), (-436 * MB, 1)):
        process.size = size
        process.pass_a_second()
        garbage.look()
        assert garbage.full == full, size


async def test_a_look_that_fails_is_not_the_last(process: _Process) -> None:
    again = asyncio.Event()
    failed: list[object] = []

    def scarce() -> bool:
        if failed:
            again.set()
            return False
        raise MemoryError

    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: failed.append(context["exception"])
    )
    kept = Garbage((), scarce, process.free, process.clock, used=process.clock)
    kept.start()
    process.pass_a_second()
    async with asyncio.timeout(5):
        await again.wait()
    kept.close()
    assert len(failed) == 1


async def test_where_nobody_tells_its_size_all_is_looked_at_by_time(
    garbage: Garbage, process: _Process
) -> None:
    failed = _left_behind(garbage)
    process.size = None
    process.clock.turn(599.0)
    garbage.look()
    assert failed() is not None
    process.clock.turn(1.0)
    garbage.look()
    assert failed() is None


async def test_once_closed_it_is_left_to_the_interpreter(
    garbage: Garbage, process: _Process
) -> None:
    failed = _left_behind(garbage)
    garbage.close()
    garbage.close()
    gc.collect()
    assert failed() is None
    assert not gc.get_freeze_count()


@pytest.mark.parametrize(
    ("every_s", "took_s", "then_s"),
    [
        (0.1, 0.000_5, 0.1),
        (0.1, 0.000_8, 0.05),
        (0.1, 0.000_2, 0.2),
        (0.015, 0.01, 0.01),
        (0.2, 0.0, 0.25),
    ],
    ids=["right", "too long", "too short", "no more often", "no more seldom"],
)
def test_the_longer_a_look_takes_the_sooner_is_the_next(
    every_s: float, took_s: float, then_s: float
) -> None:
    assert paced(every_s, took_s) == pytest.approx(then_s)


@pytest.mark.parametrize(
    ("before", "grown", "sooner", "has"),
    [
        (0, 64, False, True),
        (1000, 499, False, False),
        (1000, 500, False, True),
        (1000, 124, True, False),
        (1000, 125, True, True),
        (1000, -500, True, False),
    ],
)
def test_a_large_process_may_grow_by_half_and_a_small_one_by_some(
    before: int, grown: int, sooner: bool, has: bool
) -> None:
    assert outgrown(before * MB, (before + grown) * MB, sooner=sooner) is has
