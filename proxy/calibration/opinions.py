"""A verifier that remembers what speaks against a pair, to be asked again with some of it off."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.model.meaning import Doubt
from proxy.semantic.verifier import Verifier
from proxy.semantic.words.text import Text

Opinions = dict[tuple[str, str], tuple[Doubt, ...]]


class KnownVerifier(Verifier):
    """A ``Verifier``; those that share ``opinions`` look at each pair once.

    Args:
        off: vetoes that do not count here, though they do for others.
        words: the user's own; the same for all that share ``opinions``.
        opinions: what is known, and what becomes known.
    """

    def __init__(
        self, off: frozenset[Doubt], words: Sequence[Sequence[str]], opinions: Opinions
    ) -> None:
        super().__init__(words=words)
        self._off = off
        self._opinions = opinions

    def refuse(self, a: Text, b: Text) -> Doubt | None:
        return next(iter(self.all_of(a, b)), None)

    def all_of(self, a: Text, b: Text) -> tuple[Doubt, ...]:
        pair = a.raw, b.raw
        known = self._opinions.get(pair)
        if known is None:
            known = self._opinions[pair] = super().all_of(a, b)
        return tuple(doubt for doubt in known if doubt not in self._off)
