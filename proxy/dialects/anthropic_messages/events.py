"""The events of a Messages stream, in the order they came and to the end that the stream says.

They are told as ``typed_sse`` has it, but for the ``type``, which no event may leave out. ``ping``
says nothing and may stand anywhere; ``message_stop`` is the end, behind which there may be the
``[DONE]`` that vLLM puts at the end of every stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from proxy.dialects.typed_sse import Told, told
from proxy.model.decision import Why
from proxy.model.query import Refusal

END: Final = "message_stop"
_PING: Final = "ping"


class Broken(ValueError):
    """Not the events of one whole message; ``why`` and ``detail`` say how."""

    def __init__(self, why: Why, detail: str = "") -> None:
        super().__init__(detail or why)
        self.why = why
        self.detail = detail


def events_of(stream: bytes) -> Iterator[Told]:
    """What a whole ``stream`` tells, event by event, ``message_stop`` last; pings left out.

    Raises:
        Broken: the stream does not come to its end, goes on after it, tells of an error, or has an
            event of another shape.
    """
    events = told(stream, frozenset({END}))
    if isinstance(events, Refusal):
        raise Broken(events.why, events.detail)
    for event in events:
        if event.says.get("type") != event.type:
            raise Broken(Why.NOT_UNDERSTOOD, "an event whose data says no type")
        if event.type != _PING:
            yield event
