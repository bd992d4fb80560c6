"""Streams of typed events: every event is a JSON object that says its ``type``, one type ends all.

OpenAI's Responses and Anthropic's Messages are told this way. The name of an event repeats the
type; some backends leave it out, and where the two differ nobody knows which one a client goes by.
What follows the end may only be what means nothing: comments, empty lines, and the ``[DONE]`` that
some gateways put at the end of every stream.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

from proxy.model.decision import Why
from proxy.model.query import Refusal
from proxy.wire import frames

ERROR: Final = "error"  # the type of an event that ends a stream before its time
_DONE: Final = b"[DONE]"

Json = dict[str, object]


class Told(NamedTuple):
    """One event."""

    type: str
    says: Json  # the whole object, its type included
    data: bytes  # as it came


def told(body: bytes, ends: frozenset[str]) -> list[Told] | Refusal:
    """The events of a whole stream, of which the last is of a type in ``ends``; else what is amiss.

    No proper prefix of a stream is whole, but for what follows its end without meaning.
    """
    events: list[Told] = []
    found, rest = frames.split(body)
    for at, frame in enumerate(found):
        heard = frames.parse(frame)
        if heard is None:
            continue
        if heard.data == _DONE:
            return Refusal(Why.INCOMPLETE, "[DONE] before the end")
        event = _read(heard)
        if isinstance(event, Refusal):
            return event
        events.append(event)
        if event.type in ends:
            after = b"".join([*filter(means_something, found[at + 1 :]), rest])
            if frames.is_last(frame, after):
                return events
            return Refusal(Why.INCOMPLETE, f"{event.type} was not the end")
    return Refusal(Why.INCOMPLETE, f"no {' or '.join(sorted(ends))}")


def written(events: Iterable[Json]) -> bytes:
    """``events``, which all say their type, as a stream."""
    return b"".join(
        frames.frame(orjson.dumps(event), str(event["type"]).encode()) for event in events
    )


def means_something(frame: bytes) -> bool:
    """Whether ``frame`` may not stand behind the end: all but the ``[DONE]`` of a gateway."""
    heard = frames.parse(frame)
    return heard is None or heard.data != _DONE


def _read(heard: frames.Event) -> Told | Refusal:
    name = heard.name.decode(errors="replace")
    if name == ERROR:
        return Refusal(Why.ERROR_IN_BODY)
    try:
        says = orjson.loads(heard.data)
    except ValueError:
        return Refusal(Why.INCOMPLETE, "an event that is not valid JSON")
    if not isinstance(says, dict):
        return Refusal(Why.NOT_UNDERSTOOD, "an event that is no object")
    kind = says.get("type", name)
    if kind == ERROR or says.get("error"):
        return Refusal(Why.ERROR_IN_BODY)
    if not (isinstance(kind, str) and kind and name in ("", kind)):
        return Refusal(Why.NOT_UNDERSTOOD, "an event of no type, or of two")
    return Told(kind, says, heard.data)
