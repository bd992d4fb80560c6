"""A chat answer as one document, and as a stream of chunks: each made from the other.

What stands in a ``delta`` is a fragment: text is joined to what came before, lists are continued,
objects are merged by the same rules; tool calls are told apart by their ``index``, which documents
do not have. Who speaks, and what a thing is called, is said once: repeating it adds nothing. The
``text``, ``logprobs`` and ``token_ids`` of a choice are fragments too. All else is a statement
about the whole answer, where the latest word counts: objects are merged, and lists may only grow.

Members nobody has heard of follow these rules as well, so nothing is dropped but ``obfuscation``,
which is padding. Where the rules would have to guess (two names for one call, text that turns into
a list, a whole message inside a chunk) there is no other form: better none than a wrong one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

import orjson

from proxy.dialects.shapes import Json, NoOtherForm, as_list, as_object, as_objects, read_object
from proxy.wire import frames

DONE: Final = b"[DONE]"  # the data of the event that ends every stream

_Heard = dict[str, list[object]]  # a member's name, and all that was said under it, in order

_CHUNK: Final = "chat.completion.chunk"
_DOCUMENT: Final = "chat.completion"
_FRAGMENTS: Final = frozenset({"text", "logprobs", "token_ids"})  # of a choice, beside its delta
_ONCE: Final = frozenset({"role", "id", "type", "name"})
# Azure's content filter speaks up in chunks of its own, where these are empty.
_LASTING: Final = frozenset({"id", "object", "created", "model", "finish_reason"})


def document_of(stream: bytes) -> bytes:
    """The document that a whole ``stream`` adds up to. Raises NoOtherForm."""
    events = filter(None, map(frames.parse, frames.split(stream)[0]))
    chunks = [read_object(event.data, "a chunk") for event in events if event.data != DONE]
    return orjson.dumps(assemble(chunks))


def stream_of(document: bytes, *, usage: bool) -> bytes:
    """A stream that adds up to ``document``, token counts included if ``usage``.

    Raises:
        NoOtherForm: no stream does, or there are no token counts to include.
    """
    chunks = disassemble(read_object(document, "a document"), usage=usage)
    return b"".join([*(frames.frame(orjson.dumps(chunk)) for chunk in chunks), frames.frame(DONE)])


def assemble(chunks: Iterable[Json]) -> Json:
    """The answer that ``chunks`` add up to. Raises NoOtherForm."""
    said: _Heard = {}
    choices: dict[int, _Heard] = {}
    for chunk in chunks:
        _hear(chunk, said)
        for choice in as_objects(chunk.get("choices") or []):
            _hear(choice, choices.setdefault(_index(choice.get("index", 0)), {}))
    for name in ("choices", "obfuscation"):
        said.pop(name, None)
    usage = [counts for counts in said.pop("usage", []) if counts is not None]
    document = {name: _latest(name, values) for name, values in said.items()}
    if document.get("object") == _CHUNK:
        document["object"] = _DOCUMENT
    document["choices"] = [_choice(index, heard) for index, heard in sorted(choices.items())]
    if usage:
        document["usage"] = usage[-1]
    return document


def disassemble(document: Json, *, usage: bool) -> Iterator[Json]:
    """Chunks that add up to ``document``, ``usage`` included or not. Raises NoOtherForm."""
    counts = document.get("usage")
    if usage and not isinstance(counts, dict):
        raise NoOtherForm("no token counts")
    common = _without(document, "choices", "usage", "obfuscation")
    if common.get("object") == _DOCUMENT:
        common["object"] = _CHUNK
    pending: Json = {"usage": None} if usage else {}
    last = -1
    for position, choice in enumerate(as_objects(document.get("choices"))):
        index = _index(choice.get("index", position))
        if index <= last:
            raise NoOtherForm("choices out of order")
        last = index
        for part in _parts(_without(choice, "index")):
            yield {**common, "choices": [{"index": index, **part}], **pending}
    if usage:
        yield {**common, "choices": [], "usage": counts}


# From fragments to the whole.


def _choice(index: int, heard: _Heard) -> Json:
    choice: Json = {"index": index}
    for name, values in heard.items():
        if name == "message":
            raise NoOtherForm("a whole message inside a chunk")
        if name == "delta":
            choice["message"] = _message(values)
        elif name in _FRAGMENTS:
            choice[name] = _joined(name, values)
        elif name != "index":
            choice[name] = _latest(name, values)
    return choice


def _message(deltas: list[object]) -> Json:
    message = _merged(delta for delta in deltas if delta is not None)
    # Required members, which some backends leave out of their deltas.
    role = message.pop("role", None) or "assistant"
    return {"role": role, "content": message.pop("content", None), **message}


def _merged(parts: Iterable[object]) -> Json:
    heard: _Heard = {}
    for part in parts:
        _hear(as_object(part), heard)
    return {name: _joined(name, values) for name, values in heard.items()}


def _joined(name: str, values: list[object]) -> object:
    """The whole that fragments add up to, in the order they came."""
    said = [value for value in values if value is not None]
    if not said:
        return None
    if name == "tool_calls":
        return _tool_calls(said)
    if len(said) == 1:
        return said[0]
    if name in _ONCE:
        return _once(name, said)
    if name == "audio":
        return _audio(said)
    kinds = {type(value) for value in said}
    if kinds == {str}:
        return "".join(map(str, said))
    if kinds == {dict}:
        return _merged(said)
    if kinds == {list}:
        return list(chain.from_iterable(map(as_list, said)))
    if kinds <= {int, float, bool}:
        return said[-1]
    raise NoOtherForm(f"fragments of {name} that differ in kind")


def _tool_calls(said: list[object]) -> list[Json]:
    calls: dict[int, list[Json]] = {}
    for fragment in chain.from_iterable(map(as_objects, said)):
        index = _index(fragment.get("index"))
        calls.setdefault(index, []).append(_without(fragment, "index"))
    return [_merged(fragments) for _, fragments in sorted(calls.items())]


def _once(name: str, said: list[object]) -> object:
    named = [value for value in said if value] or said
    if any(value != named[0] for value in named):
        raise NoOtherForm(f"more than one {name}")
    return named[0]


def _audio(said: list[object]) -> Json:
    """As other objects, but pieces of base64 that are padded cannot simply be joined."""
    data = [str(part["data"]) for part in map(as_object, said) if part.get("data")]
    audio = _merged(said)
    if any(piece.endswith("=") for piece in data[:-1]):
        try:
            pieces = [base64.b64decode(piece, validate=True) for piece in data]
        except ValueError as error:
            raise NoOtherForm("audio that is not base64") from error
        audio["data"] = base64.b64encode(b"".join(pieces)).decode()
    return audio


def _latest(name: str, values: list[object]) -> object:
    """The last word in a row of statements about the whole answer."""
    said = [value for value in values if value is not None]
    if name in _LASTING:
        said = [value for value in said if value] or said
    if not said:
        return None
    last = said[-1]
    if not isinstance(last, dict | list) or all(value == last for value in said):
        return last
    if isinstance(last, dict):
        heard: _Heard = {}
        for value in said:
            _hear(as_object(value), heard)
        return {key: _latest(key, told) for key, told in heard.items()}
    if any(last[: len(as_list(value))] != value for value in said):
        raise NoOtherForm(f"lists of {name} that contradict each other")
    return last


# From the whole to fragments.


def _parts(choice: Json) -> Iterator[Json]:
    """What is told of one choice, chunk by chunk."""
    if "message" not in choice:  # a text completion, whose chunks look like documents
        yield choice
        return
    if "delta" in choice:
        raise NoOtherForm("a delta inside a document")
    opening, deltas = _deltas(as_object(choice["message"]))
    finish = _without(choice, "message", "logprobs", "finish_reason")
    logprobs: Json = {"logprobs": None} if "logprobs" in choice else {}
    spoken = next((name for name in ("content", "refusal") if name in deltas), None)
    for name, delta in ((None, opening), *deltas.items()):
        told = {"logprobs": choice["logprobs"]} if logprobs and name == spoken else logprobs
        yield {"delta": delta, **told, "finish_reason": None}
    yield {"delta": {}, **logprobs, "finish_reason": choice.get("finish_reason"), **finish}


def _deltas(message: Json) -> tuple[Json, dict[str, Json]]:
    """The first delta (who speaks, and all that is empty), and one for each other member."""
    opening: Json = {"role": message.get("role")} if "role" in message else {}
    deltas: dict[str, Json] = {}
    # Clients show the thinking before what was thought of.
    for name in sorted(message, key=lambda name: not name.startswith(("reasoning", "thinking"))):
        value = message[name]
        if name == "role":
            continue
        if name == "content" and isinstance(value, str):
            opening[name] = ""
        if not value:
            opening[name] = value
        elif name == "tool_calls":
            deltas[name] = {name: _numbered(as_objects(value))}
        else:
            deltas[name] = {name: value}
    return opening, deltas


def _numbered(calls: list[Json]) -> list[Json]:
    if any(call.get("index", at) != at for at, call in enumerate(calls)):
        raise NoOtherForm("tool calls out of order")
    return [{"index": at, **call} for at, call in enumerate(calls)]


# The shapes all this relies on.


def _hear(part: Json, heard: _Heard) -> None:
    for name, value in part.items():
        heard.setdefault(name, []).append(value)


def _without(whole: Json, *names: str) -> Json:
    return {name: value for name, value in whole.items() if name not in names}


def _index(value: object) -> int:
    if type(value) is not int or value < 0:
        raise NoOtherForm("no index that counts")
    return value
