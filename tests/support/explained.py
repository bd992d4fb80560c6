"""What is explained at the admin listener, and a backend that answers whatever it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
import orjson

from support.proxied import Proxied
from support.raw_chat import COUNTED, DOCUMENT, JSON, STREAM, stream
from support.scripted import Call

Json = dict[str, Any]

CHAT = "/v1/chat/completions"
SECRET = "sk-canary-7d1e"  # a credential that must be told nowhere


def chat(text: str = "Why?", **more: Any) -> Json:
    """The body of a chat."""
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def described(
    body: Json | str | None = None,
    *,
    path: str = CHAT,
    method: str = "POST",
    key: str | None = SECRET,
    **headers: str,
) -> Json:
    """A request as the operator describes it; ``headers`` have ``_`` for ``-``."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        fields["Authorization"] = f"Bearer {key}"
    return {
        "method": method,
        "path": path,
        "headers": fields,
        "body": chat() if body is None and method == "POST" else body,
    }


class Operator:
    """Asks the admin listener of one proxy."""

    def __init__(self, proxy: Proxied) -> None:
        self._proxy = proxy

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._session.close()

    async def post(self, path: str, said: Json, status: int = 200) -> Json:
        """What is answered, with this status."""
        async with self._session.post(f"{self._proxy.admin_url}{path}", json=said) as reply:
            text = await reply.text()
            assert reply.status == status, text
            return dict(orjson.loads(text))

    async def get(self, path: str, status: int = 200, /, **query: Any) -> Json:
        """As ``post``, by GET."""
        url = f"{self._proxy.admin_url}{path}"
        async with self._session.get(url, params=query) as reply:
            text = await reply.text()
            assert reply.status == status, text
            return dict(orjson.loads(text))

    async def explain(self, request: Json, **more: Any) -> Json:
        """The explanation of one request."""
        return dict((await self.post("/explain", {"request": request, **more}))["request"])

    async def send(self, request: Json) -> tuple[int, Json]:
        """Send the request for real, as its client would: status and headers of the answer."""
        body, headers = request["body"], dict(request["headers"])
        content = body.encode() if isinstance(body, str) else orjson.dumps(body)
        if body is not None and not isinstance(body, str):
            headers.setdefault("Content-Type", "application/json")
        async with self._session.request(
            request["method"],
            aiohttp.client.URL(f"{self._proxy.url}{request['path']}", encoded=True),
            data=None if body is None else content,
            headers=headers,
            skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
        ) as reply:
            await reply.read()
            return reply.status, dict(reply.headers)


@asynccontextmanager
async def operating(proxy: Proxied) -> AsyncIterator[Operator]:
    """An operator of ``proxy``."""
    async with Operator(proxy) as operator:
        yield operator


async def answer_anything(call: Call) -> None:
    """A chat, vectors, a resource, or an error that would come again."""
    if call.method != "POST":
        fields = [("Content-Type", "text/plain"), ("Cache-Control", "max-age=60"), ("ETag", '"a"')]
        await call.reply(200, fields, b"a resource")
        return
    try:
        asked = orjson.loads(call.body)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        await call.reply(400, JSON, b'{"error":{"message":"what?","type":"x","code":null}}')
    elif asked.get("model") == "missing":
        gone = b'{"error":{"message":"no","type":"x","param":null,"code":"model_not_found"}}'
        await call.reply(404, JSON, gone)
    elif "input" in asked:
        await call.reply(200, JSON, _vectors(asked))
    elif asked.get("stream"):
        counted = (asked.get("stream_options") or {}).get("include_usage")
        await stream(call, COUNTED if counted else STREAM)
    else:
        await call.reply(200, JSON, DOCUMENT)


def _vectors(asked: Json) -> bytes:
    given = asked["input"]
    texts = given if isinstance(given, list) else [given]
    rows = [
        {"object": "embedding", "index": at, "embedding": _vector(str(text))}
        for at, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return orjson.dumps({"object": "list", "data": rows, "model": "m", "usage": usage})


def _vector(text: str) -> list[float]:
    return [byte / 256 for byte in hashlib.sha256(text.encode()).digest()[:4]]
