"""A backend that speaks Anthropic's protocol: counts what it is asked and proves what it answers.

Every answer names its question and the credential it was asked with, so that an answer in the wrong
hands gives itself away; and every answer has an id of its own, so that two that are equal came from
one call. A model that is named like a recording in ``dialects/golden/anthropic`` answers with that,
to the byte; ``unknown`` is a model it does not have, and ``stops: <reason>`` one that ends so.

Nothing happens by time: ``hold`` keeps answers back until ``release``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson

from proxy.wire import frames
from support.scripted import Call, ScriptedUpstream

Json = dict[str, Any]

GOLDEN = Path(__file__).parents[1] / "dialects" / "golden" / "anthropic"
RECORDED = sorted(path.stem for path in GOLDEN.glob("*.sse"))
EVENTS = [("Content-Type", "text/event-stream; charset=utf-8")]
JSON = [("Content-Type", "application/json")]


class Fault(NamedTuple):
    """An answer that is an error."""

    status: int
    kind: str
    message: str = "So sorry."
    headers: tuple[tuple[str, str], ...] = ()


def recorded(name: str, suffix: str) -> bytes:
    """What a backend once sent; ``suffix`` is ".sse" or ".json"."""
    return (GOLDEN / name).with_suffix(suffix).read_bytes()


class AnthropicBackend:
    """On 127.0.0.1 and a free port, while it is entered."""

    def __init__(self) -> None:
        self.up = ScriptedUpstream()
        self.asked: list[Call] = []
        self.faults: deque[Fault] = deque()  # the next answers, one each
        self._free = asyncio.Event()
        self._free.set()

    @property
    def url(self) -> str:
        return self.up.url

    def hold(self) -> None:
        """Keep back what is not said yet: answers, and of streams all but the first event."""
        self._free.clear()

    def release(self) -> None:
        """Say what was kept back."""
        self._free.set()

    async def __aenter__(self) -> Self:
        self.up.answer_with(self._answer)
        await self.up.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
        await self.up.__aexit__(kind, error, trace)

    async def _answer(self, call: Call) -> None:
        question: Json = orjson.loads(await call.whole())
        self.asked.append(call)
        about = [
            ("request-id", f"req_{len(self.asked)}"),
            ("anthropic-organization-id", "org_1"),
            ("anthropic-workspace-id", "wrkspc_1"),
        ]
        fault = self._fault(question)
        if fault is not None:
            told = {"type": fault.kind, "message": fault.message}
            error = {"type": "error", "error": told, "request_id": "req_1"}
            await self._free.wait()
            await call.reply(fault.status, [*JSON, *about, *fault.headers], orjson.dumps(error))
        elif call.target.partition("?")[0].endswith("/count_tokens"):
            count = {"input_tokens": len(str(question["messages"]))}
            await call.reply(200, [*JSON, *about], orjson.dumps(count))
        elif question.get("stream"):
            stream = self._stream(call, question)
            await call.head(200, [*EVENTS, *about], chunked=True)
            for piece in stream:
                await call.chunk(piece)
                await self._free.wait()
            await call.end()
        else:
            await self._free.wait()
            await call.reply(200, [*JSON, *about], self._document(call, question))

    def _fault(self, question: Json) -> Fault | None:
        if question.get("model", "unknown") == "unknown":
            return Fault(404, "not_found_error", "model: unknown")
        return self.faults.popleft() if self.faults else None

    def _stream(self, call: Call, question: Json) -> list[bytes]:
        if question["model"] in RECORDED:
            found, rest = frames.split(recorded(question["model"], ".sse"))
            return [*found, rest]
        message = message_for(call, question, len(self.asked))
        return [
            frames.frame(orjson.dumps(event), event["type"].encode()) for event in events(message)
        ]

    def _document(self, call: Call, question: Json) -> bytes:
        if question["model"] in RECORDED:
            return recorded(question["model"], ".json")
        return orjson.dumps(message_for(call, question, len(self.asked)))


def message_for(call: Call, question: Json, number: int) -> Json:
    """The answer to ``question``; ``number`` tells it from all others."""
    last = question["messages"][-1]["content"]
    credential = call.field("x-api-key") or call.field("authorization")
    model, tools = question["model"], question.get("tools") or []
    content: list[Json] = []
    if question.get("thinking"):
        content.append({"type": "thinking", "thinking": "Hm. " * 3, "signature": f"c2ln{number}"})
    calls = [tool for tool in tools if "input_schema" in tool] if isinstance(last, str) else []
    if question.get("output_config"):
        content.append({"type": "text", "text": orjson.dumps({"about": last}).decode()})
    elif not calls:
        content.append({"type": "text", "text": f"You asked {last!r} as {credential}."})
    content += [
        {"type": "tool_use", "id": f"toolu_{at}", "name": tool["name"], "input": {"about": last}}
        for at, tool in enumerate(calls)
    ]
    stop = model.removeprefix("stops: ") if model.startswith("stops: ") else "end_turn"
    counts = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 7}
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "tool_use" if calls else stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 5, **counts, "output_tokens": 11, "service_tier": "standard"},
    }


def events(message: Json) -> Iterator[Json]:
    """``message`` as the backend streams it: in pieces of no more than six characters."""
    begun = {"content": [], "stop_reason": None, "usage": message["usage"] | {"output_tokens": 1}}
    yield {"type": "message_start", "message": message | begun}
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        opening, deltas = _told(block)
        yield {"type": "content_block_start", "index": index, "content_block": opening}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 11}}
    yield {"type": "message_stop"}


def _told(block: Json) -> tuple[Json, list[Json]]:
    if block["type"] == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
        return block | {"text": ""}, deltas
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": each} for each in _pieces("Hm. " * 3)]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return block | {"thinking": "", "signature": ""}, deltas
    given = orjson.dumps(block["input"]).decode()
    deltas = [
        {"type": "input_json_delta", "partial_json": piece} for piece in ["", *_pieces(given)]
    ]
    return block | {"input": {}}, deltas


def _pieces(text: str) -> list[str]:
    return [text[at : at + 6] for at in range(0, len(text), 6)]
