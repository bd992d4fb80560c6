"""The folder of a running proxy."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.app.folder import runtime_folder, sweep


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as short:  # paths of sockets are bounded
        monkeypatch.setattr(tempfile, "tempdir", short)
        yield Path(short)


def test_it_is_for_its_owner_only_and_gone_in_the_end(parent: Path) -> None:
    with runtime_folder() as folder:
        assert folder.parent == parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert [*parent.iterdir()] == []


def test_what_a_killed_one_has_left_behind_goes_when_the_next_one_starts(parent: Path) -> None:
    program = (
        "import os, tempfile; from proxy.app.folder import runtime_folder\n"
        "with runtime_folder() as folder: (folder / 'more').touch(); os.kill(os.getpid(), 9)"
    )
    environment = os.environ | {"TMPDIR": str(parent)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    left = next(parent.iterdir())
    assert (left / "more").exists()
    with runtime_folder() as folder:
        assert [*parent.iterdir()] == [folder]


def test_one_that_lives_is_left_alone_and_so_is_what_is_no_such_folder(parent: Path) -> None:
    (parent / "sidecache-other").mkdir()
    (parent / "sidecache-link").symlink_to(parent / "sidecache-other")
    with runtime_folder() as folder:
        sweep(parent)
        assert folder.is_dir()
    assert {each.name for each in parent.iterdir()} == {"sidecache-other", "sidecache-link"}
