"""Whether two stored entries have the same answer, as far as is known without waiting."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from proxy.model.entry import Entry
from proxy.semantic.budget.comparator import Judgement, compare

_MOST: Final = 20_000  # pairs remembered: about 6 MB
_SHORT: Final = 2000  # characters; longer answers are compared in the background only
_SHORT_BYTES: Final = 128 * 2**10  # of a body, which takes a millisecond to read; most are no text

_Name = tuple[bytes, int]
_Pair = tuple[_Name, _Name]


class Agreement:
    """Remembers which entries have the same answer.

    Args:
        answer: what a stored entry says, as one text; None if it says it otherwise.
    """

    def __init__(self, answer: Callable[[Entry], str | None]) -> None:
        self._answer = answer
        self._known: OrderedDict[_Pair, Judgement] = OrderedDict()

    def of(self, a: Entry, b: Entry) -> Judgement:
        """What is known of two entries, or seen at a glance."""
        if a.body == b.body:
            return Judgement.SAME
        known = self._known.get(_pair(a, b))
        if known is not None:
            return known
        if max(len(a.body), len(b.body)) > _SHORT_BYTES:
            return Judgement.UNKNOWN
        texts = self.texts(a, b)
        if texts is None or max(map(len, texts)) > _SHORT:
            return Judgement.UNKNOWN
        judgement = compare(*texts, None)
        self.learn(a, b, judgement)
        return judgement

    def texts(self, a: Entry, b: Entry) -> tuple[str, str] | None:
        """What both say; None if one of them says it otherwise than by a text."""
        first, second = self._answer(a), self._answer(b)
        return None if first is None or second is None else (first, second)

    def learn(self, a: Entry, b: Entry, judgement: Judgement) -> None:
        """Remember that two entries have the same answer, or not."""
        pair = _pair(a, b)
        self._known[pair] = judgement
        self._known.move_to_end(pair)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)


def _pair(a: Entry, b: Entry) -> _Pair:
    first, second = sorted((_name(a), _name(b)))
    return first, second


def _name(entry: Entry) -> _Name:
    return entry.key.digest, hash(entry.body)  # what is renewed under a key may say something else
