"""A proxy that questions are asked ahead of, and the files they come from."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from proxy.demo.backend import DemoBackend, Pace
from support.demo_calls import body_of
from support.proxied import Proxied, proxied

CHAT = "/v1/chat/completions"


class Milestone:
    """Reached when the backend has been asked so often. Waited for on another thread."""

    def __init__(self) -> None:
        self.calls = 0
        self._at = sys.maxsize
        self._reached = threading.Event()

    async def pause(self, seconds: float) -> None:
        """In place of a backend's own, which has one before each answer."""
        self.calls += 1
        if self.calls >= self._at:
            self._reached.set()
        await asyncio.sleep(seconds)

    def wait(self, calls: int) -> None:
        self._reached.clear()
        self._at = calls
        if self.calls < calls:
            assert self._reached.wait(30), "it was not asked"
        self._at = sys.maxsize


class Scene(NamedTuple):
    backend: DemoBackend
    proxy: Proxied
    milestone: Milestone

    @property
    def url(self) -> str:
        return self.proxy.url


@asynccontextmanager
async def staged(pace: Pace) -> AsyncIterator[Scene]:
    milestone = Milestone()
    async with DemoBackend(pace, milestone.pause) as backend, proxied(backend.url) as proxy:
        yield Scene(backend, proxy, milestone)


def written(path: Path, *lines: Any) -> Path:
    path.write_text(
        "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    )
    return path


def requests(count: int, *, of: int | None = None) -> list[Any]:
    return [{"path": CHAT, "body": body_of(f"Question {n % (of or count)}?")} for n in range(count)]
