"""Labelled questions: files with a JSON object in each line, as pairs or as a stream.

A pair is ``{"a", "b", "label"}``, where label 1 says that the answer to ``a`` is right for ``b``,
and 0 that it is not; ``cat`` and ``lang`` may say what kind of pair it is. A stream is
``{"q", "group"}``: questions of one group have one answer. Other members, and empty lines, mean
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import orjson

from proxy.model.errors import ConfigError

_LABELS = {0: False, 1: True, "0": False, "1": True}  # False is 0 and True is 1, to Python


class Pair(NamedTuple):
    """Two questions: the second may be answered as the first is, or must not be."""

    stored: str
    asked: str
    right: bool  # whether the answer to ``stored`` is right for ``asked``
    category: str = ""
    language: str = ""


class Asked(NamedTuple):
    """A question of a stream."""

    text: str
    group: str  # questions of one group have one answer


Labelled = Sequence[Pair] | Sequence[Asked]


def read_pairs(path: Path) -> Sequence[Pair]:
    """The pairs of a file, in its order. Raises ConfigError, which names the line."""
    pairs = [_pair(where, document) for where, document in _documents(path)]
    if not pairs:
        raise ConfigError(f"{path}: holds no pairs")
    return pairs


def read_stream(path: Path, most: int | None = None) -> Sequence[Asked]:
    """The questions of a file, in its order, the first ``most`` of them. Raises ConfigError."""
    found = islice(_documents(path), most)
    asked = [_asked(where, document) for where, document in found]
    if not asked:
        raise ConfigError(f"{path}: holds no questions")
    return asked


def read_labelled(path: Path) -> Labelled:
    """Pairs or a stream, whichever the first line is of. Raises ConfigError."""
    first = next(_documents(path), None)
    if first is None:
        raise ConfigError(f"{path}: is empty")
    where, document = first
    if "q" in document:
        return read_stream(path)
    if "a" in document:
        return read_pairs(path)
    raise ConfigError(
        f'{where}: is neither of a pair, {{"a": ..., "b": ..., "label": 0 or 1}}, '
        'nor of a stream, {"q": ..., "group": ...}'
    )


def _documents(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """The objects in the lines of a file, and where each stands."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        stripped = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if not stripped:
            continue
        where = f"{path}, line {number}"
        try:
            document = orjson.loads(stripped)
        except ValueError as error:
            raise ConfigError(f"{where}: is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise ConfigError(f"{where}: is no JSON object")
        yield where, document


def _pair(where: str, document: dict[str, object]) -> Pair:
    label = document.get("label")
    right = _LABELS.get(label) if isinstance(label, int | str) else None
    if right is None:
        raise ConfigError(f'{where}: needs a "label", 1 (the answer to a is right for b) or 0')
    return Pair(
        _text(where, document, "a"),
        _text(where, document, "b"),
        right,
        _word(document, "cat"),
        _word(document, "lang"),
    )


def _asked(where: str, document: dict[str, object]) -> Asked:
    group = document.get("group")
    if not isinstance(group, str | int):
        raise ConfigError(f'{where}: needs a "group", a text or a whole number')
    return Asked(_text(where, document, "q"), str(group))


def _text(where: str, document: dict[str, object], name: str) -> str:
    text = document.get(name)
    if not isinstance(text, str):
        raise ConfigError(f'{where}: needs "{name}", a text')
    return text


def _word(document: dict[str, object], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""
