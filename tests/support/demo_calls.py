"""Questions to the demo backend, through a proxy."""

from __future__ import annotations

from typing import Any

import aiohttp

Json = dict[str, Any]


def body_of(text: str, *, stream: bool = False) -> Json:
    asked: Json = {"model": "demo", "messages": [{"role": "user", "content": text}]}
    return asked | ({"stream": True} if stream else {})


async def ask(url: str, text: str, *, tags: str = "", **headers: str) -> tuple[int, str, bytes]:
    """The status, the verdict and the body of what ``text`` is answered with."""
    sent = headers | ({"X-Cache-Tags": tags} if tags else {})
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/chat/completions", json=body_of(text), headers=sent) as reply,
    ):
        return reply.status, reply.headers.get("X-Cache", ""), await reply.read()
