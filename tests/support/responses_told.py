"""Responses as a backend makes them: the document, and the events that tell it.

Written after the protocol's description, not after what the proxy makes of documents, so that each
can be held against the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

Json = dict[str, Any]
Cut = Callable[[str], list[str]]  # a text into pieces

CREATED = 1_767_225_600
_THOUGHTS = "response.reasoning_summary_part", "response.reasoning_summary_text"
_OPEN_THOUGHTS = "response.content_part", "response.reasoning_text"
_CALLS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}


def pieces_of_six(text: str) -> list[str]:
    """``text`` in pieces of no more than six characters."""
    return [text[at : at + 6] for at in range(0, len(text), 6)]


# -- the document ---------------------------------------------------------------------------------


def response_document(question: Json, credential: str, number: int) -> Json:
    """The answer to ``question``; ``number`` tells it from all others.

    What is special about it is asked for as it would be of a real backend, or by the name of the
    model: ``refuses``, ``reasons``, ``cites``, ``cut-short``.
    """
    items = _items(question, credential, number)
    cut = question["model"] == "cut-short"
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if cut else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": question.get("instructions"),
        "metadata": question.get("metadata") or {},
        "model": question["model"],
        "output": items,
        "parallel_tool_calls": True,
        "previous_response_id": question.get("previous_response_id"),
        "temperature": 1.0,
        "text": question.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": question.get("tools") or [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": 5,
            "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 12,
        },
    }


def _items(question: Json, credential: str, number: int) -> list[Json]:
    last = question["input"]
    if isinstance(last, list):
        last = last[-1].get("content") or last[-1].get("output")
    if question.get("tools") and not _results(question):
        return [_call(tool, last, at) for at, tool in enumerate(question["tools"])]
    said = f"You asked {last!r} as {credential}."
    if (question.get("text") or {}).get("format", {}).get("type") == "json_schema":
        said = orjson.dumps({"question": last, "steps": ["think", "answer"]}).decode()
    part: Json = {"type": "output_text", "text": said, "annotations": [], "logprobs": []}
    if question["model"] == "cites":
        place = {"start_index": 0, "end_index": 3, "title": "You", "url": "https://example.org"}
        part["annotations"] = [{"type": "url_citation", **place}]
    if "message.output_text.logprobs" in (question.get("include") or ()):
        part["logprobs"] = [
            {"token": word, "bytes": list(word.encode()), "logprob": -0.5 * at, "top_logprobs": []}
            for at, word in enumerate(pieces_of_six(said))
        ]
    if question["model"] == "refuses":
        part = {"type": "refusal", "refusal": "I would rather not say."}
    about = {"id": f"msg_{number}", "type": "message", "role": "assistant"}
    message = {**about, "status": "completed", "content": [part]}
    if question["model"] != "reasons":
        return [message]
    summary = [{"type": "summary_text", "text": text} for text in ("What is asked?", "How odd.")]
    thought = {"id": f"rs_{number}", "type": "reasoning", "encrypted_content": "gAAA=="}
    return [{**thought, "summary": summary}, message]


def _results(question: Json) -> bool:
    items = question["input"]
    return isinstance(items, list) and items[-1].get("type") == "function_call_output"


def _call(tool: Json, last: str, at: int) -> Json:
    about = {"id": f"fc_{at}", "call_id": f"call_{at}", "name": tool["name"], "status": "completed"}
    if tool["type"] == "custom":
        return {**about, "type": "custom_tool_call", "input": f"look up {last}"}
    arguments = orjson.dumps({"about": last}).decode()
    return {**about, "type": "function_call", "arguments": arguments}


# -- its events -----------------------------------------------------------------------------------


def told(document: Json, cut: Cut = pieces_of_six) -> Iterator[Json]:
    """The events of a stream that tells ``document``, numbered and padded."""
    for number, event in enumerate(_events(document, cut)):
        padding = {"obfuscation": "x" * (number % 7)} if event["type"].endswith("delta") else {}
        yield {**event, "sequence_number": number, **padding}


def as_stream(events: Iterator[Json] | list[Json]) -> bytes:
    """``events`` as they are sent."""
    return b"".join(map(frame, events))


def frame(event: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event))


def _events(document: Json, cut: Cut) -> Iterator[Json]:
    later = {"status": "in_progress", "output": [], "incomplete_details": None, "usage": None}
    begun = document | later
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for at, item in enumerate(document["output"]):
        where = {"item_id": item.get("id"), "output_index": at}
        yield {"type": "response.output_item.added", "output_index": at, "item": _begun(item)}
        if item["type"] in _CALLS:
            member, name = _CALLS[item["type"]]
            yield from _text(name, member, item[member], where, cut)
        for index, part in enumerate(item.get("summary") or ()):
            yield from _thought(_THOUGHTS, part, {**where, "summary_index": index}, cut)
        for index, part in enumerate(item.get("content") or ()):
            place = {**where, "content_index": index}
            if item["type"] == "reasoning":
                yield from _thought(_OPEN_THOUGHTS, part, place, cut)
            else:
                yield from _part(part, place, cut)
        yield {"type": "response.output_item.done", "output_index": at, "item": item}
    yield {"type": f"response.{document['status']}", "response": document}


def _begun(item: Json) -> Json:
    empty: Json = {"content": [], "summary": [], "arguments": "", "input": ""}
    empty |= {"status": "in_progress", "encrypted_content": "g"}
    return {name: empty.get(name, value) for name, value in item.items()}


def _part(part: Json, where: Json, cut: Cut) -> Iterator[Json]:
    empty: Json = {"text": "", "refusal": "", "annotations": [], "logprobs": []}
    opening = {name: value if name == "type" else empty.get(name) for name, value in part.items()}
    yield {"type": "response.content_part.added", **where, "part": opening}
    if part["type"] == "refusal":
        yield from _text("response.refusal", "refusal", part["refusal"], where, cut)
    else:
        name, logprobs = "response.output_text", list(part.get("logprobs") or ())
        for piece in cut(part["text"]):
            told = [logprobs.pop(0)] if logprobs else []
            yield {"type": f"{name}.delta", **where, "delta": piece, "logprobs": told}
        for at, note in enumerate(part.get("annotations") or ()):
            about = {"annotation_index": at, "annotation": note}
            yield {"type": f"{name}.annotation.added", **where, **about}
        whole = {"text": part["text"], "logprobs": part.get("logprobs") or []}
        yield {"type": f"{name}.done", **where, **whole}
    yield {"type": "response.content_part.done", **where, "part": part}


def _thought(names: tuple[str, str], part: Json, where: Json, cut: Cut) -> Iterator[Json]:
    around, about = names
    yield {"type": f"{around}.added", **where, "part": {**part, "text": ""}}
    yield from _text(about, "text", part["text"], where, cut)
    yield {"type": f"{around}.done", **where, "part": part}


def _text(name: str, member: str, text: str, where: Json, cut: Cut) -> Iterator[Json]:
    for piece in cut(text):
        yield {"type": f"{name}.delta", **where, "delta": piece}
    yield {"type": f"{name}.done", **where, member: text}
