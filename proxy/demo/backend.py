"""A backend to try the proxy on: OpenAI's chat completions, made up, at the pace of a real one.

It takes its time before the first token and between tokens, whether the answer is streamed or not,
and counts what it was asked. What an answer says depends on the question alone, but each has an id
of its own: two that are equal to the byte came from one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import orjson
from aiohttp import web

from proxy.demo.answers import answer_to, tokens

MODEL: Final = "demo"
_CHUNK: Final = "chat.completion.chunk"
_CREATED: Final = 1_767_225_600  # seconds since the epoch; made up like the rest
_LARGEST_QUESTION: Final = 4 * 2**20  # bytes
_PATIENCE_S: Final = 0.1  # for answers under way when it is closed; to aiohttp 0 means for ever

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long an answer takes, in seconds."""

    first_token_s: float = 0.6
    token_s: float = 0.02

    def until(self, count: int) -> float:
        """Seconds until ``count`` tokens are there."""
        return self.first_token_s + max(0, count - 1) * self.token_s


class DemoBackend:
    """The demo's backend; by default on a free port of this machine, which nobody else can reach.

    Args:
        pace: how long its answers take.
        pause: waits for so many seconds.
        at: the address and the port it listens on; 0 is a free one.
    """

    def __init__(
        self,
        pace: Pace = Pace(),
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        at: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.calls = 0  # questions it began to answer
        self._pace = pace
        self._pause = pause
        self._runner: web.AppRunner | None = None
        self._host, self._port = at

    @property
    def url(self) -> str:
        """Its origin, once started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises OSError if it cannot be there."""
        application = web.Application(middlewares=[_in_shape], client_max_size=_LARGEST_QUESTION)
        application.router.add_post("/v1/chat/completions", self._complete)
        application.router.add_get("/v1/models", _models)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handler_cancellation=True,  # who hangs up is not answered any further
            shutdown_timeout=_PATIENCE_S,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self._port = site.port

    async def close(self) -> None:
        """Stop listening and break off what is under way. Idempotent."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

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

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = _understood(await request.read())
        self.calls += 1
        answer = _Answer(f"chatcmpl-demo-{self.calls}", asked)
        if not asked.stream:
            await self._pause(self._pace.until(len(answer.said)))
            return _json(answer.document())
        await self._pause(self._pace.first_token_s)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for number, chunk in enumerate(answer.chunks()):
            if number:
                await self._pause(self._pace.token_s)
            await response.write(b"data: %b\n\n" % orjson.dumps(chunk))
        await response.write(b"data: [DONE]\n\n")
        return response


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question as this backend understands it."""

    model: str
    question: str  # what was said last
    prompt_tokens: int  # of all that was said
    stream: bool
    usage: bool  # a stream that ends with its token counts


class _Answer:
    """One answer, as a document or as the chunks of a stream."""

    def __init__(self, name: str, asked: _Asked) -> None:
        self._asked = asked
        self.said = answer_to(asked.question)
        self._name = name
        self._usage: Json = {
            "prompt_tokens": asked.prompt_tokens,
            "completion_tokens": len(self.said),
            "total_tokens": asked.prompt_tokens + len(self.said),
        }

    def document(self) -> Json:
        message = {"role": "assistant", "content": "".join(self.said), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return {**self._about("chat.completion"), "choices": [choice], "usage": self._usage}

    def chunks(self) -> Iterator[Json]:
        yield self._chunk({"role": "assistant", "content": self.said[0]})
        for token in self.said[1:]:
            yield self._chunk({"content": token})
        yield self._chunk({}, finish="stop")
        if self._asked.usage:
            yield {**self._about(_CHUNK), "choices": [], "usage": self._usage}

    def _chunk(self, delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        counts: Json = {"usage": None} if self._asked.usage else {}
        return {**self._about(_CHUNK), "choices": [choice], **counts}

    def _about(self, kind: str) -> Json:
        return {"id": self._name, "object": kind, "created": _CREATED, "model": self._asked.model}


class _BadRequest(Exception):
    """The caller's: what is wrong, and with which member of the body."""

    def __init__(self, text: str, member: str | None = None) -> None:
        super().__init__(text)
        self.member = member


def _understood(body: bytes) -> _Asked:
    """What ``body`` asks. Raises _BadRequest."""
    try:
        asked = orjson.loads(body)
    except ValueError:
        raise _BadRequest("The body of the request is not valid JSON.") from None
    if not isinstance(asked, dict):
        raise _BadRequest("The body of the request must be a JSON object.")
    model, stream = asked.get("model"), asked.get("stream") or False
    options = asked.get("stream_options")
    if not (isinstance(model, str) and model):
        raise _BadRequest("A model is missing; any name will do here.", "model")
    if not isinstance(stream, bool):
        raise _BadRequest("'stream' must be true or false.", "stream")
    if options is not None and not (stream and isinstance(options, dict)):
        raise _BadRequest("'stream_options' must be an object, for a stream.", "stream_options")
    said = _said(asked.get("messages"))
    count = sum(len(tokens(text)) for text in said)
    return _Asked(model, said[-1], count, stream, bool((options or {}).get("include_usage")))


def _said(messages: object) -> list[str]:
    """The text of each message; at least one. Raises _BadRequest."""
    if not (isinstance(messages, list) and messages):
        raise _BadRequest("'messages' must be a list with at least one message.", "messages")
    said = []
    for number, message in enumerate(messages):
        if not (isinstance(message, dict) and isinstance(message.get("role"), str)):
            raise _BadRequest("A message must be an object with a role.", f"messages[{number}]")
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content or ""}]
        if not all(isinstance(part, dict) for part in parts):
            raise _BadRequest("A part of a message must be an object.", f"messages[{number}]")
        said.append(" ".join(str(part["text"]) for part in parts if "text" in part))
    return said


async def _models(_request: web.Request) -> web.StreamResponse:
    model = {"id": MODEL, "object": "model", "created": _CREATED, "owned_by": "sidecache"}
    return _json({"object": "list", "data": [model]})


@web.middleware
async def _in_shape(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Errors in the shape that OpenAI gives them."""
    try:
        return await handler(request)
    except _BadRequest as error:
        return _problem(400, str(error), error.member)
    except web.HTTPException as error:
        return _problem(error.status, f"{error.reason}: {request.method} {request.path}")


def _problem(status: int, text: str, member: str | None = None) -> web.Response:
    error = {"message": text, "type": "invalid_request_error", "param": member, "code": None}
    return _json({"error": error}, status)


def _json(content: Json, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(content), headers={"Content-Type": "application/json"}
    )
