"""A backend that speaks OpenAI's protocol: counts what it is asked and proves what it answers.

Every answer names its question and the credential it was asked with, so that an answer in the wrong
hands gives itself away; and every answer has an id of its own, so that two that are equal came from
one call. What is special about an answer is asked for as it would be of a real backend (``tools``,
``response_format``, ``n``, ``logprobs``), or by the name of the model: ``refuses``, ``reasons``,
``cut-short``; ``unknown`` is a model it does not have.

Nothing happens by time: ``hold`` keeps answers back until ``release``. ``mischief`` may make some
calls go wrong.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import pack
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from support.responses_told import frame, response_document, told

Json = dict[str, Any]

CREATED = 1_767_225_600
SPEECH = bytes(range(256)) * 512  # what all speech sounds like, 128 KiB
REVOKED = "sk-revoked"  # a credential it refuses


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]  # lower-case names
    body: bytes  # of a form: the file in it
    query: str = ""

    @property
    def json(self) -> Json:
        return orjson.loads(self.body)

    @property
    def credential(self) -> str:
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return bearer or self.headers.get("api-key", "")


@dataclass(frozen=True)
class Fault:
    """An answer that is an error."""

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)


class OpenAIBackend:
    """On 127.0.0.1 and a ``port``, 0 for a free one, from ``start`` to ``close``."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self.asked: list[Asked] = []
        self.faults: deque[Fault] = deque()  # the next answers, one each
        self.ended_early = 0  # calls whose caller hung up
        self.headers: dict[str, str] = {}  # on every answer to a chat
        # Asked once for each answer to a chat: "break" ends its connection, "dawdle" takes
        # some time over each piece, "" does neither.
        self.mischief: Callable[[], str] = lambda: ""
        self._free = asyncio.Event()
        self._free.set()
        self._held_after = 1
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.url = ""

    @property
    def calls(self) -> Counter[str]:
        """How often each path was asked for."""
        return Counter(asked.path for asked in self.asked)

    def hold(self, after: int = 1) -> None:
        """Keep back what is not said yet: answers, and what follows so many pieces of a stream."""
        self._held_after = after
        self._free.clear()

    def release(self) -> None:
        """Say what was kept back."""
        self._free.set()

    async def was_asked(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: len(self.asked) >= count)

    async def was_left(self, count: int) -> None:
        """Wait until so many callers have hung up."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self.ended_early >= count)

    async def start(self) -> None:
        application = web.Application(client_max_size=2**30)
        application.router.add_post("/v1/chat/completions", self._chat)
        application.router.add_post("/openai/deployments/{name}/chat/completions", self._chat)
        application.router.add_post("/v1/completions", self._complete)
        application.router.add_post("/v1/responses", self._respond)
        application.router.add_post("/v1/embeddings", self._embed)
        application.router.add_get("/v1/models", self._models)
        application.router.add_post("/v1/files", self._file)
        application.router.add_post("/v1/audio/speech", self._speak)
        application.router.add_route("*", "/{path:.*}", self._elsewhere)
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=2048)
        await site.start()
        self.url = f"http://127.0.0.1:{site.port}"

    async def close(self) -> None:
        self.release()
        if self._runner is not None:
            await self._runner.cleanup()

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

    # -- routes -------------------------------------------------------------------------------

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = await self._note(request)
        if (fault := await self._fault(asked)) is not None:
            return fault
        return await self._answer(request, asked.json, chat_document(asked, len(self.asked)))

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = await self._note(request)
        if (fault := await self._fault(asked)) is not None:
            return fault
        said = f"You asked {asked.json['prompt']!r} as {asked.credential}."
        choice = {"index": 0, "text": said, "logprobs": None, "finish_reason": "stop"}
        document = _document(f"cmpl-{len(self.asked)}", "text_completion", asked.json, [choice])
        return await self._answer(request, asked.json, document)

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        asked = await self._note(request)
        if (fault := await self._fault(asked)) is not None:
            return fault
        document = response_document(asked.json, asked.credential, len(self.asked))
        return await self._answer(request, asked.json, document)

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        asked = await self._note(request)
        if (fault := await self._fault(asked)) is not None:
            return fault
        inputs = asked.json["input"]
        packed = asked.json.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": at, "embedding": _vector(each, packed=packed)}
            for at, each in enumerate(inputs if isinstance(inputs, list) else [inputs])
        ]
        usage = {"prompt_tokens": len(data), "total_tokens": len(data)}
        model = asked.json["model"]
        return _json({"object": "list", "data": data, "model": model, "usage": usage})

    async def _models(self, request: web.Request) -> web.StreamResponse:
        await self._note(request)
        model = {"id": "m", "object": "model", "created": CREATED, "owned_by": "nobody"}
        return _json({"object": "list", "data": [model]})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        upload = form["file"]
        assert isinstance(upload, web.FileField)
        with upload.file:
            asked = await self._note(request, upload.file.read())
        about = {"object": "file", "created_at": CREATED, "status": "processed"}
        name = {"id": "file-1", "filename": upload.filename, "purpose": form["purpose"]}
        return _json({**about, **name, "bytes": len(asked.body)})

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        await self._note(request)
        return web.Response(body=SPEECH, content_type="audio/mpeg")

    async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
        await self._note(request)
        return _error(Fault(404, f"Unknown request URL: {request.method} {request.path}."))

    # -- answering ----------------------------------------------------------------------------

    async def _note(self, request: web.Request, body: bytes | None = None) -> Asked:
        headers = {name.lower(): value for name, value in request.headers.items()}
        content = await request.read() if body is None else body
        asked = Asked(request.path, headers, content, request.rel_url.raw_query_string)
        self.asked.append(asked)
        await self._tell()
        return asked

    async def _fault(self, asked: Asked) -> web.Response | None:
        if asked.credential == REVOKED:
            return _error(Fault(401, f"Incorrect API key provided: {REVOKED}."))
        if asked.json["model"] == "unknown":
            return _error(Fault(404, "The model `unknown` does not exist."))
        if not self.faults:
            return None
        fault = self.faults.popleft()
        await self._free.wait()
        return _error(fault)

    async def _answer(
        self, request: web.Request, question: Json, document: Json
    ) -> web.StreamResponse:
        mischief = self.mischief()
        breaks, dawdles = mischief == "break", mischief == "dawdle"
        try:
            if not question.get("stream"):
                await self._free.wait()
                if dawdles:
                    await asyncio.sleep(0.01)
                if breaks:
                    return await _broken_off(request, 400)
                return _json(document, headers=self.headers)
            kind = {"Content-Type": "text/event-stream; charset=utf-8"}
            response = web.StreamResponse(headers=kind | self.headers)
            await response.prepare(request)
            for number, piece in enumerate(_pieces(question, document)):
                if breaks and number == 3:
                    _break_off(request)
                await response.write(piece)
                if number + 1 >= self._held_after:
                    await self._free.wait()
                if dawdles:
                    await asyncio.sleep(0.002)
        except (asyncio.CancelledError, ConnectionError):
            self.ended_early += 1
            await asyncio.shield(self._tell())
            raise
        return response

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _broken_off(request: web.Request, length: int) -> web.StreamResponse:
    """A document of which only the beginning comes."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = length
    await response.prepare(request)
    await response.write(b'{"id": "broken", ')
    _break_off(request)
    return response


def _break_off(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


# -- what it says ---------------------------------------------------------------------------------


def chat_document(asked: Asked, number: int) -> Json:
    """The answer to a chat, as one document; ``number`` tells it from all others."""
    question = asked.json
    choices = []
    for index in range(question.get("n") or 1):
        message, finish = _message(asked, question, index)
        choice: Json = {"index": index, "message": message, "finish_reason": finish}
        choice["logprobs"] = None
        if question.get("logprobs"):
            choice["logprobs"] = {"content": _logprobs(message["content"] or ""), "refusal": None}
        choices.append(choice)
    document = _document(f"chatcmpl-{number}", "chat.completion", question, choices)
    return {**document, "system_fingerprint": "fp_1", "service_tier": "default"}


def _message(asked: Asked, question: Json, index: int) -> tuple[Json, str]:
    message: Json = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    last = question["messages"][-1]
    if question.get("tools") and last["role"] != "tool":
        message["tool_calls"] = [
            {
                "id": f"call_{index}_{at}",
                "type": "function",
                "function": {
                    "name": tool["function"]["name"],
                    "arguments": orjson.dumps({"about": last["content"]}).decode(),
                },
            }
            for at, tool in enumerate(question["tools"])
        ]
        return message, "tool_calls"
    if question["model"] == "refuses":
        return {**message, "refusal": "I would rather not say."}, "stop"
    if (question.get("response_format") or {}).get("type") == "json_schema":
        said = {"question": last["content"], "steps": ["think", "answer"]}
        return {**message, "content": orjson.dumps(said).decode()}, "stop"
    message["content"] = f"You asked {last['content']!r} as {asked.credential} ({index})."
    if question["model"] == "reasons":
        message["reasoning_content"] = f"Somebody asks {last['content']!r}. What to say?"
    return message, "length" if question["model"] == "cut-short" else "stop"


def _document(name: str, kind: str, question: Json, choices: list[Json]) -> Json:
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    about = {"id": name, "object": kind, "created": CREATED, "model": question["model"]}
    return {**about, "choices": choices, "usage": usage}


def _logprobs(text: str) -> list[Json]:
    return [
        {"token": word, "logprob": -0.5 * at, "bytes": list(word.encode()), "top_logprobs": []}
        for at, word in enumerate(_words(text))
    ]


def _pieces(question: Json, document: Json) -> Iterator[bytes]:
    """``document`` as a stream."""
    if document["object"] == "response":
        yield from map(frame, told(document))
        return
    usage = bool((question.get("stream_options") or {}).get("include_usage"))
    for chunk in chunks_of(document, usage=usage):
        yield b"data: %b\n\n" % orjson.dumps(chunk)
    yield b"data: [DONE]\n\n"


def chunks_of(document: Json, *, usage: bool) -> Iterator[Json]:
    """``document`` as backends stream it: word by word, the choices in turn."""
    about = {name: document[name] for name in document if name not in ("choices", "usage")}
    if about["object"] == "chat.completion":
        about["object"] = "chat.completion.chunk"
    uncounted: Json = {"usage": None} if usage else {}
    spoken = [_deltas(choice) for choice in document["choices"]]
    for turn in range(max(map(len, spoken))):
        for choice in spoken:
            if turn < len(choice):
                yield {**about, "choices": [choice[turn]], **uncounted}
    if usage:
        yield {**about, "choices": [], "usage": document["usage"]}


def _deltas(choice: Json) -> list[Json]:
    index = choice["index"]
    if "text" in choice:
        said = [
            {"index": index, "text": word, "finish_reason": None} for word in _words(choice["text"])
        ]
        return [*said, {"index": index, "text": "", "finish_reason": choice["finish_reason"]}]
    message, logprobs = choice["message"], (choice["logprobs"] or {}).get("content")
    opening = {"role": "assistant", "content": message["content"] and "", "refusal": None}
    deltas: list[Json] = [{"delta": opening}]
    for name in ("reasoning_content", "refusal"):
        deltas += [{"delta": {name: word}} for word in _words(message.get(name) or "")]
    for at, call in enumerate(message.get("tool_calls") or ()):
        head = {**call, "function": {"name": call["function"]["name"], "arguments": ""}}
        deltas.append({"delta": {"tool_calls": [{"index": at, **head}]}})
        for word in _words(call["function"]["arguments"]):
            more = {"index": at, "function": {"arguments": word}}
            deltas.append({"delta": {"tool_calls": [more]}})
    for at, word in enumerate(_words(message["content"] or "")):
        told = {"content": [logprobs[at]], "refusal": None} if logprobs else None
        deltas.append({"delta": {"content": word}, "logprobs": told})
    said = [{"index": index, "finish_reason": None, **delta} for delta in deltas]
    return [*said, {"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}]


def vector_of(text: object) -> list[float]:
    """The embedding of ``text``, in four numbers that a float32 holds."""
    return [byte / 256 for byte in blake2b(orjson.dumps(text), digest_size=4).digest()]


def _vector(text: object, *, packed: bool) -> list[float] | str:
    vector = vector_of(text)
    return base64.b64encode(pack("<4f", *vector)).decode() if packed else vector


def _words(text: str) -> list[str]:
    """``text`` in pieces of no more than six characters."""
    return [text[at : at + 6] for at in range(0, len(text), 6)]


def _error(fault: Fault) -> web.Response:
    error = {"message": fault.message, "type": "scripted", "param": None, "code": "scripted_code"}
    return _json({"error": error}, fault.status, fault.headers)


def _json(content: Json, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    kind = {"Content-Type": "application/json"}
    return web.Response(status=status, body=orjson.dumps(content), headers=kind | (headers or {}))
