"""The verifier: says why the answer to one question must not be served for another.

Vectors tell what a question is about, and hardly what it says of it: "from X to Y" and "from Y to
X" are nearer to each other than most that mean the same. So each of these vetoes knows of one way
in which questions that look alike differ. They are asked from the cheapest and surest on, and the
first that speaks is the reason. All of them are symmetric, and none has anything against a
question's own answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Final

from proxy.model.meaning import Doubt
from proxy.semantic.vetoes.antonyms import antonyms
from proxy.semantic.vetoes.asking import question_word
from proxy.semantic.vetoes.codes import identifiers, quotes
from proxy.semantic.vetoes.dates import dates
from proxy.semantic.vetoes.entities import entities
from proxy.semantic.vetoes.gist import Gist, gist_of
from proxy.semantic.vetoes.languages import language
from proxy.semantic.vetoes.negation import negation
from proxy.semantic.vetoes.numbers import numbers, units
from proxy.semantic.vetoes.order import order
from proxy.semantic.vetoes.own import Words
from proxy.semantic.vetoes.sizes import length, script
from proxy.semantic.words.text import Text

Veto = Callable[[Gist, Gist], bool]

_GISTS: Final = 256  # of questions lately compared: 4 MB where they have 100 words, 13 where 400

_VETOES: Final[tuple[tuple[Doubt, Veto], ...]] = (
    (Doubt.LENGTH, length),
    (Doubt.VETO_SCRIPT, script),
    (Doubt.VETO_NUMBERS, numbers),
    (Doubt.VETO_UNITS, units),
    (Doubt.VETO_DATES, dates),
    (Doubt.VETO_LANGUAGE, language),
    (Doubt.VETO_NEGATION, negation),
    (Doubt.VETO_ANTONYMS, antonyms),
    (Doubt.VETO_IDENTIFIERS, identifiers),
    (Doubt.VETO_QUOTES, quotes),
    (Doubt.VETO_QUESTION_WORD, question_word),
    (Doubt.VETO_ORDER, order),
    (Doubt.VETO_ENTITIES, entities),
)


class Verifier:
    """Refuses answers to questions that only look like the one that is asked.

    Args:
        off: vetoes that are not to be asked.
        words: groups of words of which two questions must mention the same ones; none of them
            blank. Phrases are words too, and case does not count.
    """

    def __init__(self, off: Collection[Doubt] = (), words: Sequence[Sequence[str]] = ()) -> None:
        # A question meets several candidates, and an entry in demand many questions.
        self._gist_of = lru_cache(maxsize=_GISTS)(gist_of)
        own: Veto = Words(words)
        vetoes = (*_VETOES, (Doubt.VETO_WORDS, own))
        self._vetoes = tuple((doubt, veto) for doubt, veto in vetoes if doubt not in off)

    def refuse(self, a: Text, b: Text) -> Doubt | None:
        """The first reason why ``a`` must not be answered with what answers ``b``; None for none.

        It waits for nothing and raises nothing.
        """
        if a.folded == b.folded:
            return None
        one, other = self._gist_of(a), self._gist_of(b)
        return next((doubt for doubt, veto in self._vetoes if veto(one, other)), None)

    def all_of(self, a: Text, b: Text) -> tuple[Doubt, ...]:
        """Every such reason, to explain and to measure."""
        if a.folded == b.folded:
            return ()
        one, other = self._gist_of(a), self._gist_of(b)
        return tuple(doubt for doubt, veto in self._vetoes if veto(one, other))
