"""Vetoes questions of which one names something that the other does not.

A name is known by its capital letter. But people write without them, and most things that an answer
depends on are no names: so a question that is worded like another, except that one word of weight
stands in place of another, or that one was added, is not the same question either.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from proxy.semantic.vetoes.gist import Gist, once, root_of
from proxy.semantic.vetoes.phrases import ONE, SOFT, words_of

_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_SENTENCE: Final = re.compile(r"(?:^|[.!?:\n]\s*)[\"'\u201c(]*([^\W_]+)")
_NAMED: Final = 0.5  # of all words with a capital: then it is the style, not names
_FEW: Final = 2  # words in place of others
_FEW_HAN: Final = 4
_INITIALS: Final = 2
_INITIALED: Final = 6  # words; where more differ, no abbreviation explains it
_LOCATES: Final = words_of(
    """
    in for at on during under near within among between without using by with against about per
    """
)


def entities(a: Gist, b: Gist) -> bool:
    """Whether one has a name, or a word of weight, in place of another's or in addition."""
    lost, found = a.beyond(b), b.beyond(a)
    lost, found = _unabbreviated(lost, found)
    if not lost and not found:
        return False
    if _named(a, lost) or _named(b, found):
        return True
    if a.has_han or b.has_han:
        return _replaced_han(a, b, lost, found)
    if lost and found:
        return _replaced(a, b, lost, found)
    return _added(a, b, found) if found else _added(b, a, lost)


def _named(gist: Gist, words: Sequence[str]) -> bool:
    """Whether one of ``words`` is a name in the question."""
    if not words:
        return False
    return not _names(gist).isdisjoint(words)


@once
def _names(gist: Gist) -> frozenset[str]:
    raw = gist.text.raw
    words = _WORD.findall(raw)
    capital = [
        word
        for word in words
        if word[0].isupper() and word not in {"I", "I'm", "I'd", "I've", "I'll"}
    ]
    if not capital or sum(map(str.isupper, words)) > _NAMED * len(words):
        return frozenset()
    firsts = {match[1] for match in _SENTENCE.finditer(raw)}
    if len(capital) > _NAMED * len(words) and len(words) > _FEW:
        firsts.update(word for word in capital if not word.isupper())
    names = (word.casefold() for word in capital if word not in firsts or not word[1:].islower())
    roots = ((name, root_of(name)) for name in names)
    return frozenset(ONE.get(name) or ONE.get(root, root) for name, root in roots)


def _unabbreviated(lost: list[str], found: list[str]) -> tuple[list[str], list[str]]:
    """Both without a word in the one that stands for the initials of words in the other."""
    if len(lost) > _INITIALED or len(found) > _INITIALED:
        return lost, found
    for one, other in ((lost, found), (found, lost)):
        for short in [word for word in one if _INITIALS <= len(word) <= len(other)]:
            at = "".join(word[0] for word in other).find(short)
            if at >= 0:
                one.remove(short)
                del other[at : at + len(short)]
    return lost, found


def _replaced(a: Gist, b: Gist, lost: Sequence[str], found: Sequence[str]) -> bool:
    """Whether few words stand in place of few, and some that count are the same."""
    if len(lost) > _FEW or len(found) > _FEW or a.counts.keys().isdisjoint(b.counts):
        return False
    hard, other = [w for w in lost if w not in SOFT], [w for w in found if w not in SOFT]
    return bool(hard) and bool(other)


def _added(a: Gist, b: Gist, found: Sequence[str]) -> bool:
    """Whether ``b`` asks what ``a`` does, of something narrower."""
    weighty = {word for word in found if word not in SOFT}
    if not weighty:
        return False
    before, after = _frame(a.tokens, b.tokens)
    if before + after == len(a.tokens):
        return True
    return any(
        first in _LOCATES and (ONE.get(root) or root) in weighty
        for first, root in zip(b.tokens, b.roots[1:], strict=False)
    )


def _replaced_han(a: Gist, b: Gist, lost: Sequence[str], found: Sequence[str]) -> bool:
    shared = sum((a.counts & b.counts).values())
    if lost and found:
        return max(len(lost), len(found)) <= _FEW_HAN and shared >= max(len(lost), len(found))
    if len(lost or found) >= _FEW:
        return True
    before, after = _frame(a.tokens, b.tokens)
    size = len(a.tokens) - before - after
    return len(a.tokens) == len(b.tokens) and size <= _FEW_HAN


def _frame(a: Sequence[str], b: Sequence[str]) -> tuple[int, int]:
    """How many tokens both begin with, and how many of the rest they both end with."""
    most = min(len(a), len(b))
    before = next((at for at in range(most) if a[at] != b[at]), most)
    rest = most - before
    after = next((at for at in range(rest) if a[-1 - at] != b[-1 - at]), rest)
    return before, after
