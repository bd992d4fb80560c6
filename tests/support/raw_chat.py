"""Chats as bytes: questions to send on a raw connection, answers for a scripted backend."""

from __future__ import annotations

from typing import Any

import orjson

from support.raw_client import RawClient
from support.scripted import Call

PATH = "/v1/chat/completions"
EVENTS = [("Content-Type", "text/event-stream")]
JSON = [("Content-Type", "application/json")]


def question(text: str = "Why?", *, headers: str = "", version: str = "1.1", **more: Any) -> bytes:
    """A whole request; ``headers`` are lines with their ends."""
    asked = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    body = orjson.dumps(asked)
    return (
        f"POST {PATH} HTTP/{version}\r\nHost: proxy\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer sk-one\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    ).encode() + body


def event(*, finish: str | None = None, **delta: Any) -> bytes:
    """A piece of a streamed answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    about = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: %b\n\n" % orjson.dumps({**about, "choices": [choice]})


STREAM = [
    event(role="assistant", content=""),
    event(content="Be"),
    event(content="cause"),
    event(content="."),
    event(finish="stop"),
    b"data: [DONE]\n\n",
]
_COUNTS = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
COUNTS = b"data: %b\n\n" % orjson.dumps(
    {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [],
        "usage": _COUNTS,
    }
)
COUNTED = [*STREAM[:-1], COUNTS, STREAM[-1]]
DOCUMENT = orjson.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Because."},
                "finish_reason": "stop",
            }
        ],
        "usage": _COUNTS,
    }
)


async def stream(call: Call, events: list[bytes] = STREAM) -> None:
    """Answer ``call`` with a whole stream."""
    await call.head(200, EVENTS, chunked=True)
    for each in events:
        await call.chunk(each)
    await call.end()


async def begin(call: Call, events: list[bytes]) -> None:
    """Begin to answer ``call`` with a stream."""
    await call.head(200, EVENTS, chunked=True)
    for each in events:
        await call.chunk(each)


class Listener:
    """Hears a chunked body as it comes, without its framing."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self.heard = b""

    async def until(self, mark: bytes) -> bytes:
        """All that was heard so far, once ``mark`` is in it."""
        while mark not in self.heard:
            assert await self._piece(), f"the body ended after {self.heard!r}"
        return self.heard

    async def end(self) -> bytes:
        """All of it, once it has come to its proper end. Raises EOFError, ConnectionResetError."""
        while await self._piece():
            pass
        return self.heard

    async def _piece(self) -> bool:
        size = int(await self._client.until(b"\r\n"), 16)
        self.heard += await self._client.exactly(size)
        assert await self._client.exactly(2) == b"\r\n"
        return size > 0
