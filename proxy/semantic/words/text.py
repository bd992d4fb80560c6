"""A question as it is read for comparing: its tokens, and what they are written in."""

from __future__ import annotations

from typing import NamedTuple

from proxy.model.meaning import Script


class Text(NamedTuple):
    """A question, read once; made by ``proxy.semantic.words.reading.read``."""

    raw: str  # as it was asked
    folded: str  # NFKC, case folded, Han simplified, spaces made one; punctuation is still there
    tokens: tuple[str, ...]  # of ``folded``: words, symbols, numbers as digits, each Han character
    script: Script
