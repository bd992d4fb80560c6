"""Vetoes questions of the same words, put in another order that turns the meaning around."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from proxy.semantic.vetoes.gist import Gist, once
from proxy.semantic.vetoes.phrases import IDLE, words_of

_RELATES: Final = words_of(
    """
    from to into onto than by of for with without in on at before after over under against as vs
    """
)
_OPPOSITE: Final = (
    ("from", "to"),
    ("from", "into"),
    ("from", "onto"),
    ("before", "after"),
    ("off", "on"),
)
_SELF: Final = {"i": "i", "me": "i", "he": "he", "him": "he", "she": "she", "her": "she",
                "they": "they", "them": "they", "we": "we", "us": "we", "you": "you"}  # fmt: skip
_DETERMINES: Final = words_of(
    """
    a an the my your his her its our their this that these those some any all
    """
)
_WHO_ACTS: Final = re.compile(r"\b(?:who|which(?: \w+)?) (do|does|did)\b")
_WHO_ASKED: Final = re.compile(r"^(?:who|which)\b")
_PASSIVE: Final = re.compile(
    r"\b(?:is|are|was|were|be|been|being|get|gets|got)(?: \w+){0,2} \w+(?:ed|en|wn|ught|de"
    r"|used)\b|\bby\b"
)
_HAN_RELATES: Final = "给比到向对被让找欠换转把"
_MEANINGLESS: Final = frozenset(_SELF.values())
_ASKS: Final = frozenset("什么谁哪几多少")
_MOST: Final = 64  # words of what was moved, at most: no question moves more
_BLOCK: Final = 6


def order(a: Gist, b: Gist) -> bool:
    """Whether the one turns around what the other says: from X to Y, X than Y, X does it to Y."""
    if a.folded == b.folded:
        return False
    if a.has_han and b.has_han:
        return _turned_han(a.folded, b.folded) or _swapped(a.tokens, b.tokens)
    return _turned(a, b) or _acts_otherwise(a, b) or _asks_otherwise(a, b)


def _turned(a: Gist, b: Gist) -> bool:
    """Whether a preposition relates to another word, and both words are in both questions."""
    one, other = _related(a), _related(b)
    both = a.counts.keys() & b.counts.keys()
    for word in one.keys() & other.keys():
        here, there = one[word] & both, other[word] & both
        if here and there and here.isdisjoint(there):
            return True
    return any(
        (one.get(first, _NONE) & other.get(second, _NONE))
        - other.get(first, _NONE)
        - one.get(second, _NONE)
        for way, back in _OPPOSITE
        for first, second in ((way, back), (back, way))
    )


_NONE: Final[frozenset[str]] = frozenset()


@once
def _related(gist: Gist) -> Mapping[str, frozenset[str]]:
    """The words that each preposition stands before."""
    found: dict[str, frozenset[str]] = {}
    pending = ""
    for token, root in zip(gist.tokens, gist.roots, strict=True):
        if token in _RELATES:
            pending = token
        elif pending and token not in _DETERMINES:
            if token not in IDLE:
                found[pending] = found.get(pending, _NONE) | {root}
            pending = ""
    return found


def _acts_otherwise(a: Gist, b: Gist) -> bool:
    """Whether who acts and who is acted on have changed places."""
    if _is_passive(a) != _is_passive(b):
        return False
    return _swapped(_acting(a), _acting(b))


def _asks_otherwise(a: Gist, b: Gist) -> bool:
    """Whether one asks who does it, and the other to whom it is done."""
    if a.counts != b.counts or not _WHO_ASKED.search(a.folded) or not _WHO_ASKED.search(b.folded):
        return False
    passive = _is_passive(a) or _is_passive(b)
    return not passive and bool(_WHO_ACTS.search(a.folded)) != bool(_WHO_ACTS.search(b.folded))


@once
def _is_passive(gist: Gist) -> bool:
    return _PASSIVE.search(gist.folded) is not None


@once
def _acting(gist: Gist) -> list[str]:
    return [
        _SELF.get(token, root)
        for token, root in zip(gist.tokens, gist.roots, strict=True)
        if token in _SELF or token not in IDLE
    ]


def _swapped(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether ``a`` is X M Y where ``b`` is Y M X, once what both begin and end with is off."""
    if len(a) != len(b) or Counter(a) != Counter(b):
        return False
    differ = [at for at in range(len(a)) if a[at] != b[at]]
    if not differ or differ[-1] - differ[0] >= _MOST:
        return False
    one, other = a[differ[0] : differ[-1] + 1], b[differ[0] : differ[-1] + 1]
    size = len(one)
    return any(
        other[:last] == one[size - last :]
        and other[size - first :] == one[:first]
        and other[last : size - first] == (middle := one[first : size - last])
        and any(word not in _MEANINGLESS for word in middle)
        and _ASKS.isdisjoint(one[:first])
        and _ASKS.isdisjoint(one[size - last :])
        for first in range(1, min(_BLOCK, size - 2) + 1)
        for last in range(1, min(_BLOCK, size - first - 1) + 1)
    )


def _turned_han(a: str, b: str) -> bool:
    """Whether what stands before and after a word that relates has changed places."""
    for word in _HAN_RELATES:
        if word in a and word in b:
            here, there = a.partition(word), b.partition(word)
            if _ends_begin(here[0], there[2]) and _ends_begin(there[0], here[2]):
                return True
    return False


def _ends_begin(before: str, after: str) -> bool:
    """Whether ``before`` ends with what ``after`` begins with."""
    return any(before.endswith(after[:size]) for size in range(1, min(len(after), _BLOCK * 2) + 1))
