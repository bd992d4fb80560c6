"""Looking at an embedder before it is trusted: how fast it is, and in which scripts it is good."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from proxy.model.errors import ConfigError
from proxy.model.meaning import Script
from proxy.semantic.base import Embedder, EmbedderError
from proxy.semantic.budget.wilson import Share
from proxy.semantic.self_test import PAIRS, self_test

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

_MOST_UNKNOWN: Final = 0.05  # as for requests: English has 0.1 %, Chinese with MiniLM nearly all
_REPEATS: Final = 9
_BATCH: Final = 32
_CHUNK: Final = 64

# A threshold is suggested from here to 1: below, questions have little more in common than a topic.
_LOWEST: Final = 0.75
_STEP: Final = 0.01
_LEAST_SERVED: Final = 40


class Speed(NamedTuple):
    """Medians, in milliseconds."""

    one_ms: float  # for a text alone
    batch_ms: float  # for 32 together


class Verdict(NamedTuple):
    """What can be said of one script."""

    usable: bool
    why: str


class Pair(NamedTuple):
    """Two questions, and whether the answer to one is right for the other."""

    one: str
    other: str
    equal: bool


class Suggestion(NamedTuple):
    """What a threshold would have done to some pairs."""

    threshold: float
    served: int
    wrong: int  # of those served
    most_wrong: float  # share of those served: the upper end of its 95 % interval


async def speed(embedder: Embedder, clock: Callable[[], float]) -> Speed:
    """How fast a started ``embedder`` is with questions of the built-in kind.

    Raises:
        EmbedderError: it failed.
    """
    texts = [text for pair in PAIRS[Script.LATIN] for text in pair][:_BATCH]
    one, batch = [], []
    for round_ in range(_REPEATS):
        begun = clock()
        await embedder.embed([texts[round_]])
        between = clock()
        await embedder.embed(texts)
        one.append(between - begun)
        batch.append(clock() - between)
    return Speed(median(one) * 1e3, median(batch) * 1e3)


async def judge(embedder: Embedder, script: Script, threshold: float) -> Verdict:
    """Whether a started ``embedder`` may be used for LATIN or HAN.

    Raises:
        EmbedderError: it failed.
    """
    shares = [embedder.unknown(text) for pair in PAIRS[script] for text in pair]
    known = [share for share in shares if share is not None]
    if known and mean(known) > _MOST_UNKNOWN:
        return Verdict(usable=False, why=f"{mean(known):.0%} of the tokens are unknown to it")
    report = await self_test(embedder.embed, script, threshold)
    return Verdict(report.passed, report.why)


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file with a JSON object in each line: ``a`` and ``b``, texts, and ``label``.

    The label is 1 (or true) where the answer to one is right for the other, else 0 (or false).

    Raises:
        ConfigError: it cannot be read, or holds something else; the line is named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error}") from error
    pairs = [_pair(f"{path}, line {number}", line) for number, line in enumerate(lines, 1) if line]
    if not pairs:
        raise ConfigError(f"{path} holds no pairs")
    return pairs


def _pair(where: str, line: str) -> Pair:
    try:
        document = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where} is not JSON: {error}") from error
    match document:
        case {"a": str(one), "b": str(other), "label": 0 | 1 as label}:
            return Pair(one, other, bool(label))
        case _:
            raise ConfigError(
                f'{where}: expected {{"a": "a question", "b": "another", "label": 1 or 0}}'
            )


async def scores(embedder: Embedder, pairs: Sequence[Pair]) -> list[float]:
    """The cosine of each pair, by a started ``embedder``.

    Raises:
        EmbedderError: it failed, or gave a vector without a direction.
    """
    texts = list({text: None for pair in pairs for text in (pair.one, pair.other)})
    vectors: dict[str, Vector] = {}
    for begin in range(0, len(texts), _CHUNK):
        chunk = texts[begin : begin + _CHUNK]
        found = await embedder.embed(chunk)
        vectors |= {text: _unit(vector) for text, vector in zip(chunk, found, strict=True)}
    return [float(vectors[pair.one] @ vectors[pair.other]) for pair in pairs]


def _unit(vector: Vector) -> Vector:
    length = np.linalg.norm(vector)
    if not (length > 0 and np.isfinite(length)):
        raise EmbedderError("a vector has no direction")
    unit: Vector = vector / length
    return unit


def outcome(threshold: float, scored: Iterable[tuple[float, bool]]) -> Suggestion:
    """What ``threshold`` would have done to pairs of these cosines and labels."""
    served = [equal for score, equal in scored if score >= threshold]
    wrong = served.count(False)
    share = Share(wrong / max(1, len(served)), len(served))
    return Suggestion(threshold, len(served), wrong, share.bounds().high)


def suggest(scored: Sequence[tuple[float, bool]], most_wrong: float) -> Suggestion | None:
    """The lowest threshold that serves at most that share of wrong answers, as far as is known.

    That is, whose upper bound is within it, as is that of all higher ones that serve at least 40
    pairs. None if there is none.
    """
    best = None
    for step in range(round((1 - _LOWEST) / _STEP) + 1):
        found = outcome(round(1 - step * _STEP, 2), scored)
        if found.served < _LEAST_SERVED:
            continue
        if found.most_wrong > most_wrong:
            break
        best = found
    return best
