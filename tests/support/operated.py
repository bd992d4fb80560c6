"""A whole proxy with everything on, and its operator's listener behind a token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.openai_backend import OpenAIBackend
from support.proxied import Proxied, proxied
from support.redis_servers import server

TOKEN = "a-token-nobody-guesses"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}


@asynccontextmanager
async def operated(folder: Path) -> AsyncIterator[Proxied]:
    """Serve with all that an operator could ask about, until the block ends."""
    async with (
        OpenAIBackend() as backend,
        server() as redis,
        proxied(
            backend.url,
            admin={"listen": "127.0.0.1:0", "token": TOKEN},
            l2_disk={"directory": str(folder / "disk")},
            l2_redis={"url": f"redis://127.0.0.1:{redis.port}"},
            cache={"scope": {"secret": "equal in all replicas, of which there is one"}},
            semantic={"enabled": True, "embedder": {"kind": "ngram"}},
            http_resource={"enabled": True},
        ) as proxy,
    ):
        yield proxy
