"""What all tests have in common."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: how long an example takes depends on the machine. In CI the same examples every time,
# so that a red run is about the change; elsewhere new ones, which is how faults are found.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")


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
    """The real all-MiniLM-L6-v2 in a folder for onnxruntime: half a minute, once for all tests."""
    # Torch takes seconds to import: only where the model is asked for.
    from proxy.semantic.embedders.export import Precision, export

    folder = tmp_path_factory.mktemp("minilm") / "int8"
    export("all-MiniLM-L6-v2", folder, Precision.INT8)
    return folder
