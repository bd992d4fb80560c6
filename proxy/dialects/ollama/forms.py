"""An answer of Ollama's as one document, and as a stream of lines: each made from the other.

The rules are the server's own. Its document is the last line of the stream, where the texts of all
lines are joined (``content``, ``response``, ``thinking``) and their lists continued (``tool_calls``
of a message, ``logprobs``). When a line was made, and what the end tells of the whole (durations,
counts, ``context``), is as the last line has it.

Of members that this does not tell of, every line must say what the last one says. Pictures are made
in lines that tell how far they are: such an answer has no other form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import orjson

from proxy.dialects.shapes import Json, NoOtherForm, as_list, as_object, as_text, read_object
from proxy.wire import lines

_SPOKEN: Final = frozenset({"response", "thinking", "logprobs"})  # fragments in a line
_SAID: Final = frozenset({"content", "thinking", "tool_calls"})  # and in its message
_LISTS: Final = frozenset({"tool_calls", "logprobs"})
# What a line says of itself, or the last one of the whole.
_LATEST: Final = frozenset(
    {
        "created_at", "done", "done_reason", "context", "total_duration", "load_duration",
        "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration",
    }
)  # fmt: skip
_ON_EACH_LINE: Final = frozenset({"model", "remote_model", "remote_host", "created_at"})
_NOBODY: Final = object()


def document_of(stream: bytes) -> bytes:
    """The document that a whole ``stream`` adds up to. Raises NoOtherForm."""
    found, rest = lines.split(stream)
    told = [read_object(each, "a line") for each in (*found, rest) if not lines.silent(each)]
    return orjson.dumps(assemble(told))


def stream_of(document: bytes) -> bytes:
    """A stream that adds up to ``document``. Raises NoOtherForm."""
    told = disassemble(read_object(document, "a document"))
    return b"".join(lines.line(orjson.dumps(each)) for each in told)


def assemble(told: Sequence[Json]) -> Json:
    """The answer that the lines ``told`` add up to. Raises NoOtherForm."""
    if not told:
        raise NoOtherForm("no line")
    whole = _summed([_without(each, "message") for each in told], _SPOKEN)
    messages = [as_object(each["message"]) for each in told if "message" in each]
    if messages:
        whole["message"] = _summed(messages, _SAID)
    return {name: whole[name] for name in (*told[-1], *whole)}  # the last line's order is theirs


def disassemble(document: Json) -> Iterator[Json]:
    """Lines that add up to ``document``. Raises NoOtherForm."""
    if ("message" in document) is ("response" in document):
        raise NoOtherForm("neither a chat nor a completion")
    common = {name: value for name, value in document.items() if name in _ON_EACH_LINE}
    if "message" in document:
        message = as_object(document["message"])
        said, silent = _divided(message, ("thinking", "content", "tool_calls"), main="content")
        role = {"role": message["role"]} if "role" in message else {}
        parts: list[Json] = [{"message": role | part} for part in said]
        end = {**document, "message": silent}
    else:
        parts, end = _divided(document, ("thinking", "response"), main="response")
    for part in parts:
        line = {**common, **part, "done": False}
        if part is parts[-1] and "logprobs" in end:
            line["logprobs"] = end.pop("logprobs")
        yield line
    yield end


# From fragments to the whole.


def _summed(parts: Sequence[Json], fragments: frozenset[str]) -> Json:
    """The last of ``parts``, with what all of them say under the names of ``fragments``."""
    last = parts[-1]
    whole = dict(last)
    for name in dict.fromkeys(chain.from_iterable(parts)):
        said = [part[name] for part in parts if name in part]
        if name in fragments:
            whole[name] = _joined(name, said)
        elif name not in _LATEST and not all(
            _same(value, last.get(name, _NOBODY)) for value in said
        ):
            raise NoOtherForm(f"lines that differ in {name}")
    return whole


def _joined(name: str, said: Sequence[object]) -> object:
    """The whole that fragments add up to, in the order they came."""
    fragments = [value for value in said if value is not None]
    if not fragments:
        return None
    if name in _LISTS:
        return list(chain.from_iterable(map(as_list, fragments)))
    return "".join(map(as_text, fragments))


def _same(one: object, other: object) -> bool:
    """Whether two values are the same to the last type: 1, 1.0 and true are three things."""
    if isinstance(one, str):
        return one == other
    return other is not _NOBODY and orjson.dumps(one) == orjson.dumps(other)


# From the whole to fragments.


def _divided(whole: Json, names: Sequence[str], *, main: str) -> tuple[list[Json], Json]:
    """What ``whole`` says under each of ``names``, and all the rest.

    The text called ``main`` is in every part, if only as an empty one: clients rely on it.
    """
    said = {name: whole[name] for name in names if whole.get(name)}
    for name, value in said.items():
        as_list(value) if name in _LISTS else as_text(value)
    rest = {name: value for name, value in whole.items() if name not in said or name == main}
    if main in said:
        rest[main] = ""
    silence = {main: rest[main]} if main in rest else {}
    return [{**silence, name: value} for name, value in said.items()], rest


def _without(whole: Json, name: str) -> Json:
    return {each: value for each, value in whole.items() if each != name}
