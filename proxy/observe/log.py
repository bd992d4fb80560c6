"""The request log: one line for each request, from the record that feeds all else.

Requests that are told together, as they are equal to the byte, are one line, with how many
``repeats`` of the first there were.

Lines hold names, numbers and the client's address; never prompts, answers, header values, query
strings or keys. What clients choose (path, model) is bounded and cannot end or colour a line.

Lines are rendered in batches, as they are gathered (``proxy.observe.gather``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal

import orjson

from proxy.observe.gather import Line
from proxy.observe.sink import Sink

_LONGEST: Final = 256  # characters of anything a client chose
_HEADLINE: Final = ("ts", "verdict", "why", "status", "method", "path")  # what text begins with
_JSON_BOOL: Final = {False: "false", True: "true"}

_WORDS: Final = (
    "method", "path", "verdict", "why", "detail", "dialect", "model", "tier", "scope", "peer",
    "error", "doubt",
)  # fmt: skip


class RequestLog:
    """Writes one line for each record.

    Args:
        sink: where lines go.
        style: one JSON object a line, or text for people.
    """

    def __init__(self, sink: Sink, *, style: Literal["json", "text"]) -> None:
        self._sink = sink
        self._render = _json if style == "json" else _text
        self._stamp = Stamp()
        self.silent = False  # whether nothing is written

    def take(self, lines: Sequence[Line]) -> None:
        """Log ``lines``."""
        if self.silent:
            return
        render, stamp = self._render, self._stamp
        self._sink.put(b"".join([render(stamp(line[0]), line) for line in lines]), len(lines))


class Stamp:
    """The time of day as RFC 3339 has it, in UTC, to the millisecond."""

    __slots__ = ("_millisecond", "_second", "_text", "_to_the_second", "_wall")

    def __init__(self) -> None:
        self._second = -1
        self._to_the_second = ""
        self._millisecond = -1
        self._text = ""

    def __call__(self, at: float) -> str:
        """``at``, seconds since the epoch."""
        now = int(at * 1000)
        if now != self._millisecond:
            self._millisecond = now
            second, millisecond = divmod(now, 1000)
            if second != self._second:
                self._second = second
                self._to_the_second = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._text = f"{self._to_the_second}{millisecond:03d}Z"
        return self._text


@lru_cache(maxsize=1024)
def _alike(words: tuple[str, ...]) -> dict[str, str]:
    """What most lines say alike, made fit to be told; what is empty does not apply."""
    return {
        name: printable(str(text)[:_LONGEST])
        for name, text in zip(_WORDS, words, strict=True)
        if text
    }


def _numbers(line: Line) -> str:
    """What each line says for itself, as members of a JSON object."""
    outcome, delivery, more = line[4:7]
    numbers = (
        f'"status":{delivery.status},"duration_ms":{delivery.duration_s * 1e3:.3f},'
        f'"bytes":{delivery.sent},"complete":{_JSON_BOOL[delivery.complete]}'
    )
    if outcome.age_s is not None:
        numbers += f',"age_s":{outcome.age_s:.3f}'
    if outcome.ttl_s is not None:
        numbers += f',"ttl_s":{outcome.ttl_s:.3f}'
    if outcome.stored is not None:
        numbers += f',"stored":{_JSON_BOOL[outcome.stored]}'
    if outcome.collapsed is not None:
        numbers += f',"collapsed":{_JSON_BOOL[outcome.collapsed]}'
    if outcome.similarity is not None:
        numbers += f',"similarity":{outcome.similarity:.4f}'
    if outcome.compressed:
        numbers += f',"compressed_tokens":{outcome.compressed}'
    if outcome.upstream_s is not None:
        numbers += f',"upstream_ms":{outcome.upstream_s * 1e3:.3f}'
    if more:
        numbers += f',"repeats":{len(more)}'
    return numbers


def _words(line: Line) -> tuple[str, ...]:
    """The texts of a line, in the order of ``_WORDS``."""
    _, method, path, peer, outcome, delivery, _ = line
    scope = outcome.key.scope if outcome.key is not None else ""
    # Cut already here: what is made of them is remembered by them, and a model's name may be as
    # long as a request.
    method, model = method[:_LONGEST], outcome.model[:_LONGEST]
    return (
        method, path, outcome.verdict, outcome.why, outcome.detail, outcome.dialect, model,
        outcome.tier, scope, peer, delivery.error, outcome.doubt or "",
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _alike_json(words: tuple[str, ...]) -> str:
    return orjson.dumps(_alike(words))[1:-1].decode()


def _json(stamp: str, line: Line) -> bytes:
    """A JSON object, of two halves: making one of a dict takes twice as long."""
    alike, numbers = _alike_json(_words(line)), _numbers(line)
    return f'{{"ts":"{stamp}","event":"request",{alike},{numbers}}}\n'.encode()


def _text(stamp: str, line: Line) -> bytes:
    """The time, what the cache did, what was asked; then the rest as name=value."""
    fields: dict[str, object] = {"ts": stamp, **_alike(_words(line))}
    fields |= orjson.loads(f"{{{_numbers(line)}}}")
    values = [str(fields[name]) for name in _HEADLINE]
    values += [f"{name}={value}" for name, value in fields.items() if name not in _HEADLINE]
    return f"{' '.join(values)}\n".encode()


def printable(text: str) -> str:
    """``text`` with all that could end a line or steer a terminal written out."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
