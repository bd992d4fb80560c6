"""What the proxy is measured beside: a backend, and bare aiohttp doing the same JSON work.

Run as a program: ``python -m benchmarks.servers NAME PORT``; prints "ready" once it listens.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from typing import cast

import orjson
import uvloop
from aiohttp import web

ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "bench-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Paris. " * 240},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 480, "total_tokens": 780},
    }
)

FIRST_EVENT = b'data: {"id":"chatcmpl-bench","choices":[{"index":0,"delta":{"content":"Pa"}}]}\n\n'
_BEGUN = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"%x\r\n%b\r\n" % (len(FIRST_EVENT), FIRST_EVENT)
)


async def backend(request: web.BaseRequest) -> web.StreamResponse:
    """A backend that has its answer ready."""
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json")


class Bare:
    """The least that a cache keyed on JSON can do: parse, sort, hash, look up, answer."""

    def __init__(self) -> None:
        self._store: dict[bytes, bytes] = {}

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = orjson.loads(await request.read())
        asked.pop("stream", None)
        digest = hashlib.blake2b(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS), digest_size=32)
        body = self._store.setdefault(digest.digest(), ANSWER)
        return web.Response(body=body, content_type="application/json")


class Pausing(asyncio.Protocol):
    """One connection to a backend that begins every answer as a stream, and never goes on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._got = b""

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        at = head.lower().find(b"content-length:")
        if found and len(body) >= int(head[at + 15 :].split(b"\r\n", 1)[0]):
            self._got = b""
            self._transport.write(_BEGUN)


def runner(name: str) -> web.BaseRunner:
    """``bare`` on aiohttp's low-level server, ``application`` the way most servers are written."""
    if name == "application":
        app = web.Application()
        app.router.add_post("/v1/chat/completions", Bare().__call__)
        return web.AppRunner(app, access_log=None)
    return web.ServerRunner(web.Server(Bare() if name == "bare" else backend, access_log=None))


async def serve(name: str, port: int) -> None:
    if name == "pausing":
        loop = asyncio.get_running_loop()
        await loop.create_server(Pausing, "127.0.0.1", port, backlog=1024)
        print("ready", flush=True)
        await asyncio.Event().wait()
    running = runner(name)
    await running.setup()
    await web.TCPSite(running, "127.0.0.1", port, backlog=1024).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
