"""Compares two answers: whether one would have done for the other.

Equal once case, width, punctuation and spaces are put aside: the same. Else by what they state.

Short answers (at most 40 tokens both) are read as one statement. If both have numbers, or both have
identifiers, and not the same ones, or one says yes and the other no, or one denies and the other
does not, they are different. If only one has numbers or identifiers, it says more than the other,
which may be right or wrong: they are never the same.

Long ones are worded anew each time a model is asked: what one leaves out proves nothing, nor does a
"not" somewhere. Only what they begin with (yes or no) is held against each other, and the numbers
and identifiers of both together: if hardly any are in both they are different, if each has some
that the other lacks they are never the same. The numbers of list items do not count.

What is left is for the cosine of their vectors: same from 0.90 on, different below 0.70, unknown
between, or without one.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from enum import StrEnum
from math import isfinite
from typing import Final

from proxy.semantic.words.numerals import numbers
from proxy.semantic.words.reading import read
from proxy.semantic.words.text import Text

_SAME: Final = 0.90
_DIFFERENT: Final = 0.70
_SHORT: Final = 40  # tokens; a sentence or two
_HARDLY: Final = 1 / 3  # of the numbers and identifiers of both are in both
_LONGEST: Final = 20_000  # characters looked at: of what is longer, the beginning

# A letter and a digit in one word, or parts joined as words are not: E1234, v2.1, a.example.org.
_IDENTIFIER: Final = re.compile(r"(?=.*[a-z])(?=.*[0-9_]|.*::|.*[@/\\]|.*\.[a-z]{2}).{2,}")
_ITEM: Final = re.compile(r"(?m)^[ \t]*(?:[(（]?[0-9]{1,3}[.)）、]|[*•#-]+)[ \t]+")  # noqa: RUF001
_DENIALS: Final = frozenset(
    (
        "no", "not", "never", "none", "nothing", "nobody", "neither", "nor", "without", "cannot",
        "unable", "impossible",
    )
)  # fmt: skip
_HAN_DENIALS: Final = re.compile(
    "[不没无非未勿](?![过同断少久仅但管论])(?<!差不)(?<!要不)(?<!是不)(?<!能不)(?<!会不)"
)
_YES: Final = frozenset(("yes", "yep", "yeah", "correct", "true", "certainly", "absolutely"))
_NO: Final = frozenset(("no", "nope", "incorrect", "false", "unfortunately"))
_HAN_YES: Final = re.compile("是的|可以|能(?![力源量])|会(?![议员计])|对[的,。]|有的|正确")
_HAN_NO: Final = re.compile("不(?![过同断少久仅但管论])|没[有法]|无法|错误|抱歉")


class Judgement(StrEnum):
    """What two answers are to each other."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"  # to be reported, not counted


def compare(a: str, b: str, cosine: float | None) -> Judgement:
    """Whether ``a`` and ``b`` answer alike; the order does not matter.

    Args:
        a: an answer, any text.
        b: another.
        cosine: of their vectors; None if there are none.
    """
    left, right = _read(a), _read(b)
    if left.tokens == right.tokens and (left.tokens or left.folded == right.folded):
        return Judgement.SAME
    if not left.tokens or not right.tokens or _opposed(left, right):
        return Judgement.DIFFERENT
    short = max(len(left.tokens), len(right.tokens)) <= _SHORT
    stated = _of_short(left, right) if short else _of_long(left, right)
    if stated is Judgement.DIFFERENT or cosine is None or not isfinite(cosine):
        return stated or Judgement.UNKNOWN
    if cosine < _DIFFERENT:
        return Judgement.DIFFERENT
    if cosine >= _SAME and stated is None:
        return Judgement.SAME
    return Judgement.UNKNOWN


def _of_short(left: Text, right: Text) -> Judgement | None:
    """What the facts say: DIFFERENT; UNKNOWN if they rule out that both are the same; or None."""
    if _denies(left) != _denies(right):
        return Judgement.DIFFERENT
    verdict = None
    for facts in (_numbers, _identifiers):
        ours, theirs = facts(left), facts(right)
        if ours == theirs:
            continue
        if ours and theirs:
            return Judgement.DIFFERENT
        verdict = Judgement.UNKNOWN
    return verdict


def _of_long(left: Text, right: Text) -> Judgement | None:
    """As for short ones."""
    ours = _numbers(left) | _identifiers(left)
    theirs = _numbers(right) | _identifiers(right)
    if not (ours - theirs and theirs - ours):
        return None
    shared = len(ours & theirs) / len(ours | theirs)
    return Judgement.DIFFERENT if shared < _HARDLY else Judgement.UNKNOWN


def _read(answer: str) -> Text:
    return read(_ITEM.sub("", answer[:_LONGEST]))


def _numbers(text: Text) -> AbstractSet[str]:
    return frozenset(numbers(token for token in text.tokens if not _is_identifier(token)))


def _identifiers(text: Text) -> AbstractSet[str]:
    return frozenset(filter(_is_identifier, text.tokens))


def _is_identifier(token: str) -> bool:
    return not token.isalpha() and _IDENTIFIER.fullmatch(token) is not None


def _denies(text: Text) -> bool:
    if any(token in _DENIALS or token.endswith("n't") for token in text.tokens):
        return True
    return _HAN_DENIALS.search(text.folded) is not None


def _opposed(left: Text, right: Text) -> bool:
    """Whether one begins with yes and the other with no."""
    return {_begins(left), _begins(right)} == {True, False}


def _begins(text: Text) -> bool | None:
    """True for yes, False for no, None for neither."""
    first = text.tokens[0]
    if first in _NO or _HAN_NO.match(text.folded):
        return False
    if first in _YES or _HAN_YES.match(text.folded):
        return True
    return None
