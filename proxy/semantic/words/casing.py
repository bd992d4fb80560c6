"""Where upper case means something: US and us, MW and mW, a Polish grandmother who polishes.

Everywhere else case is folded. Who shouts or writes like a title says nothing by it, nor does the
first word of a clause.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from proxy.semantic.words.lexer import BOUNDARY

# Acronyms that are common words in lower case.
_ACRONYMS: Final = frozenset((
    "act", "add", "aids", "am", "arm", "as", "cat", "dos", "era", "hi", "ice", "in", "is", "it",
    "led", "me", "nice", "no", "now", "or", "pet", "sat", "us", "who",
))  # fmt: skip
# Units, elements and acronyms that differ by case alone: MW and mW, Mg and mg, ML and ml.
_EXACT: Final = frozenset((
    "co", "cs", "db", "gbit", "hf", "kbit", "ma", "mbit", "mg", "mhz", "mj", "ml", "mm", "mn",
    "mpa", "ms", "mv", "mw", "mwh", "ni", "nm", "np", "pa", "pb", "ph", "pm", "po", "sn",
))  # fmt: skip
# Bytes are meant where all is lower case; a capital tells them from bits.
_SIZES: Final = {
    "kb": "KB", "mb": "MB", "gb": "GB", "tb": "TB",
    "kbps": "Kbps", "mbps": "Mbps", "gbps": "Gbps", "tbps": "Tbps",
}  # fmt: skip
# Names that are common words too.
_NAMES: Final = frozenset((
    "access", "amber", "apple", "april", "august", "bill", "black", "bishop", "brave", "brown",
    "buffalo", "bush", "cancer", "chad", "chase", "china", "chrome", "cork", "crystal", "dart",
    "dash", "delta", "derby", "discover", "drew", "edge", "elixir", "excel", "explorer", "finder",
    "ford", "frank", "gap", "go", "grace", "gram", "green", "hope", "jack", "jordan", "julia",
    "king", "lightning", "mark", "may", "march", "mars", "mercury", "mono", "nest", "orange",
    "pages", "pat", "pearl", "phoenix", "polish", "prime", "rails", "reading", "reason", "ring",
    "rob", "robin", "rose", "royal", "ruby", "rust", "safari", "salt", "sage", "saturn", "scala",
    "scratch", "shell", "signal", "slack", "smart", "sol", "spark", "spring", "square", "steam",
    "stripe", "sun", "swift", "target", "teams", "trump", "tub", "turkey", "visa", "wales",
    "wave", "white", "will", "windows", "word", "young", "zoom",
))  # fmt: skip
_LATIN: Final = re.compile(r"[A-Za-z]")
_TITLED: Final = 3  # words with a capital, at least, in a title
_LONG: Final = 4  # letters; shorter words have no capital even in a title


def settled(tokens: Sequence[str]) -> list[str]:
    """``tokens`` of one text, folded but where their case means something."""
    words = [token for token in tokens if _LATIN.match(token)]
    shouted = not any(map(_has_lower, words))
    later = [word for word in words[1:] if len(word) >= _LONG]
    titled = len(later) + 1 >= _TITLED and all(word[0].isupper() for word in later)
    found: list[str] = []
    first = True
    for token in tokens:
        loud = shouted or titled or first
        found.append(_settled(token, loud=loud, shouted=shouted))
        first = token == BOUNDARY
    return found


def _settled(token: str, *, loud: bool, shouted: bool) -> str:
    folded = token.casefold()
    if folded in _SIZES:
        return _SIZES[folded] if folded == token else token.replace("k", "K", 1)
    if token == folded:
        return token
    if len(token) == 1:
        return folded if folded in "ai" else token
    if folded in _EXACT:
        return token
    if folded in _ACRONYMS and token.isupper() and not shouted:
        return token
    if folded in _NAMES and not loud:
        return token[0] + folded[1:]
    if token[0] == "-" and len(token) == len("-v"):
        return token  # a flag
    return folded


def _has_lower(word: str) -> bool:
    return any(letter.islower() for letter in word)
