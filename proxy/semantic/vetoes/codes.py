"""Vetoes questions about other identifiers, versions, codes, operators, or with other quotations.

What one has must stand in the other, in quotes or not and in whichever case.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise
from typing import Final

from proxy.semantic.vetoes.gist import HAN, Gist, once

_ALNUM: Final = "0-9A-Za-z"
_IDENTIFIER: Final = re.compile(
    rf"""(?<![\w.])(?:
        https?://[^\s{HAN}"'<>]{{1,400}}
        |[\w.+-]{{1,64}}@[\w-]{{1,64}}\.[\w.-]{{1,64}}
        |(?:[A-Za-z]:\\|~?/|\./)[\w.\\/-]{{2,400}}
        |--?[a-z][\w-]{{1,60}}(?=[\s=,;:?!.]|$)
        |v?[0-9]{{1,6}}(?:\.[0-9]{{1,6}}){{1,5}}[\w.-]{{0,20}}
        |[A-Za-z]{{1,20}}-?[0-9][{_ALNUM}]{{0,40}}
        |[0-9]{{1,20}}[A-Za-z][{_ALNUM}]{{0,40}}
        |[A-Za-z0-9]{{1,60}}(?:_[A-Za-z0-9]{{1,60}}){{1,12}}
        |[a-z0-9]{{2,40}}(?:[A-Z][a-z0-9]{{1,40}}){{1,12}}\(?
        |[A-Z][a-z0-9]{{1,40}}(?:Error|Exception|Warning)\b
        |[A-Za-z_]\w{{0,60}}\(
        |\.?[a-z]\w{{1,40}}(?:\.[a-z]\w{{1,40}}){{1,8}}
        |\.[a-z0-9]{{2,5}}\b
        |[A-Za-z](?:\+\+|\#)
    )""",
    re.VERBOSE | re.ASCII,
)
# Without one of these there is none.
_CODED: Final = re.compile(
    r"[0-9_@\\/(#+]|[A-Z](?<=[a-z][A-Z])|\.(?<=[\w\s]\.)(?=\w)|-(?<=[\s-]-)(?=[a-z-])"
)
_BORDERED: Final = re.compile(rf"[^\W{HAN}]")
# No code: a number with its unit, an ordinal, a decade, an abbreviation, brands spelled like code.
_PLAIN: Final = re.compile(
    r"[0-9]+(?:\.[0-9]+)?(?:st|nd|rd|th|s|[kmcdμ]?m|[kmμ]?g|[kmgt]b?|[kmg]?hz|k?wh?|ml|l|ft|in"
    r"|lbs?|oz|h|hrs?|d|mins?|secs?|ms"
    r"|mph|am|pm|usd|eur|gbp|yrs?|x|%)?|(?:[a-z]\.){1,4}[a-z]?|i(?:phone|pad|os|pod|mac|cloud"
    r"|tunes)|ebay|paypal|youtube|linkedin|2fa"
    r"|e\.?g|i\.?e|(?:[a-z]{2,20}\.(?:com|net|org|io))"
)
_SIGNS: Final = re.compile(r"[=<>&|^~*/+\\\[{]|(?<= )- ")
_OPERATOR: Final = re.compile(
    r"[=<>!&|^~*+:-]{0,3}[=<>&|^~][=<>!&|^~*+:-]{0,3}|\\[A-Za-z][+*?]?|(?<=[\w )])\+\+|->|\*\*|//"
    r"|\[\]|\{\}|(?<=[0-9]) ?[*/+^] ?(?=[0-9])|(?<=[0-9] )- (?=[0-9])"
)
_QUOTED: Final = re.compile(
    r'"([^"]{1,400})"|\u201c([^\u201d]{1,400})\u201d|`([^`]{1,400})`|\u300c([^\u300d]{1,400})\u300d'
    r"|\u300a([^\u300b]{1,400})\u300b|\u00ab([^\u00bb]{1,400})\u00bb"
    r"|\u2018([^\u2019]{1,400})\u2019(?!\w)"
    r"|(?<![\w'])'([^']{1,200})'(?!\w)"
)
_SPACE: Final = re.compile(r"[\s\u2019'\u201c\u201d\"`]+")


def identifiers(a: Gist, b: Gist) -> bool:
    """Whether one has an identifier that does not stand in the other, or other operators."""
    if _operators(a) != _operators(b):
        return True
    return _lacks(b, _identifiers(a)) or _lacks(a, _identifiers(b))


def quotes(a: Gist, b: Gist) -> bool:
    """Whether one quotes what does not stand in the other."""
    return _is_quoted_alone(a, b) or _is_quoted_alone(b, a)


def _is_quoted_alone(a: Gist, b: Gist) -> bool:
    """Whether ``a`` quotes what does not stand in ``b``."""
    quoted = _quoted(a)
    return bool(quoted) and any(each not in _bare(b.text.folded) for each in quoted)


@once
def _operators(gist: Gist) -> list[str]:
    return sorted(_OPERATOR.findall(gist.folded)) if _SIGNS.search(gist.folded) else []


@once
def _identifiers(gist: Gist) -> set[str]:
    raw = gist.text.raw
    if _CODED.search(raw) is None:
        return set()
    found = (match[0].casefold().rstrip("(.,-") for match in _IDENTIFIER.finditer(raw))
    return {word for word in found if not _PLAIN.fullmatch(word)}


def _lacks(gist: Gist, words: Collection[str]) -> bool:
    """Whether one of ``words`` stands nowhere in the question."""
    if not words:
        return False
    closed = [token.replace("-", "").lstrip("v") for token in gist.tokens]
    known = {*gist.tokens, *closed, *map("".join, pairwise(closed))}  # "covid 19" is "covid-19"
    return any(
        word not in known
        and word.replace("-", "").lstrip("v") not in known
        and (word.isalnum() or not _stands_in(gist.folded, word))
        for word in words
    )


def _stands_in(text: str, word: str) -> bool:
    """Whether ``word`` is in ``text`` with no letter or digit right before or after it."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not (at and _BORDERED.match(text, at - 1)) and not _BORDERED.match(text, end):
            return True
        at = text.find(word, end)
    return False


@once
def _quoted(gist: Gist) -> list[str]:
    return [
        _bare(next(filter(None, match.groups()))).strip(" .,?!;:")
        for match in _QUOTED.finditer(gist.text.folded)
    ]


def _bare(text: str) -> str:
    return _SPACE.sub(" ", text)
