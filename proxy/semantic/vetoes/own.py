"""Vetoes by lists of the user's own: words of which both questions must mention the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from proxy.semantic.vetoes.gist import HAN, Gist

_UNSPACED: Final = re.compile(f"[{HAN}]")
_LETTER: Final = rf"[^\W{HAN}]"


class Words:
    """Groups of words and phrases that tell questions apart.

    Args:
        groups: each of words or phrases, none of them blank; case and width do not count. A group
            of one word tells questions with it from those without.
    """

    def __init__(self, groups: Sequence[Sequence[str]] = ()) -> None:
        self._patterns = [_pattern(group) for group in groups if group]

    def __call__(self, a: Gist, b: Gist) -> bool:
        """Whether, of some group, they do not mention the same words."""
        return any(
            set(pattern.findall(a.folded)) != set(pattern.findall(b.folded))
            for pattern in self._patterns
        )


def _pattern(group: Sequence[str]) -> re.Pattern[str]:
    folded = {_folded(word) for word in group}
    longest_first = sorted(folded, key=len, reverse=True)
    return re.compile("|".join(map(_whole, longest_first)))


def _folded(word: str) -> str:
    plain = unicodedata.normalize("NFKC", word).casefold().replace("\u2019", "'")
    return " ".join(plain.split())


def _whole(word: str) -> str:
    """Matches ``word``, not within another; Han has no borders between words."""
    opens = f"(?<!{_LETTER})" if _bordered(word[0]) else ""
    closes = f"(?!{_LETTER})" if _bordered(word[-1]) else ""
    return f"{opens}{re.escape(word)}{closes}"


def _bordered(character: str) -> bool:
    return character.isalnum() and _UNSPACED.match(character) is None
