"""What users ask: some prompts often, most of them seldom, as Zipf's law has it.

Needs nothing but Python, so that it works in any environment that Locust is in.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from itertools import accumulate, cycle, islice

_SENTENCE = "please explain in a few words how this part of the system works and why"


class Prompts:
    """Draws prompts: that of rank ``r`` with a probability proportional to ``1 / r ** exponent``.

    Args:
        number: how many there are.
        exponent: 0: all alike often; 1: as words in a language; more: fewer of them matter.
        words: how long each is.
        dice: what decides.
    """

    def __init__(self, number: int, exponent: float, words: int, dice: random.Random) -> None:
        if number < 1 or words < 1:
            raise ValueError("there must be at least one prompt, of at least one word")
        self._sums = list(accumulate(1 / rank**exponent for rank in range(1, number + 1)))
        self._words = words
        self._dice = dice

    def draw(self) -> str:
        """A prompt. That of a rank is always the same."""
        rank = bisect_left(self._sums, self._dice.random() * self._sums[-1])
        return self.of(min(rank, len(self._sums) - 1) + 1)

    def of(self, rank: int) -> str:
        """The prompt of that rank; the first is 1."""
        filling = islice(cycle(_SENTENCE.split()), self._words - 1)
        return " ".join([f"Question{rank}:", *filling])
