"""The whole proxy on its own loop, between a backend and clients in processes of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from support.client_process import Client
from support.openai_backend import OpenAIBackend
from support.proxied import Proxied, proxied

SCRIPTS = {
    "openai for Node": "openai_jobs.mjs",
    "ai-sdk": "ai_jobs.mjs",
    "langchain": "langchain_jobs.py",
    "litellm": "litellm_jobs.py",
    "llama-index": "llama_index_jobs.py",
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(script, id=name, marks=pytest.mark.xdist_group(name))
        for name, script in SCRIPTS.items()
    ],
)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """One process for all tests of a client: some take seconds to import."""
    with Client(request.param) as client:
        yield client


@pytest.fixture
async def backend() -> AsyncIterator[OpenAIBackend]:
    async with OpenAIBackend() as backend:
        yield backend


@pytest.fixture
async def proxy(backend: OpenAIBackend) -> AsyncIterator[Proxied]:
    async with proxied(backend.url) as proxy:
        yield proxy
