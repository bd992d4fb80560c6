"""A backend that makes vectors in every protocol: counts what it is asked and proves what it says.

A vector tells its text and the credential it was asked with, so that one in the wrong place or the
wrong hands gives itself away. Tokens are counted by bytes. A text with ``bad`` in it is refused,
and with it all that is asked for in the same call; the error names its place.

Nothing happens by time: ``hold`` keeps answers back until ``release``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

Json = dict[str, Any]
DIMENSIONS = 6


def numbers(text: str | list[int], credential: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The vector of ``text``, of numbers that a float32 can hold."""
    seed = f"{text!r} {credential}".encode()
    size = 4 * dimensions
    raw = hashlib.shake_128(seed).digest(size)
    return [value / 2**31 for value in struct.unpack(f"<{dimensions}i", raw)]


def spelled(vector: list[float]) -> bytes:
    """``vector`` with more digits than a reader needs, to tell those who write numbers anew."""
    return b"[" + b", ".join(b"%.20f" % value for value in vector) + b"]"


def packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def weight(text: str | list[int]) -> int:
    return len(text) if isinstance(text, list) else len(text.encode())


class Asked:
    """A request as it came."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path = path
        self.headers = headers
        self.json: Json = orjson.loads(body)
        self.body = body

    @property
    def credential(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def inputs(self) -> list[Any]:
        for name in ("input", "texts", "prompt"):
            if (value := self.json.get(name)) is not None:
                lone = isinstance(value, str) or (value and isinstance(value[0], int))
                return [value] if lone else value
        raise AssertionError(self.json)


class EmbeddingBackend:
    """On 127.0.0.1 and a free port, from ``start`` to ``close``."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.said: list[bytes] = []
        self.faults: deque[int] = deque()  # statuses of the next answers, one each
        self.twist: Callable[[Json], Json] = lambda document: document  # of OpenAI's answers
        self.headers: dict[str, str] = {}  # on every answer
        self.ended_early = 0
        self._free = asyncio.Event()
        self._free.set()
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.url = ""

    @property
    def sizes(self) -> list[int]:
        """How many inputs each call had."""
        return [len(asked.inputs) for asked in self.asked]

    def hold(self) -> None:
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    async def was_asked(self, count: int) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: len(self.asked) >= count)

    async def was_left(self, count: int) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self.ended_early >= count)

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=2**30)
        application.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=2048)
        await site.start()
        self.url = f"http://127.0.0.1:{site.port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.path, headers, await request.read())
        self.asked.append(asked)
        await self._tell()
        try:
            await self._free.wait()
        except asyncio.CancelledError:
            self.ended_early += 1
            await self._tell()
            raise
        if self.faults:
            return self._reply({"error": {"message": "So it is."}}, self.faults.popleft())
        for place, text in enumerate(asked.inputs):
            if "bad" in str(text):
                fault = {"message": f"input {place} is bad", "param": f"input.{place}"}
                return self._reply({"error": {**fault, "type": "invalid_request_error"}}, 400)
        document = answer(asked)
        if asked.path.endswith("/v1/embeddings"):
            document = self.twist(document)
        return self._reply(document)

    def _reply(self, document: Json, status: int = 200) -> web.Response:
        headers = {"Content-Type": "application/json", "X-Request-Id": f"r{len(self.asked)}"}
        body = orjson.dumps(document, option=orjson.OPT_INDENT_2)
        self.said.append(body)
        return web.Response(status=status, body=body, headers=headers | self.headers)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def answer(asked: Asked) -> Json:
    """What a backend says to ``asked``."""
    said, texts = asked.json, asked.inputs
    size = said.get("dimensions") or DIMENSIONS
    vectors = [numbers(text, asked.credential, size) for text in texts]
    raw = [orjson.Fragment(spelled(vector)) for vector in vectors]
    count = sum(map(weight, texts))
    if asked.path.endswith("/api/embed"):
        times = {"total_duration": len(texts) * 1000, "load_duration": 7}
        return {
            "model": said["model"], "embeddings": raw, **times, "prompt_eval_count": count
        }  # fmt: skip
    if asked.path.endswith("/api/embeddings"):
        return {"embedding": raw[0]}
    if asked.path.endswith("/embed"):
        kinds = said.get("embedding_types")
        units = {"billed_units": {"input_tokens": count}}
        columns: Any = raw
        if kinds:
            made = {
                "float": raw,
                "int8": [[int(value * 127) for value in vector] for vector in vectors],
                "base64": [packed(vector) for vector in vectors],
            }
            columns = {kind: made[kind] for kind in kinds}
        return {
            "id": f"id-{count}",
            "texts": [text.lower() for text in texts],
            "embeddings": columns,
            "meta": {"api_version": {"version": "2"}, **units},
            "response_type": "embeddings_by_type" if kinds else "embeddings_floats",
        }
    if said.get("encoding_format") == "base64":
        raw = [packed(vector) for vector in vectors]  # type: ignore[misc] # texts in place of lists
    data = [
        {"object": "embedding", "index": place, "embedding": vector}
        for place, vector in enumerate(raw)
    ]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": data, "model": said["model"], "usage": usage}
