"""What the proxy is measured beside: a backend, and bare aiohttp doing the same JSON work.

Run as a program: ``python -m benchmarks.servers NAME PORT [UPSTREAM]``; prints "ready" once it
listens.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Callable
from typing import cast

import orjson
import uvloop
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web

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


_WHOLE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
) + ANSWER


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


def _client() -> ClientSession:
    """That asks backends as a relay should: as it is asked, with nothing unpacked or kept."""
    return ClientSession(
        connector=TCPConnector(limit=0),
        auto_decompress=False,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(),
    )


class Relay:
    """The least that a proxy made of aiohttp's server and client can do: pass on what comes."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._session: ClientSession | None = None

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self._session = self._session or _client()
        fields = {name: value for name, value in request.headers.items() if name not in _HOP}
        async with self._session.request(
            request.method, self._upstream + request.path_qs, headers=fields,
            data=await request.read(),
        ) as answer:  # fmt: skip
            own = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in answer.headers.items():
                if name not in _HOP:
                    own.headers[name] = value
            if answer.content_length is not None:
                own.content_length = answer.content_length
            await own.prepare(request)
            async for piece in answer.content.iter_any():
                await own.write(piece)
            await own.write_eof()
            return own


_HOP = {"Host", "Connection", "Content-Length", "Transfer-Encoding"}


class Framed(asyncio.Protocol):
    """One connection whose requests have a Content-Length, and come one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._got = b""

    def data_received(self, data: bytes) -> None:
        self._got = data = self._got + data
        end = data.find(b"\r\n\r\n")
        at = data.find(b"ontent-")
        while end > 0 and data[at : at + 14].lower() != b"ontent-length:":
            at = data.find(b"ontent-", at + 1)
            if at < 0:
                raise ValueError("a request without Content-Length")
        if end > 0 and len(data) - end - 4 >= int(data[at + 14 : data.index(b"\r\n", at)]):
            self._got = b""
            self.asked(data)

    def asked(self, request: bytes) -> None:
        """A whole request has come."""
        raise NotImplementedError

    def answer(self, data: bytes) -> None:
        self._transport.write(data)


class Instant(Framed):
    """A backend that has its answer ready, and is no part of what is measured."""

    def asked(self, _request: bytes) -> None:
        self.answer(_WHOLE)


class Raw(Framed):
    """The least that Python can do: answers kept by the very bytes of the request."""

    def __init__(self, store: dict[bytes, bytes]) -> None:
        self._store = store

    def data_received(self, data: bytes) -> None:
        known = self._store.get(data)
        if known is None:
            super().data_received(data)
        else:
            self._transport.write(known)

    def asked(self, request: bytes) -> None:
        self.answer(self._store.setdefault(request, _WHOLE))


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


def runner(name: str, upstream: str) -> web.BaseRunner:
    """``bare`` on aiohttp's low-level server, ``application`` the way most servers are written."""
    if name == "relay":
        return web.ServerRunner(web.Server(Relay(upstream), access_log=None))
    if name == "application":
        app = web.Application()
        app.router.add_post("/v1/chat/completions", Bare().__call__)
        return web.AppRunner(app, access_log=None)
    return web.ServerRunner(web.Server(Bare() if name == "bare" else backend, access_log=None))


async def serve(name: str, port: int, upstream: str) -> None:
    store: dict[bytes, bytes] = {}
    protocols: dict[str, Callable[[], asyncio.Protocol]] = {
        "pausing": Pausing, "instant": Instant, "raw": lambda: Raw(store)
    }  # fmt: skip
    if name in protocols:
        loop = asyncio.get_running_loop()
        await loop.create_server(protocols[name], "127.0.0.1", port, backlog=1024)
        print("ready", flush=True)
        await asyncio.Event().wait()
    running = runner(name, upstream)
    await running.setup()
    await web.TCPSite(running, "127.0.0.1", port, backlog=1024).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), "".join(sys.argv[3:])))
