"""Vetoes questions of which one says a thing and the other its opposite, or another of its kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from proxy.semantic.vetoes.contrasts import CHINESE_SETS, ENGLISH_SETS
from proxy.semantic.vetoes.gist import Gist, once, root_of
from proxy.semantic.vetoes.negation import denies

Places = Mapping[str, frozenset[tuple[int, int]]]


def antonyms(a: Gist, b: Gist) -> bool:
    """Whether one has a word where the other has one that contrasts with it.

    Not if just one of them is negated: "not approved" is "rejected".
    """
    return contrast(a, b) and denies(a) == denies(b)


def contrast(a: Gist, b: Gist) -> bool:
    """Whether a word that only ``a`` has contrasts with one that only ``b`` has."""
    if a.folded == b.folded:
        return False
    left, right = _roots(a), _roots(b)
    lost, found = left - right, right - left
    if _clash(lost, found, _ENGLISH) or _undone(lost, found):
        return True
    if not (a.has_han and b.has_han):
        return False
    left, right = _han_words(a), _han_words(b)
    return _clash(left - right, right - left, _CHINESE)


def _clash(lost: Iterable[str], found: Iterable[str], places: Places) -> bool:
    """Whether a word of each is in one set, in places of their own, and never in the same place."""
    here = [places[word] for word in lost if word in places]
    there = [places[word] for word in found if word in places]
    return any(
        one.isdisjoint(other) and not {at for at, _ in one}.isdisjoint(at for at, _ in other)
        for one in here
        for other in there
    )


def _undone(lost: Iterable[str], found: Iterable[str]) -> bool:
    """Whether a word of the one is a word of the other with a prefix that undoes it."""
    ways = (
        {word for word in lost if len(word) > _LEAST},
        {word for word in found if len(word) > _LEAST},
    )
    return any(
        word[len(prefix) :] in other
        for one, other in (ways, ways[::-1])
        for word in one
        if word.startswith(_UNDOES)
        for prefix in _UNDOES
        if word.startswith(prefix) and len(word) - len(prefix) >= _LEAST
    )


_UNDOES: Final = ("un", "dis", "in", "im", "ir", "il", "non", "de", "mis", "non-", "anti", "anti-")
_LEAST: Final = 4  # letters of what is undone: "line" is no opposite of "inline", but never met


@once
def _roots(gist: Gist) -> frozenset[str]:
    return frozenset(gist.roots)


@once
def _han_words(gist: Gist) -> frozenset[str]:
    return frozenset(_HAN_WORD.findall(gist.folded))


def _places(sets: Iterable[Iterable[Iterable[str]]]) -> Places:
    found: dict[str, set[tuple[int, int]]] = {}
    for at, members in enumerate(sets):
        for member, words in enumerate(members):
            for word in words:
                found.setdefault(root_of(word), set()).add((at, member))
    return MappingProxyType({word: frozenset(places) for word, places in found.items()})


_ENGLISH: Final = _places(ENGLISH_SETS)
_CHINESE: Final = _places(CHINESE_SETS)
_HAN_WORD: Final = re.compile("|".join(sorted(_CHINESE, key=len, reverse=True)))
