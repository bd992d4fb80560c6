"""Cuts a text into tokens, so that what means something stays whole and the rest falls away.

One regular expression finds the pieces, from left to right and in linear time: its repeats are
possessive, so nothing is tried twice. What it takes too much of (``and/or``, ``two-factor``,
``5km``) is cut again. Case is kept; the caller folds it if it wants to.

Tokens are words with their apostrophes, numbers with their sign, decimals and per cent,
identifiers, addresses and paths as they are, single characters of Han and Kana, and the symbols
that change a meaning: operators, currencies, emoji, brackets of a call. Other punctuation is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

UNSPACED: Final = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f\u3005\u3007"
)
# Marks that are part of a word but no letters to Python: accents, vowel signs, joiners.
_MARKS: Final = (
    "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff\u0e31-\u0e4e\u0eb1-\u0ecd\u0f18-\u103f"
)
_LETTER: Final = rf"(?:[^\W{UNSPACED}]|[{_MARKS}])"
_LETTERS: Final = rf"(?={_LETTER})[^\W{UNSPACED}]*+(?:[{_MARKS}]++[^\W{UNSPACED}]*+)*"
_NUMBER: Final = r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]++)?(?![0-9_]|,[0-9])"

BOUNDARY: Final = ","  # in place of a run of punctuation that ends a clause

# Possessive are classes of characters only, never groups: those that can be tried in several ways
# match wrongly before Python 3.11.5 (https://github.com/python/cpython/issues/106052).
_PIECE: Final = re.compile(
    rf"""
    (?P<word>[A-Za-z]++(?![^\s,?!]))  # what is most of a text, first
    |(?P<address>(?:https?|ftp)://[^\s{UNSPACED}"<>]++)
    |(?P<unspaced>[{UNSPACED}]++)
    |(?P<number>(?<![\w.(\[,])-?{_NUMBER})
    |(?P<chunk>
        (?:(?<![A-Za-z0-9_)])-(?=\.?[0-9])|(?<![^\s(=,])--?(?={_LETTER})|(?<![^\s("',])[./@\#](?={_LETTER})|\\)?
        {_LETTERS}
        (?:(?:[.'@:/-]|::){_LETTERS})*
        (?:(?<=[A-Za-z])(?:\+\+|\#)(?![+\#]))?
        (?:'(?=\())?
    )
    |(?P<operator>[=!<>]=++|[-=]>|<-|&&|\|\||\+\+|<<|>>|(?<=[A-Za-z0-9_])[(\[{{]|(?<=[0-9])!|!(?={_LETTER})
        |(?<=[0-9])\ -\ (?=[0-9])|~(?=[\w/]))
    |(?P<boundary>[,.;:!?\u2026\u3001\u3002\n]++)
    |(?P<symbol>[^\s\w`'"()\[\]{{}}/\\\-_~\u00b7\u2010-\u205e\u2e00-\u2e7f\u3008-\u301f\ufe00-\ufe0f\ufe30-\ufe6b\u30fb])
    """,
    re.VERBOSE,
)
_WORDS: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_UNSPACED: Final = re.compile(f"[{UNSPACED}]")
_DECIMAL: Final = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)")
_MEASURED: Final = re.compile(
    r"(-?[0-9]+(?:\.[0-9]+)?)"
    r"((?:[kmcdµμn]?m|[kmgtp]i?b(?:ps|it)?|[kmµμ]?g|[kmgt]?hz|[kmg]?w|[kmg]?wh|m?l|m?v|m?ah|[mn]?s|"
    r"mins?|hrs?|secs?|lbs?|oz|ft|mph|kmh|kph|usd|eur|gbp|cny|rmb|yen|px|pt|mm|kcal|cal|kpa|psi)\d?)",
    re.IGNORECASE,
)
_COUNTED: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)-([^\W\d_]{3,}(?:-[^\W\d_]+)*)")


def lex(plain: str, *, boundaries: bool = False) -> list[str]:
    """The tokens of ``plain``, which is NFKC with straight quotes and one kind of hyphen.

    With ``boundaries``, punctuation that ends a clause is a token too: ``BOUNDARY``.
    """
    tokens: list[str] = []
    for match in _PIECE.finditer(plain):
        piece = match.group()
        match match.lastgroup:
            case "word":
                tokens.append(piece)
            case "unspaced":
                tokens.extend(piece)
            case "chunk":
                if piece.isalnum():
                    tokens.extend(_measured(piece))
                else:
                    tokens.extend(_cut(piece))
            case "number":
                tokens.append(piece.replace(",", ""))
            case "boundary":
                if boundaries and (not tokens or tokens[-1] != BOUNDARY):
                    tokens.append(BOUNDARY)
            case _:
                if piece == "%" and tokens and is_decimal(tokens[-1]):
                    tokens[-1] += piece
                else:
                    tokens.append(piece.strip())
    return tokens


def is_decimal(token: str) -> bool:
    """Whether ``token`` is a plain number: ``5``, ``-3.25``; neither ``5%`` nor ``v5``."""
    return _DECIMAL.fullmatch(token) is not None


def is_unspaced(token: str) -> bool:
    """Whether ``token`` is a character of Han or Kana, which are written without spaces."""
    return _UNSPACED.fullmatch(token) is not None


def _measured(piece: str) -> tuple[str, ...]:
    """``5km`` is two tokens; ``4k``, ``3d`` and ``e1234`` are one."""
    if piece[0] > "9" or piece.isdigit():
        return (piece,)
    match = _MEASURED.fullmatch(piece)
    return match.groups() if match else (piece,)


def _cut(piece: str) -> Iterator[str]:
    """The tokens of a piece that has more than letters and digits in it."""
    if is_decimal(piece):
        yield piece
    elif match := _MEASURED.fullmatch(piece):
        yield from match.groups()
    elif "@" in piece[1:] or "::" in piece or piece[0] in "./@#\\-" or piece.count("/") > 1:
        yield piece  # an address, a path, a flag: as it is
    elif ":" in piece and not piece.replace(":", "").isdigit():
        for part in piece.split(":"):
            yield from _cut(part) if part else ()
    elif "/" in piece and not piece.replace("/", "").replace(".", "").isdigit():
        head, _, tail = piece.partition("/")
        yield from _cut(head)
        yield "/"
        yield from _cut(tail)
    elif match := _COUNTED.fullmatch(piece):  # 2-factor, 5-star: as two-factor, five star
        yield match[1]
        yield from match[2].split("-")
    elif "-" in piece:
        yield from _unhyphened(piece)
    else:
        yield piece


def _unhyphened(piece: str) -> list[str]:
    """Words joined by hyphens are as many words; identifiers, dates and ``a-b`` are one."""
    parts = piece.split("-")
    if all(_WORDS.fullmatch(part) for part in parts) and any(len(part) > 1 for part in parts):
        return parts
    return [piece]
