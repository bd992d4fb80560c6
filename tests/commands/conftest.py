"""Commands, and what they ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.told_admin import Listener, Run, runner, telling


@pytest.fixture
def admin() -> Iterator[Listener]:
    with telling() as listener:
        yield listener


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(monkeypatch)
