"""Twelve secrets, requests that are full of them, and a backend that answers with some.

A canary is a word that occurs nowhere else and that no rule of redaction would take for a secret by
its looks: where one turns up, something has told what it was told in confidence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from support.scripted import Call

Json = dict[str, Any]


def _canary(name: str) -> str:
    return f"Qz{name}7Vx"


AUTHORIZATION: Final = _canary("authorization")
X_API_KEY: Final = _canary("xapikey")
API_KEY: Final = _canary("apikey")
COOKIE: Final = _canary("cookie")
QUERY: Final = _canary("query")
PROMPT: Final = _canary("prompt")
RESPONSE: Final = _canary("response")
REDIS: Final = _canary("redis")
ADMIN: Final = _canary("admin")
USERINFO: Final = _canary("userinfo")
TOOL: Final = _canary("tool")
TENANT: Final = _canary("tenant")

ALL: Final = (
    AUTHORIZATION, X_API_KEY, API_KEY, COOKIE, QUERY, PROMPT, RESPONSE, REDIS, ADMIN, USERINFO,
    TOOL, TENANT,
)  # fmt: skip

SECRETS: Final = {
    "Authorization": f"Bearer {AUTHORIZATION}",
    "X-Api-Key": X_API_KEY,
    "Api-Key": API_KEY,
    "Cookie": f"session={COOKIE}",
    "X-Tenant": TENANT,
}
"""The headers that every request has."""

EVENTS: Final = [("Content-Type", "text/event-stream")]
JSON: Final = [("Content-Type", "application/json")]
LINES: Final = [("Content-Type", "application/x-ndjson")]


def found(text: str | bytes, *but: str) -> set[str]:
    """The canaries in ``text``, in whatever case, less those that may be there."""
    plain = (text if isinstance(text, str) else text.decode("latin-1")).lower()
    return {canary for canary in ALL if canary not in but and canary.lower() in plain}


_USAGE: Final = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
_CALL: Final = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": orjson.dumps({"about": TOOL}).decode()},
}
_TOOL: Final = {"name": "look_up", "description": TOOL, "parameters": {"type": "object"}}


@dataclass(frozen=True)
class Kind:
    """A kind of request that the proxy understands, and what a backend answers to it."""

    name: str
    path: str
    asked: Json | None  # None: a GET
    headers: list[tuple[str, str]]
    answer: bytes
    more: dict[str, str] = field(default_factory=dict)  # further headers of the answer

    def body(self, variant: str) -> bytes | None:
        """The request's body; ``variant`` keeps it from being answered like another."""
        return None if self.asked is None else orjson.dumps(_put(self.asked, variant))


def _put(value: Any, variant: str) -> Any:
    match value:
        case dict():
            return {name: _put(inner, variant) for name, inner in value.items()}
        case list():
            return [_put(inner, variant) for inner in value]
        case str():
            return value.replace("%", variant)
    return value


def _stream(*events: Json) -> bytes:
    return b"".join(b"data: %b\n\n" % orjson.dumps(each) for each in events) + b"data: [DONE]\n\n"


def _named(*events: Json) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (each["type"].encode(), orjson.dumps(each)) for each in events
    )


_SAID: Final = {"role": "user", "content": f"What of {PROMPT} %?"}
_CHAT: Final = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m"}
_CHUNK: Final = {**_CHAT, "object": "chat.completion.chunk"}


def _choice(message: Json, finish: str = "stop") -> Json:
    return {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}


KINDS: Final = (
    Kind(
        "chat",
        "/v1/chat/completions",
        {"model": "m", "messages": [_SAID]},
        JSON,
        orjson.dumps({**_CHAT, "choices": [_choice({"content": RESPONSE})], "usage": _USAGE}),
    ),
    Kind(
        "chat with tools",
        "/v1/chat/completions",
        {
            "model": "m",
            "messages": [
                _SAID,
                {"role": "assistant", "content": None, "tool_calls": [_CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": TOOL},
            ],
            "tools": [{"type": "function", "function": _TOOL}],
        },
        JSON,
        orjson.dumps(
            {**_CHAT, "usage": _USAGE,
             "choices": [_choice({"content": None, "tool_calls": [_CALL]}, "tool_calls")]}
        ),
    ),
    Kind(
        "stream",
        "/v1/chat/completions",
        {"model": "m", "messages": [_SAID], "stream": True},
        EVENTS,
        _stream(
            {**_CHUNK, "choices": [{"index": 0, "delta": {"content": RESPONSE}}]},
            {**_CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        ),
    ),
    Kind(
        "completion",
        "/v1/completions",
        {"model": "m", "prompt": f"{PROMPT} %"},
        JSON,
        orjson.dumps(
            {**_CHAT, "object": "text_completion", "usage": _USAGE,
             "choices": [{"index": 0, "text": RESPONSE, "finish_reason": "stop"}]}
        ),
    ),
    Kind(
        "response",
        "/v1/responses",
        {"model": "m", "input": f"{PROMPT} %", "store": False, "instructions": TOOL},
        JSON,
        orjson.dumps(
            {"id": "r1", "object": "response", "created_at": 1, "status": "completed",
             "model": "m", "error": None, "incomplete_details": None,
             "output": [{"id": "m1", "type": "message", "role": "assistant",
                         "status": "completed",
                         "content": [{"type": "output_text", "text": RESPONSE,
                                      "annotations": []}]}],
             "usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}}
        ),
    ),
    Kind(
        "message",
        "/v1/messages",
        {"model": "m", "max_tokens": 99, "messages": [_SAID]},
        JSON,
        orjson.dumps(
            {"id": "m1", "type": "message", "role": "assistant", "model": "m",
             "content": [{"type": "text", "text": RESPONSE}], "stop_reason": "end_turn",
             "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 7}}
        ),
    ),
    Kind(
        "message stream",
        "/v1/messages",
        {"model": "m", "max_tokens": 99, "messages": [_SAID], "stream": True},
        EVENTS,
        _named(
            {"type": "message_start",
             "message": {"id": "m1", "type": "message", "role": "assistant", "model": "m",
                         "content": [], "stop_reason": None, "stop_sequence": None,
                         "usage": {"input_tokens": 5, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0,
             "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0,
             "delta": {"type": "text_delta", "text": RESPONSE}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
             "usage": {"output_tokens": 7}},
            {"type": "message_stop"},
        ),
    ),
    Kind(
        "ollama",
        "/api/chat",
        {"model": "m", "messages": [_SAID], "stream": False},
        JSON,
        orjson.dumps(
            {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": True,
             "message": {"role": "assistant", "content": RESPONSE}, "done_reason": "stop",
             "prompt_eval_count": 5, "eval_count": 7}
        ),
    ),
    Kind(
        "embedding",
        "/v1/embeddings",
        {"model": "m", "input": f"{PROMPT} %"},
        JSON,
        orjson.dumps(
            {"object": "list", "model": "m", "note": RESPONSE,
             "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
             "usage": {"prompt_tokens": 5, "total_tokens": 5}}
        ),
    ),
    Kind(
        "ranking",
        "/v1/rerank",
        {"model": "m", "query": f"{PROMPT} %", "documents": ["one", PROMPT]},
        JSON,
        orjson.dumps(
            {"id": RESPONSE, "results": [{"index": 0, "relevance_score": 0.9},
                                         {"index": 1, "relevance_score": 0.1}]}
        ),
    ),
    Kind(
        "rag",
        "/ask",
        {"question": f"What of {PROMPT} %?", "collection": TENANT},
        JSON,
        orjson.dumps({"answer": RESPONSE, "sources": [{"id": "doc-1", "text": RESPONSE}]}),
    ),
    Kind(
        "resource",
        "/r/%",
        None,
        [("Content-Type", "text/plain")],
        RESPONSE.encode(),
        {"Cache-Control": "public, max-age=60", "ETag": '"one"'},
    ),
    Kind("other", "/v1/other", {"what": f"{PROMPT} %"}, JSON, orjson.dumps({"said": RESPONSE})),
)  # fmt: skip

HOWS: Final = ("well", "failing", "dying", "garbage", "cut", "refusing")
"""How the backend answers each kind, by the header ``X-How``."""


async def backend(call: Call) -> None:
    """Answer as the headers ``X-Kind`` and ``X-How`` say."""
    kind = next((each for each in KINDS if each.name == call.field("x-kind")), KINDS[0])
    headers = [*kind.headers, *kind.more.items(), ("X-Request-Id", RESPONSE)]
    match call.field("x-how"):
        case "failing":
            await call.reply(500, JSON, orjson.dumps({"error": {"message": RESPONSE}}))
        case "refusing":
            await call.reply(401, JSON, orjson.dumps({"error": {"message": RESPONSE}}))
        case "dying":
            await call.reset()
        case "garbage":
            await call.raw(f"HTTP/1.1 2{RESPONSE}\r\n{RESPONSE}\r\n\r\n".encode())
            await call.reset()
        case "cut":
            await call.head(200, headers, length=len(kind.answer))
            await call.raw(kind.answer[: len(kind.answer) * 2 // 3])
            await call.reset()
        case "hanging":
            await call.hung_up()
        case _:
            await call.reply(200, headers, kind.answer)
