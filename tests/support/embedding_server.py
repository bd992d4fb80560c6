"""A service of embeddings that can go wrong in every way that such services do.

Well, it gives the vectors of the n-gram embedder. ``mood`` says what is wrong. Nothing happens by
time: ``hold`` keeps answers back until ``release``.
"""

from __future__ import annotations

import asyncio
import base64
from enum import Enum, auto
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import orjson
from aiohttp import web

from proxy.semantic.embedders.ngram import NgramEmbedder

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

KEY = "sk-of-the-embedder-0123456789"


class Mood(Enum):
    WELL = auto()
    BACKWARDS = auto()  # in another order, but numbered rightly
    UNNUMBERED = auto()
    BASE64 = auto()
    SHUFFLED = auto()  # the vectors of other texts
    TURNED = auto()  # as above: each has that of the next
    EQUAL = auto()  # one vector for all
    DICE = auto()  # another vector each time
    OTHER_MODEL = auto()  # good vectors, but not those of before
    ZEROS = auto()
    NAN = auto()  # as Python writes it
    NAN_BASE64 = auto()
    TOO_LONG = auto()
    TOO_FEW = auto()
    TWICE = auto()  # one number for two
    WORDS = auto()  # where numbers should be
    EMPTY = auto()
    GARBAGE = auto()
    NO_DATA = auto()
    ENDLESS = auto()
    FAILING = auto()
    REFUSING = auto()  # texts with "forbidden" in them
    UNAUTHORISED = auto()  # and says the key
    MOVED = auto()
    CUT = auto()  # in the middle of the body


class EmbeddingServer:
    """On 127.0.0.1 and a free port, from ``start`` to ``close``."""

    def __init__(self, mood: Mood = Mood.WELL) -> None:
        self.mood = mood
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []  # lower-case names
        self.paths: list[str] = []
        self._dice = np.random.default_rng(7)
        self._ngram = NgramEmbedder(256)
        self._other = NgramEmbedder(255)  # whose vectors are those of another model
        self._free = asyncio.Event()
        self._free.set()
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hold(self) -> None:
        """Keep answers back."""
        self._free.clear()

    def release(self) -> None:
        """Give what was kept back."""
        self._free.set()

    async def was_asked(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: len(self.asked) >= count)

    async def start(self) -> None:
        """Begin, and after ``close`` again, on the port of before."""
        await self._ngram.start()
        await self._other.start()
        application = web.Application(client_max_size=2**26)
        application.router.add_post("/{path:.*}", self._embed)
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = site.port

    async def close(self) -> None:
        runner, self._runner = self._runner, None
        self.release()
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        asked = orjson.loads(await request.read())
        self.asked.append(asked)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.paths.append(request.path_qs)
        async with self._changed:
            self._changed.notify_all()
        await self._free.wait()
        texts: list[str] = asked["input"]
        match self.mood:
            case Mood.FAILING:
                return _error(500, "CUDA out of memory")
            case Mood.REFUSING if any("forbidden" in text for text in texts):
                return _error(413, f"too long: {texts[0]}")
            case Mood.UNAUTHORISED:
                return _error(401, f"Incorrect API key provided: {KEY}.")
            case Mood.MOVED:
                return web.Response(status=308, headers={"Location": "http://127.0.0.1:9/"})
            case Mood.GARBAGE:
                return web.Response(body=b'{"data": [', content_type="application/json")
            case Mood.NO_DATA:
                return web.json_response({"object": "list"})
            case Mood.ENDLESS:
                return await self._pour(request)
            case Mood.CUT:
                return await self._break_off(request)
        vectors = await self._vectors(texts)
        return web.Response(body=self._written(vectors, asked), content_type="application/json")

    async def _vectors(self, texts: list[str]) -> list[Vector]:
        vectors = list(await self._ngram.embed(texts))
        match self.mood:
            case Mood.SHUFFLED:
                vectors = [vectors[at] for at in self._dice.permutation(len(vectors))]
            case Mood.TURNED:
                vectors = vectors[1:] + vectors[:1]
            case Mood.EQUAL:
                vectors = [vectors[0] * 0 + 1 for _ in vectors]
            case Mood.DICE:
                vectors = [self._dice.normal(size=256).astype(np.float32) for _ in vectors]
            case Mood.OTHER_MODEL:
                vectors = [np.pad(vector, (1, 0)) for vector in await self._other.embed(texts)]
            case Mood.ZEROS:
                vectors = [vector * 0 for vector in vectors]
            case Mood.NAN | Mood.NAN_BASE64:
                vectors = [vector * np.float32("nan") for vector in vectors]
            case Mood.TOO_LONG:
                vectors = [np.pad(vector, (0, 1)) for vector in vectors]
            case Mood.TOO_FEW:
                vectors = vectors[:-1]
            case Mood.EMPTY:
                vectors = [vector[:0] for vector in vectors]
        return vectors

    def _written(self, vectors: list[Vector], asked: dict[str, Any]) -> bytes:
        packed = self.mood in {Mood.BASE64, Mood.NAN_BASE64}
        data: list[dict[str, Any]] = [
            {"object": "embedding", "index": at, "embedding": _numbers(vector, packed=packed)}
            for at, vector in enumerate(vectors)
        ]
        match self.mood:
            case Mood.BACKWARDS:
                data.reverse()
            case Mood.UNNUMBERED:
                for item in data:
                    del item["index"]
            case Mood.TWICE:
                for item in data:
                    item["index"] = 0
            case Mood.WORDS:
                data[0]["embedding"] = ["one", None]
        body = orjson.dumps({"object": "list", "data": data, "model": asked["model"]})
        return body.replace(b"null", b"NaN") if self.mood is Mood.NAN else body

    async def _pour(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(2048):  # 128 MiB
            await response.write(b" " * 65_536)
        return response

    async def _break_off(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"data"')
        assert request.transport is not None
        request.transport.close()
        return response


def _numbers(vector: Vector, *, packed: bool) -> object:
    return base64.b64encode(vector.tobytes()).decode() if packed else vector.tolist()


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status)
