"""The whole proxy on its own loop, between a backend and OpenAI's client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop
from support.openai_backend import OpenAIBackend
from support.proxied import Proxied, proxied
from support.sdk_caller import Caller


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def backend() -> AsyncIterator[OpenAIBackend]:
    async with OpenAIBackend() as backend:
        yield backend


@pytest.fixture
async def proxy(backend: OpenAIBackend) -> AsyncIterator[Proxied]:
    async with proxied(backend.url) as proxy:
        yield proxy


@pytest.fixture
async def caller(proxy: Proxied) -> AsyncIterator[Caller]:
    async with Caller(proxy) as caller:
        yield caller
