"""Meaning as a whole: what it keeps across restarts, whatever the disk does."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from support.cranked import entry

from proxy.app.semantic import Semantic
from proxy.config.settings import Settings
from proxy.ledger import Ledger
from proxy.semantic.index.local import LocalIndex
from proxy.tiers.ladder import Ladder

DIGEST = entry().key.digest
FILE = Path("semantic", "budget.json")


def semantic(directory: Path) -> Semantic:
    words = {"enabled": True, "embedder": {"kind": "none"}}
    settings = Settings.model_validate({"semantic": words})
    shelf = Ladder([], Ledger(), lambda _tier, _error: None)
    return Semantic(
        settings,
        shelf,
        directory=directory,
        redis=None,
        answer=lambda _entry: None,
        disk_s=0.05,
    )


async def ended(one: Semantic) -> None:
    async with asyncio.timeout(5):
        await one.close()


async def test_what_was_learned_is_known_after_a_restart(tmp_path: Path) -> None:
    before = semantic(tmp_path)
    before._disk_s = 5.0
    await before.start()
    before.budget.wrong(DIGEST, 0.9)
    await ended(before)
    after = semantic(tmp_path)
    await after.start()
    assert after.budget.floor(DIGEST) == pytest.approx(0.91)
    await ended(after)


async def test_a_disk_that_hangs_does_not_keep_the_proxy_from_ending(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = semantic(tmp_path)
    await one.start()
    (tmp_path / FILE).parent.mkdir()
    pipe = (tmp_path / FILE).with_suffix(f".{os.getpid()}")
    os.mkfifo(pipe)  # whoever writes to it waits until it is read
    await ended(one)
    assert "cannot be kept" in caplog.text
    with pipe.open("rb") as read:
        read.read()


async def test_a_disk_that_takes_nothing_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "semantic").write_text("a file where a folder should be")
    one = semantic(tmp_path)
    await one.start()
    await ended(one)
    assert "cannot be kept" in caplog.text


class HangingIndex(LocalIndex):
    """Never done with clearing."""

    async def clear(self) -> None:
        await asyncio.Event().wait()


async def test_an_index_that_hangs_does_not_hold_up_a_purge(tmp_path: Path) -> None:
    one = semantic(tmp_path)
    await one.start()
    one.index = HangingIndex(None, max_rows=10, exact_up_to=10, wall=lambda: 0.0)
    async with asyncio.timeout(5):
        await one.clear()
    await ended(one)


@pytest.mark.parametrize("saved", [b"", b'{"version": 1, "gr', b"[" * 100_000, b"3", b"\x00" * 99])
async def test_a_file_that_is_torn_or_not_ours_is_as_none(tmp_path: Path, saved: bytes) -> None:
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_bytes(saved)
    one = semantic(tmp_path)
    await one.start()
    assert one.budget.strata() == ()
    await ended(one)


async def test_a_file_too_large_to_be_ours_is_not_read(tmp_path: Path) -> None:
    (tmp_path / FILE).parent.mkdir()
    with (tmp_path / FILE).open("wb") as file:
        file.truncate(2**40)  # none of it is on the disk
    one = semantic(tmp_path)
    await one.start()
    assert one.budget.strata() == ()
    await ended(one)
