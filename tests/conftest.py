"""What all tests have in common."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# No deadline: how long an example takes depends on the machine. In CI the same examples every time,
# so that a red run is about the change; elsewhere new ones, which is how faults are found.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Pass over what holds no heavy test if only those are asked for: to read all takes as long."""
    if config.option.markexpr != "heavy" or not collection_path.name.startswith("test_"):
        return None
    return "mark.heavy" not in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give time to whoever may be the first to need a model, and waits until it is made."""
    for item in items:
        if "hub" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a hub's client that may not call; to be there before the client is imported."""
    cache = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(cache))
        yield cache


@pytest.fixture(scope="session")
def minilm_int8(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real all-MiniLM-L6-v2 in a folder for onnxruntime: half a minute, once for all tests.

    In a process of its own, as to trace the exporter for coverage takes as long again; all workers
    of a run share the folder.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "minilm-int8"
    with (shared / "minilm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            words = ["-m", "proxy", "model", "export", "all-MiniLM-L6-v2", str(folder)]
            subprocess.run([sys.executable, *words], cwd=ROOT, check=True)
    return folder
