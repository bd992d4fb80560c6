"""A message as one document, and as a stream of events: each made from the other.

A block opens as it will be, but for what is still to be told: its text, its thinking and the
signature of that, its citations, the input of a tool. Deltas tell these. The input is JSON in
pieces, and is read once it is whole. Blocks that nothing can be added to come whole. How the
message ends is told at last, with the token counts: these are totals, and take the place of those
that were told at the beginning; what they leave out stays.

Members nobody has heard of are kept where they stand in the message or in a block. In an event they
have no known place in the document, and there are blocks and deltas of kinds that are not known
here; then there is no other form: better none than a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import orjson

from proxy.dialects.anthropic_messages.events import END, Broken, events_of
from proxy.dialects.shapes import Json, NoOtherForm, as_list, as_object, as_text, read_object
from proxy.dialects.typed_sse import written

_CALLS: Final = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
_WHOLE: Final = frozenset(
    {
        "redacted_thinking", "web_search_tool_result", "web_fetch_tool_result",
        "code_execution_tool_result", "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result", "tool_search_tool_result", "mcp_tool_result",
        "container_upload",
    }
)  # fmt: skip
# What each event consists of. The last three of ``message_delta`` belong to the message.
_MEMBERS: Final = {
    "message_start": frozenset({"type", "message"}),
    "content_block_start": frozenset({"type", "index", "content_block"}),
    "content_block_delta": frozenset({"type", "index", "delta"}),
    "content_block_stop": frozenset({"type", "index"}),
    "message_delta": frozenset(
        {"type", "delta", "usage", "context_management", "input_transformations"}
    ),
    END: frozenset({"type"}),
}
_OF_MESSAGE: Final = ("context_management", "input_transformations")
_STOP: Final = ("stop_reason", "stop_sequence", "stop_details")
_ENDING: Final = frozenset({*_STOP, "container"})
# Of ``usage``, what the end of a stream tells; all else has been told at its beginning.
_COUNTS: Final = (
    "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens",
    "output_tokens_details", "server_tool_use",
)  # fmt: skip
_DELTAS: Final = {
    "text_delta": frozenset({"type", "text"}),
    "citations_delta": frozenset({"type", "citation"}),
    "thinking_delta": frozenset({"type", "thinking", "estimated_tokens"}),  # the last: a hint
    "signature_delta": frozenset({"type", "signature"}),
    "input_json_delta": frozenset({"type", "partial_json"}),
}


def document_of(stream: bytes) -> bytes:
    """The document that a whole ``stream`` adds up to. Raises NoOtherForm."""
    message = _Message()
    try:
        for event in events_of(stream):
            message.hear(read_object(event.data, "an event"))
    except Broken as error:
        raise NoOtherForm(str(error)) from error
    return orjson.dumps(message.whole())


def stream_of(document: bytes) -> bytes:
    """A stream that adds up to ``document``. Raises NoOtherForm."""
    return written(_events(read_object(document, "a document")))


# From events to the whole.


class _Message:
    """A message as far as it has been told. Every method raises NoOtherForm."""

    def __init__(self) -> None:
        self._message: Json | None = None
        self._usage: Json | None = None
        self._blocks: list[_Block] = []

    def hear(self, event: Json) -> None:
        """Add what ``event`` tells."""
        kind = str(event.get("type"))
        if not event.keys() <= _MEMBERS.get(kind, frozenset()):
            raise NoOtherForm(f"{kind} with members of no known place")
        match kind:
            case "message_start":
                self._begin(as_object(event.get("message")))
            case "content_block_start":
                if event.get("index") != len(self._blocks):
                    raise NoOtherForm("blocks out of order")
                self._blocks.append(_Block(as_object(event.get("content_block"))))
            case "content_block_delta":
                self._at(event).add(as_object(event.get("delta")))
            case "content_block_stop":
                self._at(event).stop()
            case "message_delta":
                self._end(event)
            case _:  # that of the end has nothing else to tell
                pass

    def whole(self) -> Json:
        """The whole message, once all has been heard."""
        message = self._told()
        message["content"] = [block.whole() for block in self._blocks]
        if self._usage is not None:
            message["usage"] = self._usage
        return message

    def _told(self) -> Json:
        if self._message is None:
            raise NoOtherForm("no message")
        return self._message

    def _begin(self, message: Json) -> None:
        if self._message is not None or message.get("content") != []:
            raise NoOtherForm("not one message from its beginning")
        if "type" not in message:  # a document has that, and perhaps more that is left out here
            raise NoOtherForm("a message that leaves out what goes without saying")
        self._message = message
        if message.get("usage") is not None:
            self._usage = as_object(message["usage"])

    def _at(self, event: Json) -> _Block:
        index = event.get("index")
        if type(index) is not int or not 0 <= index < len(self._blocks):
            raise NoOtherForm("no such block")
        return self._blocks[index]

    def _end(self, event: Json) -> None:
        message, delta = self._told(), as_object(event.get("delta"))
        if not delta.keys() <= _ENDING:
            raise NoOtherForm("an end with members of no known place")
        for name in _STOP:
            if name in delta:
                message[name] = delta[name]
            elif message.get(name) is not None:
                message[name] = None  # it was told of another end
        told = {"container": delta.get("container")}
        for name, value in (told | {name: event.get(name) for name in _OF_MESSAGE}).items():
            if value is not None:
                message[name] = value
        if (counts := event.get("usage")) is not None:
            usage = self._usage = self._usage or {}
            for name, value in as_object(counts).items():
                if value is not None or name not in usage:
                    usage[name] = value


class _Block:
    """A block of content as far as it has been told. Every method raises NoOtherForm."""

    def __init__(self, opening: Json) -> None:
        self._kind = str(opening.get("type"))
        if self._kind not in {"text", "thinking", *_CALLS, *_WHOLE}:
            raise NoOtherForm(f"a block of kind {self._kind}")
        self._block = opening
        self._pieces: list[str] = []  # of its text, of its thinking, of the JSON of its input
        self._citations: list[object] = []
        self._signed = False
        self._stopped = False

    def add(self, delta: Json) -> None:
        """Add what ``delta`` tells."""
        if self._stopped:
            raise NoOtherForm("a block that goes on after its end")
        kind = str(delta.get("type"))
        if not delta.keys() <= _DELTAS.get(kind, frozenset()):
            raise NoOtherForm(f"{kind} with members of no known place")
        match self._kind, delta:
            case "text", {"type": "text_delta", "text": str(text)}:
                self._pieces.append(text)
            case "text", {"type": "citations_delta", "citation": dict(citation)}:
                self._citations.append(citation)
            case "thinking", {"type": "thinking_delta", "thinking": str(text)}:
                self._pieces.append(text)
            case "thinking", {"type": "signature_delta", "signature": str(signature)}:
                if self._signed or self._block.get("signature"):
                    raise NoOtherForm("more than one signature")
                self._signed = True
                self._block["signature"] = signature
            case _, {"type": "input_json_delta", "partial_json": str(piece)} if (
                self._kind in _CALLS
            ):
                self._pieces.append(piece)
            case _:
                raise NoOtherForm(f"{kind} in {self._kind}")

    def stop(self) -> None:
        """Nothing is added from here on."""
        if self._stopped:
            raise NoOtherForm("a block that ends twice")
        self._stopped = True
        said = "".join(self._pieces)
        if self._kind in _CALLS:
            if said:
                self._block["input"] = self._input(said)
        elif self._pieces:
            opening = self._block.get(self._kind, "")
            if not isinstance(opening, str):
                raise NoOtherForm(f"{self._kind} that is no text")
            self._block[self._kind] = opening + said
        if self._citations:
            opened = self._block.get("citations") or []
            self._block["citations"] = [*as_list(opened), *self._citations]

    def whole(self) -> Json:
        """The block, once it has stopped."""
        if not self._stopped:
            raise NoOtherForm("a block that does not stop")
        return self._block

    def _input(self, said: str) -> Json:
        if self._block.get("input"):
            raise NoOtherForm("an input told twice")
        return read_object(said.encode(), "an input")


# From the whole to events.


def _events(message: Json) -> Iterator[Json]:
    usage = as_object(message.get("usage"))
    if message.get("type") != "message" or type(usage.get("output_tokens")) is not int:
        raise NoOtherForm("not a message with its token counts")
    ending: Json = {name: message[name] for name in _STOP if name in message}
    opening: Json = {**message, "content": [], **dict.fromkeys(ending)}
    opening["usage"] = {**usage, "output_tokens": 0}  # as none has been written yet
    yield {"type": "message_start", "message": opening}
    for index, block in enumerate(map(as_object, as_list(message.get("content")))):
        start, deltas = _taken_apart(block)
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    counts = {name: usage[name] for name in _COUNTS if usage.get(name) is not None}
    yield {"type": "message_delta", "delta": ending, "usage": counts}
    yield {"type": END}


def _taken_apart(block: Json) -> tuple[Json, list[Json]]:
    """How ``block`` opens, and what is told of it after that."""
    kind = str(block.get("type"))
    if kind == "text":
        text, citations = as_text(block.get("text")), block.get("citations")
        start: Json = {**block, "text": ""}
        deltas: list[Json] = [{"type": "text_delta", "text": text}] if text else []
        if citations:
            start["citations"] = []
            told = [as_object(citation) for citation in as_list(citations)]
            deltas += [{"type": "citations_delta", "citation": each} for each in told]
        return start, deltas
    if kind == "thinking":
        thinking, signature = as_text(block.get("thinking")), block.get("signature")
        start = {**block, "thinking": ""}
        deltas = [{"type": "thinking_delta", "thinking": thinking}] if thinking else []
        if signature:
            start["signature"] = ""
            deltas.append({"type": "signature_delta", "signature": as_text(signature)})
        return start, deltas
    if kind in _CALLS:
        given = as_object(block.get("input"))
        # Backends tell an empty input as a delta that is empty: clients wait for one.
        piece = orjson.dumps(given).decode() if given else ""
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece}]
    if kind in _WHOLE:
        return block, []
    raise NoOtherForm(f"a block of kind {kind}")
