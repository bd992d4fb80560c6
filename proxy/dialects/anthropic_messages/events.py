"""The events of a Messages stream, in the order they came and to the end that the stream says.

Each event says what it is twice: as the name of the event and as the ``type`` of its data. Clients
go by one or the other, so they must agree where both are given. ``ping`` says nothing and may stand
anywhere. ``message_stop`` is the end: only comments and empty lines may follow it, and the
``[DONE]`` that vLLM puts at the end of every stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from proxy.dialects.typed_sse import means_something
from proxy.model.decision import Why
from proxy.wire import frames

Json = dict[str, object]

END: Final = "message_stop"
# An empty line of which nothing is missing; a CR is half a CRLF unless the line before ends so too.
_BLANK: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Broken(ValueError):
    """Not the events of one whole message; ``why`` and ``detail`` say how."""

    def __init__(self, why: Why, detail: str = "") -> None:
        super().__init__(detail or why)
        self.why = why
        self.detail = detail


def events_of(stream: bytes, read: Callable[[bytes], object]) -> Iterator[Json]:
    """What a whole ``stream`` tells, event by event, ``message_stop`` last; pings left out.

    Args:
        stream: all that came.
        read: reads the JSON of one event; raises ValueError.

    Raises:
        Broken: the stream does not come to its end, goes on after it, tells of an error, or has an
            event of another shape.
    """
    found, rest = frames.split(stream)
    for at, frame in enumerate(found):
        raw = frames.parse(frame)
        if raw is None:
            continue
        event = _event(raw, read)
        if event.get("type") == "ping":
            continue
        yield event
        if event.get("type") == END:
            after = b"".join([*filter(means_something, found[at + 1 :]), rest])
            if frame.endswith(_BLANK) and frames.silent(after):
                return
            raise Broken(Why.INCOMPLETE, f"{END} was not the end")
    raise Broken(Why.INCOMPLETE, f"no {END}")


def _event(raw: frames.Event, read: Callable[[bytes], object]) -> Json:
    if raw.name == b"error":
        raise Broken(Why.ERROR_IN_BODY)
    try:
        event = read(raw.data)
    except ValueError as error:
        raise Broken(Why.INCOMPLETE, "an event that is not valid JSON") from error
    if not isinstance(event, dict):
        raise Broken(Why.NOT_UNDERSTOOD, "an event that is no object")
    kind = event.get("type")
    if kind == "error":
        raise Broken(Why.ERROR_IN_BODY)
    if not isinstance(kind, str) or (raw.name and raw.name != kind.encode()):
        raise Broken(Why.NOT_UNDERSTOOD, "an event by two names")
    return event
