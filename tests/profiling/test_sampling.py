"""Samples of this very process, by the real py-spy."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from pathlib import Path

import pytest

from proxy.profiling.sampling import CannotSample, NotInstalled, sample
from proxy.profiling.stacks import read

LOTS = b"x" * 4_000_000


def hash_lots(stop: threading.Event) -> None:
    while not stop.is_set():
        hashlib.blake2b(LOTS).digest()


async def test_what_a_thread_does_is_seen_even_in_c() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=hash_lots, args=(stop,), name="hasher")
    thread.start()
    try:
        profile = read(await sample(1.0, 100), 1.0, 100)
    finally:
        stop.set()
        thread.join()
    of_it = {stack: count for stack, count in profile.stacks.items() if stack[0] == "hasher"}
    seen = sum(count for stack, count in of_it.items() if "hash_lots" in stack[-1])
    assert seen > 10
    assert seen >= 0.9 * sum(of_it.values())
    assert all("/home" not in frame for stack in profile.stacks for frame in stack)


def children() -> str:
    """The processes that this one has started, as the kernel lists them."""
    return "".join(each.read_text() for each in Path("/proc/self/task").glob("*/children"))


async def test_nobody_is_left_looking_when_it_is_called_off() -> None:
    before = children()
    looking = asyncio.ensure_future(sample(60.0, 1))  # noqa: TID251 - cancelled below
    while children() == before:  # noqa: ASYNC110 - the kernel tells nobody
        await asyncio.sleep(0.01)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert children() == before


async def test_without_py_spy_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled):
        await sample(1.0, 100, places=str(tmp_path))


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("Error: Permission Denied: Try running again with elevated permissions", "SYS_PTRACE"),
        ("Operation not permitted (os error 1)", "SYS_PTRACE"),
        ("Error: Failed to find python version", "Failed to find python version"),
        ("", "does not say why"),
    ],
)
async def test_why_it_cannot_look_is_said(tmp_path: Path, says: str, why: str) -> None:
    failing = tmp_path / "py-spy"
    failing.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n")
    failing.chmod(0o755)
    with pytest.raises(CannotSample, match=why):
        await sample(1.0, 100, places=str(tmp_path))
