"""The upstream under test, a scripted backend, and tasks that end with the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import pytest
from support.scripted import ScriptedUpstream

from proxy.upstream import HttpUpstream, UpstreamSpec

T = TypeVar("T")


@pytest.fixture
async def up() -> AsyncIterator[ScriptedUpstream]:
    """A scripted backend."""
    async with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture
async def reach() -> AsyncIterator[Callable[..., HttpUpstream]]:
    """Makes the upstream under test: ``reach(up.url, **more_of_its_spec)``."""
    made: list[HttpUpstream] = []

    def reach(url: str, **said: Any) -> HttpUpstream:
        made.append(HttpUpstream(UpstreamSpec(url=url, **said)))
        return made[-1]

    yield reach
    for upstream in made:
        await upstream.close()


@pytest.fixture
async def start() -> AsyncIterator[Callable[[Coroutine[Any, Any, T]], asyncio.Task[T]]]:
    """Starts a coroutine as a task that is ended with the test."""
    tasks: list[asyncio.Task[Any]] = []

    def start(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        tasks.append(asyncio.create_task(coroutine))  # noqa: TID251 - ended just below
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
