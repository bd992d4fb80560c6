"""Replies with one vector for each input: taken apart, checked, and put together again.

A vector is the bytes in which the backend wrote it, from its reply to the one that is put together:
no number is written anew. What else a reply says, its envelope, is the same for each input it was
given for. Token counts are told for all inputs together, so what is known of one is its share.
"""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from proxy.model.decision import Why
from proxy.model.query import Refusal
from proxy.wire.json_slices import elements, members, spans, written

Path = tuple[str, ...]
"""The way to a member of a reply: its name, or that of an object and that of a member in it."""

_NUMBERS: Final = frozenset({int, float})
_FLOAT: Final = 4  # bytes of a number in base64, which is a little-endian float32


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a protocol's replies have what.

    Args:
        columns: the members with one element for each input, given the reply's own members. Those
            of them that ``is_vectors`` names hold vectors.
        usage: the member with the token counts.
        passing: members that tell of one call, and may differ between replies that agree.
        indexed: whether an element is an object with an ``index`` and an ``embedding``.
        single: whether there is but one vector, which no list is around.
    """

    columns: Callable[[Mapping[str, bytes]], Sequence[Path]]
    usage: Path
    passing: frozenset[str] = frozenset()
    is_vectors: Callable[[Path], bool] = lambda _path: True
    indexed: bool = False
    single: bool = False


class Element(NamedTuple):
    """One element of a column; its index, if it has one, stood between the two parts."""

    before: bytes
    after: bytes
    vector: bytes  # or what else the column holds

    def at(self, index: int) -> bytes:
        """The element, in this place."""
        return b"%b%d%b" % (self.before, index, self.after) if self.after else self.before


class Vectors(NamedTuple):
    """A reply taken apart."""

    envelope: dict[str, bytes]  # all its members; columns and counts are there, but empty
    columns: dict[Path, list[Element]]  # one element for each input, in the order of the inputs
    usage: object  # None if there is none


class Odd(ValueError):
    """A reply of another shape than replies of this protocol have."""


def apart(body: bytes, layout: Layout) -> Vectors:
    """The reply that ``body`` is. What is in the vectors is not looked at. Raises Odd."""
    try:
        envelope = members(body)
        columns: dict[Path, list[Element]] = {}
        for path in layout.columns(envelope):
            column = _taken(envelope, path, b"[]")
            raw = [column] if layout.single else elements(column)
            columns[path] = _in_order(raw) if layout.indexed else [Element(r, b"", r) for r in raw]
        if not any(map(layout.is_vectors, columns)):
            raise Odd("no vectors")
        usage = None
        if layout.usage[0] in envelope:
            usage = orjson.loads(_taken(envelope, layout.usage, b"null"))
    except (ValueError, KeyError) as error:
        raise Odd(str(error)) from error
    return Vectors(envelope, columns, usage)


def check(vectors: Vectors, layout: Layout, count: int, dimensions: object) -> Refusal | None:
    """Why ``vectors`` are not those of ``count`` inputs, each with ``dimensions`` numbers if told.

    None: all of them are there, none is empty, and they are of equal length.
    """
    try:
        if any(orjson.loads(written(vectors.envelope.items())).get(n) for n in ("error", "errors")):
            return Refusal(Why.ERROR_IN_BODY)
        for path, column in vectors.columns.items():
            if not column:
                return Refusal(Why.EMPTY)
            if len(column) != count:
                return Refusal(Why.INCOMPLETE, f"{len(column)} vectors for {count} inputs")
            values = [orjson.loads(element.at(0)) for element in column]
            if not layout.is_vectors(path):
                continue
            if layout.indexed:
                values = [value["embedding"] for value in values]
            if (refusal := _compare(values, dimensions)) is not None:
                return refusal
    except (ValueError, KeyError, TypeError) as error:  # never told: it may quote the reply
        return Refusal(Why.NOT_UNDERSTOOD, type(error).__name__)
    return None


def alone(vectors: Vectors, layout: Layout, usages: Sequence[object]) -> list[bytes]:
    """A reply for each input as if it had been the only one, with its share of ``usages``."""
    return [
        _together(
            vectors.envelope,
            layout,
            {path: [column[number]] for path, column in vectors.columns.items()},
            usage,
        )
        for number, usage in enumerate(usages)
    ]


def joined(replies: Sequence[Vectors], layout: Layout) -> bytes | None:
    """One reply for the inputs of all, in this order; None where they do not agree.

    ``replies`` have passed ``check``. What tells of one call is that of the last.
    """
    last = replies[-1]
    if not agree(replies, layout):
        return None
    try:
        usage = summed([reply.usage for reply in replies])
    except ValueError:
        return None
    columns = {
        path: [element for reply in replies for element in reply.columns[path]]
        for path in last.columns
    }
    return _together(last.envelope, layout, columns, usage)


def agree(replies: Sequence[Vectors], layout: Layout) -> bool:
    """Whether replies are of one model, in one encoding, and say the same of all but the vectors.

    Vectors of two models, or of two versions of one, cannot be compared: nobody must have them in
    one reply.
    """
    return len({_kind(reply, layout) for reply in replies}) == 1


def _kind(reply: Vectors, layout: Layout) -> tuple[object, ...]:
    said = [
        (name, b"" if name in layout.passing else value)
        for name, value in sorted(reply.envelope.items())
    ]
    lengths = [
        (path, _length(element.vector))
        for path, column in sorted(reply.columns.items())
        for element in column
        if layout.is_vectors(path)
    ]
    return (*said, *sorted(set(lengths)))


def _length(vector: bytes) -> tuple[bytes, int]:
    """What a vector, known to be one, is written as, and how long it is."""
    if vector[:1] == b"[":
        return b"[", vector.count(b",")
    return b'"', len(vector)


def _compare(values: Sequence[object], dimensions: object) -> Refusal | None:
    lengths = {_dimensions(value) for value in values}
    if 0 in lengths:
        return Refusal(Why.EMPTY)
    if len(lengths) != 1 or len(set(map(type, values))) != 1:
        return Refusal(Why.NOT_UNDERSTOOD, "vectors of different lengths")
    if type(dimensions) is int and lengths != {dimensions}:
        return Refusal(Why.NOT_UNDERSTOOD, "not as many dimensions as were asked for")
    return None


def _dimensions(vector: object) -> int:
    """How many numbers a vector has. Raises ValueError, TypeError if it is none."""
    if isinstance(vector, list):
        if not _NUMBERS.issuperset(map(type, vector)):
            raise ValueError("not a number")  # null where the model overflowed
        return len(vector)
    if not isinstance(vector, str):
        raise TypeError("no vector")
    raw = base64.b64decode(vector, validate=True)
    if len(raw) % _FLOAT:
        raise ValueError("not of whole numbers")
    numbers = array("f", raw)
    if not math.isfinite(sum(numbers)):  # float32s: their sum cannot overflow a double
        raise ValueError("not finite")
    return len(numbers)


def _in_order(column: Sequence[bytes]) -> list[Element]:
    """Elements by their ``index``, of which each must be there once."""
    found: dict[int, Element] = {}
    for element in column:
        where = spans(element)
        (begin, end), (first, last) = where["index"], where["embedding"]
        index = orjson.loads(element[begin:end])
        if type(index) is not int:
            raise Odd("an index that is no number")
        found[index] = Element(element[:begin], element[end:], element[first:last])
    if found.keys() != set(range(len(column))):
        raise Odd("an index is missing, or there twice")
    return [found[index] for index in range(len(column))]


def _taken(envelope: dict[str, bytes], path: Path, left: bytes) -> bytes:
    """The value at ``path``; in its place ``left`` is left. Raises ValueError, KeyError."""
    name, *below = path
    if not below:
        value, envelope[name] = envelope[name], left
        return value
    inner = members(envelope[name])
    value = _taken(inner, tuple(below), left) if below[0] in inner else b"null"
    envelope[name] = written(inner.items())
    return value


def _put(envelope: dict[str, bytes], path: Path, value: bytes) -> None:
    name, *below = path
    if not below:
        envelope[name] = value
        return
    inner = members(envelope[name])
    if below[0] in inner:
        _put(inner, tuple(below), value)
        envelope[name] = written(inner.items())


def _together(
    envelope: dict[str, bytes],
    layout: Layout,
    columns: Mapping[Path, Sequence[Element]],
    usage: object,
) -> bytes:
    told = dict(envelope)
    for path, column in columns.items():
        raw = b",".join([element.at(index) for index, element in enumerate(column)])
        _put(told, path, raw if layout.single else b"[%b]" % raw)
    if layout.usage[0] in told:
        _put(told, layout.usage, orjson.dumps(usage))
    return written(told.items())


# -- token counts -------------------------------------------------------------------------------


def shared(usage: object, weights: Sequence[int]) -> list[object]:
    """``usage``, told for all inputs together, as shares by weight that add up to it.

    Whole numbers are shared out by largest remainders (Hamilton's method), others in proportion.

    Raises:
        ValueError: nobody knows how to share it.
    """
    if isinstance(usage, dict):
        parts = {name: shared(value, weights) for name, value in usage.items()}
        return [{name: each[n] for name, each in parts.items()} for n in range(len(weights))]
    if usage is None:
        return [None] * len(weights)
    if not any(weights):
        weights = [1] * len(weights)
    total = sum(weights)
    if type(usage) is float:
        return [usage * weight / total for weight in weights]
    if type(usage) is not int or usage < 0:
        raise ValueError("not a count")
    floors = [usage * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda n: -(usage * weights[n] % total))
    for number in by_remainder[: usage - sum(floors)]:
        floors[number] += 1
    return list[object](floors)


def summed(usages: Sequence[object]) -> object:
    """What ``usages`` come to together. Raises ValueError where they are not of one shape."""
    first = usages[0]
    if isinstance(first, dict):
        dicts = [usage for usage in usages if isinstance(usage, dict)]
        if len(dicts) != len(usages) or any(usage.keys() != first.keys() for usage in dicts):
            raise ValueError("counts of different things")
        return {name: summed([usage[name] for usage in dicts]) for name in first}
    if all(usage is None for usage in usages):
        return None
    numbers = [usage for usage in usages if type(usage) is int or type(usage) is float]
    if len(numbers) != len(usages):
        raise ValueError("not all are counts")
    return math.fsum(numbers) if any(type(n) is float for n in numbers) else sum(numbers)
