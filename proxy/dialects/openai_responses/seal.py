"""Whether an answer of the Responses API is whole and worth keeping.

A document says so itself, by its ``status``. A stream is whole if it ends with the event that
carries that document, if none of its numbered events is missing, and if every item that was begun
has been done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from proxy.dialects.json_body import confidence
from proxy.dialects.openai_responses.state import STATE, refuse_answer
from proxy.dialects.typed_sse import Told, told
from proxy.model.decision import Why
from proxy.model.query import Form, Refusal, Sealed, Usage
from proxy.wire.json_pointer import Pointer

Json = dict[str, object]

# The events that end a stream, and the status of the document that each carries.
ENDS: Final = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
}
LAST: Final = frozenset(ENDS)
_CUT: Final = frozenset({"max_output_tokens", "content_filter"})
_UNDONE: Final = frozenset({"in_progress", "incomplete"})  # what an item's status may not be
_APPROVAL: Final = "mcp_approval_request"  # the one call that is not named a call


@dataclass(frozen=True, slots=True)
class Keep:
    """Which whole answers are kept."""

    truncated: bool = False  # those cut short by a length limit or a content filter
    tool_calls: bool = True
    empty: bool = False  # those that say nothing, for a moment
    state: tuple[str, ...] = STATE  # what an answer may not say of its request


class _Heard(NamedTuple):
    """A whole answer."""

    response: Json
    status: object
    items: list[object]


def seal(body: bytes, form: Form, keep: Keep, pointer: Pointer | None = None) -> Sealed | Refusal:
    """``body``, which has come in ``form``, if it is whole and to be kept; else why not.

    ``pointer`` leads to where a document says how sure the answer is.
    """
    heard = _hear_stream(body) if form.stream else _hear_document(body)
    if isinstance(heard, Refusal):
        return heard
    if refusal := _refuse(heard, keep):
        return refusal
    silent = not any(map(_speaks, heard.items))
    if silent and not keep.empty:
        return Refusal(Why.EMPTY)
    usage = heard.response.get("usage")
    return Sealed(
        Form(form.stream, usage=isinstance(usage, dict) or not form.stream),
        body,
        _counts(usage),
        confidence=confidence(None if pointer is None else pointer.find(heard.response)),
        negative=silent,
    )


def _hear_document(body: bytes) -> _Heard | Refusal:
    try:
        response = orjson.loads(body)
    except ValueError:
        return Refusal(Why.INCOMPLETE, "not valid JSON")
    if not isinstance(response, dict):
        return Refusal(Why.NOT_UNDERSTOOD, "not an object")
    return _heard(response, response.get("status"), {})


def _hear_stream(body: bytes) -> _Heard | Refusal:
    events = told(body, LAST)
    if isinstance(events, Refusal):
        return events
    if _misses_one(events):
        return Refusal(Why.INCOMPLETE, "an event is missing")
    begun: set[object] = set()
    done: dict[int, object] = {}
    for event in events:
        index = event.says.get("output_index")
        if event.type == "response.output_item.added" and event.says.get("item") is not None:
            begun.add(index)
        elif event.type == "response.output_item.done":
            if type(index) is not int:
                return Refusal(Why.NOT_UNDERSTOOD, "an item without an index")
            done[index] = event.says.get("item")
    last = events[-1]
    response, status = last.says.get("response"), ENDS[last.type]
    if not isinstance(response, dict) or response.get("status", status) != status:
        return Refusal(Why.NOT_UNDERSTOOD, "an end of another shape")
    if status == "completed" and not begun <= done.keys():
        return Refusal(Why.INCOMPLETE, "an item is not done")
    return _heard(response, status, done)


def _misses_one(events: list[Told]) -> bool:
    """Whether an event is missing by the numbers; backends that do not count are believed."""
    before: int | None = None
    for event in events:
        number = event.says.get("sequence_number")
        if type(number) is int:
            if before is not None and number > before + 1:
                return True
            before = number
    return False


def _heard(response: Json, status: object, done: dict[int, object]) -> _Heard | Refusal:
    if status == "failed" or response.get("error") or response.get("object") == "error":
        return Refusal(Why.ERROR_IN_BODY)
    items = response.get("output")
    if done and not items:  # some backends leave out at the end what they have told before
        items = [item for _, item in sorted(done.items())]
    if response.get("object") != "response" or not isinstance(items, list):
        return Refusal(Why.NOT_UNDERSTOOD, "no response")
    return _Heard(response, status, items)


def _refuse(heard: _Heard, keep: Keep) -> Refusal | None:
    """Why the answer is not to be kept."""
    if heard.status == "incomplete":
        details = heard.response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        if reason not in _CUT:
            return Refusal(Why.INCOMPLETE, "a reason not known to be a limit")
        if not keep.truncated:
            return Refusal(Why.TRUNCATED)
    elif heard.status != "completed":
        return Refusal(Why.INCOMPLETE, "not completed")
    if refusal := refuse_answer(heard.response, keep.state):
        return refusal
    for item in heard.items:
        if not (isinstance(item, dict) and isinstance(kind := item.get("type"), str)):
            return Refusal(Why.NOT_UNDERSTOOD, "an item of another shape")
        if heard.status == "completed" and item.get("status") in _UNDONE:
            return Refusal(Why.INCOMPLETE, "an item is not done")
        if not keep.tool_calls and (kind.endswith("_call") or kind == _APPROVAL):
            return Refusal(Why.TOOL_CALLS)
    return None


def _speaks(item: object) -> bool:
    """Whether ``item`` is an answer: a thought is none, nor is a message with nothing in it."""
    if not isinstance(item, dict) or item.get("type") == "reasoning":
        return False
    if item.get("type") != "message":
        return True
    parts = item.get("content")
    return isinstance(parts, list) and any(map(_tells, parts))


def _tells(part: object) -> bool:
    match part:
        case {"type": "output_text", "text": text} | {"type": "refusal", "refusal": text}:
            return bool(text)
        case _:
            return bool(part)


def _counts(usage: object) -> Usage | None:
    match usage:
        case {"input_tokens": int(prompt), "output_tokens": int(completion)}:
            return Usage(prompt, completion)
        case _:
            return None
