"""The request log: one line for each request, from the record that feeds all else.

Lines hold names, numbers and the client's address; never prompts, answers, header values, query
strings or keys. What clients choose (path, model) is bounded and cannot end or colour a line.

A record is rendered at once, for keeping it would keep the request's body; lines are handed to the
sink in batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

import orjson

from proxy.model.outcome import Record
from proxy.observe.sink import Sink

_BATCH_S: Final = 0.05  # seconds a line may wait for company
_BATCH_LINES: Final = 256
_LONGEST: Final = 256  # characters of anything a client chose
_HEADLINE: Final = ("ts", "verdict", "why", "status", "method", "path")  # what text begins with
_SAID: Final = frozenset({*_HEADLINE, "event"})

CallLater = Callable[[float, Callable[[], None]], object]
_Fields = dict[str, object]


class RequestLog:
    """Writes one line for each record.

    Args:
        sink: where lines go.
        style: one JSON object a line, or text for people.
        wall: seconds since the epoch.
        call_later: the loop's; calls back after so many seconds.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        style: Literal["json", "text"],
        wall: Callable[[], float],
        call_later: CallLater,
    ) -> None:
        self._sink = sink
        self._render = _json if style == "json" else _text
        self._stamp = Stamp(wall)
        self._call_later = call_later
        self._lines: list[bytes] = []
        self._timer = False  # whether a call is due

    def write(self, record: Record) -> None:
        """Log ``record``. Does not wait, and keeps nothing of it. Raises nothing."""
        self._lines.append(self._render(_fields(self._stamp(), record)))
        if not self._timer:
            self._timer = True
            self._call_later(_BATCH_S, self._on_time)
        if len(self._lines) >= _BATCH_LINES:
            self.flush()

    def flush(self) -> None:
        """Hand over what has been gathered."""
        if self._lines:
            self._sink.put(b"".join(self._lines), len(self._lines))
            self._lines.clear()

    def _on_time(self) -> None:
        self._timer = False
        self.flush()


class Stamp:
    """The time of day as RFC 3339 has it, in UTC, to the millisecond."""

    __slots__ = ("_millisecond", "_second", "_text", "_to_the_second", "_wall")

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._second = -1
        self._to_the_second = ""
        self._millisecond = -1
        self._text = ""

    def __call__(self) -> str:
        """Now."""
        now = int(self._wall() * 1000)
        if now != self._millisecond:
            self._millisecond = now
            second, millisecond = divmod(now, 1000)
            if second != self._second:
                self._second = second
                self._to_the_second = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._text = f"{self._to_the_second}{millisecond:03d}Z"
        return self._text


def _fields(stamp: str, record: Record) -> _Fields:
    """What is told of ``record``; what does not apply is left out."""
    request, outcome, delivery = record.request, record.outcome, record.delivery
    fields: _Fields = {
        "ts": stamp,
        "event": "request",
        "method": request.method[:_LONGEST],
        "path": printable(request.path[:_LONGEST]),
        "status": delivery.status,
        "verdict": outcome.verdict,
        "why": outcome.why,
    }
    if outcome.detail:
        fields["detail"] = outcome.detail
    if outcome.dialect:
        fields["dialect"] = outcome.dialect
    if outcome.model:
        fields["model"] = printable(outcome.model[:_LONGEST])
    if outcome.tier:
        fields["tier"] = outcome.tier
    if outcome.age_s is not None:
        fields["age_s"] = round(outcome.age_s, 3)
    if outcome.ttl_s is not None:
        fields["ttl_s"] = round(outcome.ttl_s, 3)
    if outcome.stored is not None:
        fields["stored"] = outcome.stored
    if outcome.collapsed is not None:
        fields["collapsed"] = outcome.collapsed
    if outcome.key is not None:
        fields["scope"] = outcome.key.scope
    fields["duration_ms"] = round(delivery.duration_s * 1000, 3)
    if outcome.upstream_s is not None:
        fields["upstream_ms"] = round(outcome.upstream_s * 1000, 3)
    fields["bytes"] = delivery.sent
    fields["complete"] = delivery.complete
    if delivery.error:
        fields["error"] = delivery.error
    if request.peer:
        fields["peer"] = request.peer
    return fields


def _json(fields: _Fields) -> bytes:
    return orjson.dumps(fields, None, orjson.OPT_APPEND_NEWLINE)


def _text(fields: _Fields) -> bytes:
    """The time, what the cache did, what was asked; then the rest as name=value."""
    values = [str(fields[name]) for name in _HEADLINE]
    values += [f"{name}={value}" for name, value in fields.items() if name not in _SAID]
    return f"{' '.join(values)}\n".encode()


def printable(text: str) -> str:
    """``text`` with all that could end a line or steer a terminal written out."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
