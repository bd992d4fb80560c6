"""An answer of the Responses API as one document, and as a stream of events.

The last event of a stream carries the document, so nothing has to be put together: it is taken out,
if it holds what the events before it have told. Some backends leave its items out, or tell others.

A stream is made of a document item by item: each is begun empty, told in one piece, and done. What
the items in between consist of is written down nowhere but in their events, so only items whose
events are known can be told; for all others there is no stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import orjson

from proxy.dialects.openai_responses.seal import ENDS, LAST
from proxy.dialects.shapes import Json, NoOtherForm, as_object, as_objects, as_text, read_object
from proxy.dialects.typed_sse import told, written
from proxy.model.query import Refusal

# What an item may be called at the end and otherwise before; it says the same.
_NAMES: Final = frozenset({"id", "status", "encrypted_content"})
# What is not known before the end, but for the output: each is null until then.
_LATER: Final = ("usage", "completed_at", "incomplete_details")
# Calls told in one string: where that stands, and the event that tells it.
_CALLS: Final = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
# Parts of a thought: their type, how they are numbered, and the events around and about their text.
_SUMMARY: Final = (
    "summary_text",
    "summary_index",
    "response.reasoning_summary_part",
    "response.reasoning_summary_text",
)
_THOUGHT: Final = (
    "reasoning_text",
    "content_index",
    "response.content_part",
    "response.reasoning_text",
)


def document_of(stream: bytes) -> bytes:
    """The document that a whole ``stream`` ends with. Raises NoOtherForm."""
    events = told(stream, LAST)
    if isinstance(events, Refusal):
        raise NoOtherForm(events.detail)
    last = events[-1]
    response = as_object(read_object(last.data, "an end").get("response"))
    if response.get("object") != "response" or response.get("status") != ENDS[last.type]:
        raise NoOtherForm("an end that is no document")
    done = {
        _index(event.says.get("output_index")): event.says.get("item")
        for event in events
        if event.type == "response.output_item.done"
    }
    said = [item for _, item in sorted(done.items())]
    if _gist(said) != _gist(response.get("output")):
        raise NoOtherForm("an end that does not hold what was told")
    return orjson.dumps(response)


def stream_of(document: bytes) -> bytes:
    """A stream that ends with ``document``. Raises NoOtherForm."""
    return written(_numbered(_events(read_object(document, "a document"))))


def _numbered(events: Iterable[Json]) -> Iterator[Json]:
    for number, event in enumerate(events):
        yield {"type": event["type"], "sequence_number": number, **event}


def _events(response: Json) -> Iterator[Json]:
    """The events that tell ``response``, less their numbers."""
    end = next((name for name, status in ENDS.items() if status == response.get("status")), None)
    if end is None:
        raise NoOtherForm("a document that is no end")
    begun = {**response, "status": "in_progress", "output": []}
    begun.update((name, None) for name in _LATER if name in response)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    items = as_objects(response.get("output"))
    names = [as_text(item.get("id")) for item in items]
    if len(set(names)) < len(names):
        raise NoOtherForm("two items of one name, which clients could not tell apart")
    for index, (item, name) in enumerate(zip(items, names, strict=True)):
        place: Json = {"output_index": index}
        opening, telling = _told(item, {"item_id": name, **place})
        if "status" in item:
            opening["status"] = "in_progress"
        yield {"type": "response.output_item.added", **place, "item": opening}
        yield from telling
        yield {"type": "response.output_item.done", **place, "item": item}
    yield {"type": end, "response": response}


def _told(item: Json, place: Json) -> tuple[Json, Iterator[Json]]:
    """``item`` before anything of it was told, and the events that tell it."""
    kind = item.get("type")
    if kind == "message":
        return {**item, "content": []}, _message(as_objects(item.get("content")), place)
    if kind == "reasoning":
        thoughts = item.get("content")
        summary = as_objects(item.get("summary"))
        opening: Json = {**item, "summary": []}
        if thoughts is not None:
            opening["content"] = []
        return opening, _reasoning(summary, as_objects(thoughts or []), place)
    if isinstance(kind, str) and kind in _CALLS:
        member, name = _CALLS[kind]
        return {**item, member: ""}, _delta(name, member, as_text(item.get(member)), place)
    raise NoOtherForm("an item whose events are not known")


def _message(parts: list[Json], place: Json) -> Iterator[Json]:
    for index, part in enumerate(parts):
        where = {**place, "content_index": index}
        match part.get("type"):
            case "output_text":
                telling = _output_text(part, where)
                empty: Json = {name: [] for name in ("annotations", "logprobs") if part.get(name)}
                opening = {**part, "text": "", **empty}
            case "refusal":
                text = as_text(part.get("refusal"))
                telling = _delta("response.refusal", "refusal", text, where)
                opening = {**part, "refusal": ""}
            case _:
                raise NoOtherForm("a part whose events are not known")
        yield {"type": "response.content_part.added", **where, "part": opening}
        yield from telling
        yield {"type": "response.content_part.done", **where, "part": part}


def _output_text(part: Json, where: Json) -> Iterator[Json]:
    text = as_text(part.get("text"))
    logprobs = {"logprobs": as_objects(part.get("logprobs") or [])}
    if text or logprobs["logprobs"]:
        yield {"type": "response.output_text.delta", **where, "delta": text, **logprobs}
    for index, annotation in enumerate(as_objects(part.get("annotations") or [])):
        told = {"annotation_index": index, "annotation": annotation}
        yield {"type": "response.output_text.annotation.added", **where, **told}
    yield {"type": "response.output_text.done", **where, "text": text, **logprobs}


def _reasoning(summary: list[Json], thoughts: list[Json], place: Json) -> Iterator[Json]:
    for parts, (kind, numbered, around, about) in ((summary, _SUMMARY), (thoughts, _THOUGHT)):
        for index, part in enumerate(parts):
            if part.get("type") != kind:
                raise NoOtherForm("a thought whose events are not known")
            where = {**place, numbered: index}
            yield {"type": f"{around}.added", **where, "part": {**part, "text": ""}}
            yield from _delta(about, "text", as_text(part.get("text")), where)
            yield {"type": f"{around}.done", **where, "part": part}


def _delta(name: str, member: str, text: str, where: Json) -> Iterator[Json]:
    """``text`` in one piece, and then as a whole in ``member``."""
    if text:
        yield {"type": f"{name}.delta", **where, "delta": text}
    yield {"type": f"{name}.done", **where, member: text}


def _gist(value: object) -> object:
    """What ``value`` says, by whatever name: less what is empty, and less names."""
    if isinstance(value, list):
        return [_gist(item) for item in value]
    if isinstance(value, dict):
        said = {name: _gist(member) for name, member in value.items() if name not in _NAMES}
        return {name: member for name, member in said.items() if member not in (None, "", [], {})}
    return value


def _index(value: object) -> int:
    if type(value) is not int:
        raise NoOtherForm("no index that counts")
    return value
