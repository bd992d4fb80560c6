"""Vetoes questions in another script, or so much longer that they must say more."""

from __future__ import annotations

from typing import Final

from proxy.model.meaning import Script
from proxy.semantic.vetoes.gist import Gist

# The longer may have this many times the words of the shorter and some for politeness: measured on
# true pairs, hardly one has more. A suffix crafted to draw another's vector near needs more.
_TIMES: Final = 2
_MORE: Final = 8


def script(a: Gist, b: Gist) -> bool:
    """Whether they are written in other scripts; Latin words within Chinese are Chinese still."""
    return _kind(a.text.script) is not _kind(b.text.script)


def length(a: Gist, b: Gist) -> bool:
    """Whether one has so many more words than the other that it cannot ask only the same."""
    shorter, longer = sorted((len(a.tokens), len(b.tokens)))
    return longer > _TIMES * shorter + _MORE


def _kind(script: Script) -> Script:
    return Script.HAN if script is Script.MIXED else script
