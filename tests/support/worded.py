"""Scenes in which questions are put in other words: who answers, when all is learned, what is told.

``NGRAM`` needs no model: with it ``ASKED`` and ``ALIKE`` are as near as can be, and neither the
canonical question nor a slip of the keyboard makes them equal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from proxy.app.semantic import Semantic
from proxy.model.entry import CacheKey
from proxy.semantic.base import Neighbour, Row
from proxy.semantic.embedding import Standing
from proxy.semantic.index.local import LocalIndex
from support.proxied import Proxied
from support.raw_chat import DOCUMENT, JSON, event, stream
from support.raw_client import RawResponse
from support.scene import Scene
from support.scripted import Call

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

Json = dict[str, Any]
Told = tuple[str | None, str | None]

ASKED = "How do I cancel my gym membership?"
ALIKE = "How can I cancel my membership at the gym?"
ALIKE_TOO = "How could I cancel my membership of the gym?"
UNLIKE = "Where can I find my invoices?"

HIT: Told = ("HIT", "semantic")
NO_SHADOW: Json = {"shadow": {"enabled": False}}
# All the time there is, for what is not about time.
PATIENT: Json = {"timeout_s": 10.0}
NGRAM: Json = {
    "enabled": True,
    "embedder": {"kind": "ngram", **PATIENT},
    "index": {"timeout_s": 10.0},
    **NO_SHADOW,
}


def missed(doubt: str) -> Told:
    """What is told of a question that the backend was asked, since ``doubt`` kept it from a hit."""
    return "MISS", f"uri-miss, {doubt}"


def told(reply: RawResponse) -> Told:
    return reply.get("X-Cache"), reply.get("X-Cache-Reason")


def said(reply: RawResponse) -> str:
    """The answer, of a document."""
    return str(orjson.loads(reply.body)["choices"][0]["message"]["content"])


def answering(s: Scene, words: Callable[[Json, int], str]) -> None:
    """Let the backend answer each call with ``words`` of the request and the call's number."""
    numbers = iter(range(1_000_000))

    async def answer(call: Call) -> None:
        asked = orjson.loads(call.body)
        text = words(asked, next(numbers))
        if asked.get("stream"):
            first, rest = event(role="assistant", content=""), event(content=text)
            await stream(call, [first, rest, event(finish="stop"), b"data: [DONE]\n\n"])
        else:
            document = orjson.loads(DOCUMENT)
            document["choices"][0]["message"]["content"] = text
            await call.reply(200, JSON, orjson.dumps(document))

    s.up.answer_with(answer)


def alike(_asked: Json, _number: int) -> str:
    """One answer for all."""
    return "You write to the desk, and leave your card there at the end of the month."


def numbered(_asked: Json, number: int) -> str:
    """An answer that is another each time, and says so in a number."""
    return f"You pay {number + 10} more and then you are free to go."


def semantic(proxy: Proxied) -> Semantic:
    assert proxy.semantic is not None
    return proxy.semantic


async def ready(proxy: Proxied, standing: Standing | None = None) -> None:
    """Return once the embedder is fit for something, or stands as ``standing`` says."""
    embedding = semantic(proxy).embedding
    assert embedding is not None
    async with asyncio.timeout(100):
        # A model loads in a thread, which needs the time that a busy loop would take.
        fit = embedding.ready if standing is None else embedding.standing is standing
        while not fit:
            await asyncio.sleep(0.002)
            fit = embedding.ready if standing is None else embedding.standing is standing
    if standing is None:
        await semantic(proxy).learner.settled()


async def learned(proxy: Proxied) -> None:
    """Return once all that was answered is stored and learned, errands of nobody's too."""
    await proxy.landed()
    await semantic(proxy).learner.settled()


async def asked_once(s: Scene, text: str = ASKED, **more: Any) -> RawResponse:
    """Ask what was not asked before, and wait until it is learned."""
    reply = await s.whole(text=text, **more)
    assert reply.get("X-Cache") == "MISS"
    await learned(s.proxy)
    return reply


class LyingIndex(LocalIndex):
    """Names all it was ever told of, of whichever namespace, as the very same question."""

    def __init__(self) -> None:
        super().__init__(None, max_rows=1000, dtype="f32", exact_up_to=1000, wall=lambda: 0.0)
        self.known: dict[CacheKey, None] = {}

    async def add(self, rows: Sequence[Row]) -> None:
        self.known.update(dict.fromkeys(row.key for row in rows))

    async def remove(self, namespace: bytes, keys: Sequence[CacheKey]) -> None:
        """Never."""

    async def search(self, namespace: bytes, vector: Vector, count: int) -> Sequence[Neighbour]:
        return [Neighbour(key, 1.0) for key in reversed(self.known)]


def lie(proxy: Proxied) -> LyingIndex:
    """Let ``proxy`` have an index that lies."""
    parts, index = semantic(proxy), LyingIndex()
    parts.finder._index = parts.learner._index = index
    return index
