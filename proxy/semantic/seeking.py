"""Seeking: which questions may be answered by the answer to another. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final

from proxy.model.entry import CacheKey
from proxy.model.meaning import Doubt
from proxy.model.query import Asking, Query
from proxy.semantic.found import Sought
from proxy.semantic.words.canonical import canonical
from proxy.semantic.words.eligible import Eligibility
from proxy.semantic.words.reading import read

# Characters; longer questions are about more than one thing, and reading 4,000 takes 2 ms.
_LONGEST: Final = 4096
_LONGEST_FAMILY: Final = 200  # characters: the model's name is the caller's to choose


class Seeking:
    """Tells which questions may be looked for by meaning. Pure.

    Args:
        eligibility: the rules.
        alias: the key of the note on a canonical question, by scope, namespace and its words; None:
            canonical questions are not compared.
    """

    def __init__(
        self,
        eligibility: Eligibility,
        alias: Callable[[str, bytes, str], CacheKey] | None,
    ) -> None:
        self._eligibility = eligibility
        self._alias = alias

    def sought(
        self, asking: Asking, namespace: bytes, key: CacheKey, query: Query
    ) -> Sought | Doubt:
        """What to look for, or why not to."""
        if len(asking.text) > _LONGEST or _wide(asking.text) > _LONGEST:
            return Doubt.TOO_LONG
        text = read(asking.text)
        doubt = self._eligibility.doubt(text, has_history=asking.follows)
        if doubt is not None:
            return doubt
        form = canonical(text)
        alias = self._alias(key.scope, namespace, form) if self._alias and form else None
        family = f"{query.dialect} {query.model}"[:_LONGEST_FAMILY]
        return Sought(key, namespace, text, read(form), alias, family, asking.acts)


def _wide(text: str) -> int:
    """The length of ``text`` as it is read: one sign may stand for a sentence of eighteen."""
    return len(text) if text.isascii() else len(unicodedata.normalize("NFKC", text))
