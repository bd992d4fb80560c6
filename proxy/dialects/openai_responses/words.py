"""What a request to the Responses API is about: the words of the question, those of the answer."""

from __future__ import annotations

from typing import Final

import orjson

from proxy.dialects.openai_responses.forms import document_of
from proxy.dialects.shapes import Json, NoOtherForm
from proxy.dialects.words import ends, said_last, take_last_word
from proxy.model.entry import Entry
from proxy.model.query import Asking, Query

_ACTS: Final = ("tools", "tool_choice")
_THOUGHT: Final = "reasoning"  # the type of what is thought, not said


def question_of(asked: Json) -> str:
    """What the user said last, in text, as far as it is looked at; "" if there is none."""
    items = asked.get("input")
    return ends(items) if isinstance(items, str) else said_last(items)


def asking_of(canonical: bytes) -> Asking | None:
    """The request whose canonical body this is, taken apart.

    None unless what comes last is a user's and nothing but one text: an image, a tool's result or
    the variables of a prompt cannot be told in other words.
    """
    asked = orjson.loads(canonical)  # a dict: it was made from one
    items = asked.get("input")
    if isinstance(items, str):
        asked["input"] = None  # where it stood is part of the rest
        return _asking(items, asked, follows=False)
    last = take_last_word(items, part="input_text")
    return None if last is None else _asking(last.text, asked, follows=last.follows)


def _asking(text: str, rest: Json, *, follows: bool) -> Asking:
    acts = any(rest.get(name) for name in _ACTS)
    items = rest.get("input")
    if isinstance(items, list):  # tools may come as items of their own
        acts |= any(isinstance(item, dict) and "tools" in item for item in items)
    return Asking(text, orjson.dumps(rest), follows=follows, acts=acts)


def answer_of(entry: Entry) -> str | None:
    """What a stored response says, if that is one text and nothing else; None otherwise."""
    try:
        response = orjson.loads(document_of(entry.body) if entry.form.stream else entry.body)
    except (NoOtherForm, ValueError):
        return None
    items = response.get("output") if isinstance(response, dict) else None
    if not isinstance(items, list):
        return None
    match [item for item in items if not (isinstance(item, dict) and item.get("type") == _THOUGHT)]:
        case [{"type": "message", "content": [{"type": "output_text", "text": str(text)}]}]:
            return text or None
        case _:
            return None


def spoken(text: str, query: Query, created: int) -> bytes:
    """The document in which a model would answer ``query`` with ``text``."""
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    message = {"role": "assistant", "status": "completed", "content": content}
    return orjson.dumps(
        {
            "id": "resp_degraded",
            "object": "response",
            "created_at": created,
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "model": query.model,
            "output": [{"id": "msg_degraded", "type": "message", **message}],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": 0,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 0,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 0,
            },
        }
    )
