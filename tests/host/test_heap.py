"""Memory that was freed is given back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.cranked import Clock

from proxy.host.heap import Heap, trimmer

_FILL_AND_DROP = """
import asyncio, sys
from pathlib import Path
from proxy.host.heap import Heap, trimmer

def resident():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024

async def main():
    before = resident()
    held = [bytes(4000) + bytes([n % 256]) for n in range(50_000)]
    last = held[-1]  # keeps the top of the heap
    full = resident()
    del held
    dropped = resident()
    heap = Heap(trimmer(), lambda: 0.0)
    heap.ask()
    assert await heap.give_back()
    print(before, full, dropped, resident())

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux" or trimmer() is None, reason="needs glibc")
def test_what_was_dropped_is_the_systems_again() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _FILL_AND_DROP], capture_output=True, text=True, check=True
    )
    before, full, dropped, given_back = map(int, told.stdout.split())
    assert full - before > 180  # megabytes
    assert dropped - before > 150  # the allocator keeps it
    assert given_back - before < 20


def test_where_the_allocator_cannot_be_found_there_is_no_such_call() -> None:
    assert trimmer("no-such-library.so") is None


class Trims:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


async def test_it_is_given_back_where_that_was_asked_for_and_seldom() -> None:
    trims, clock = Trims(), Clock()
    heap = Heap(trims, clock)
    assert not await heap.give_back()
    heap.ask()
    heap.ask()
    assert await heap.give_back()
    assert not await heap.give_back()
    heap.ask()
    clock.turn(9)
    assert not await heap.give_back()
    clock.turn(1)
    assert await heap.give_back()
    assert (trims.count, heap.trims) == (2, 2)


async def test_where_nothing_gives_memory_back_nothing_is_done() -> None:
    heap = Heap(None, Clock())
    heap.ask()
    assert not await heap.give_back()
    assert heap.trims == 0
