"""Reads a question for comparing: what it says, without what makes no difference to it.

Width, case, kinds of quotes, hyphens and spaces, and traditional or simplified Han are made one.
Han is compared character by character, since cutting it into words takes a dictionary. Time grows
with the length of the text and with nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from proxy.model.meaning import Script
from proxy.semantic.words.lexer import BOUNDARY, lex
from proxy.semantic.words.numerals import spelled
from proxy.semantic.words.simplified import simplified
from proxy.semantic.words.text import Text

# One for many: quotes, hyphens; and none for what is not seen, but for the joiners of emoji.
_ALIKE: Final = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
        **dict.fromkeys("\u00ad\u200b\u200e\u200f\u2060\ufeff", None),
    }
)
_HAN: Final = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f\u3007]+")
_KANA: Final = re.compile("[\u3041-\u30fa\u30fc-\u30ff]")
_LATIN: Final = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+")
_LETTERS: Final = re.compile(r"[^\W\d_]+")


def read(raw: str) -> Text:
    """``raw`` as a ``Text``. Any string will do; no error is raised."""
    text = plain(raw)
    folded = " ".join(text.casefold().split())
    tokens = spelled(lex(folded, boundaries=True))
    return Text(raw, folded, tuple(t for t in tokens if t != BOUNDARY), script_of(text))


def plain(raw: str) -> str:
    """``raw`` with one width, one kind of quote and hyphen and simplified Han; its case is kept."""
    if raw.isascii():
        return raw  # as it is already
    text = unicodedata.normalize("NFKC", raw).translate(_ALIKE)
    # Japanese keeps its own forms: they are not another way to write the same.
    return text if _KANA.search(text) else simplified(text)


def script_of(text: str) -> Script:
    """What ``text`` is written in. Digits and symbols do not count; alone they are OTHER."""
    letters = sum(map(len, _LETTERS.findall(text)))
    latin = sum(map(len, _LATIN.findall(text)))
    han = sum(map(len, _HAN.findall(text)))
    if 2 * (latin + han) <= letters or _KANA.search(text):
        return Script.OTHER
    if latin and han:
        return Script.MIXED
    return Script.HAN if han else Script.LATIN
