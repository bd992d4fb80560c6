"""What tokens cost: a price for each model, as the operator has written them down."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, NamedTuple

from proxy.model.query import Usage

_MILLION: Final = 1e6
_LONGEST_KNOWN: Final = 256  # characters of a model's name


class Price(NamedTuple):
    """Money for a million tokens, for the models that ``model``, a shell pattern, is for."""

    model: str
    input: float
    output: float


class Prices:
    """Prices; the first that is for a model counts.

    Args:
        currency: what they are in; a word for people.
    """

    def __init__(self, prices: Sequence[Price] = (), currency: str = "USD") -> None:
        self._prices = tuple(prices)
        self.currency = currency
        self._known_of = lru_cache(maxsize=1024)(self._of)

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return bool(self._prices)

    def cost(self, model: str, usage: Usage) -> float | None:
        """What an answer costs; None if there is no price for the model."""
        # Names come from clients, and what is remembered of them has a bound in bytes.
        price = self._known_of(model) if len(model) <= _LONGEST_KNOWN else self._of(model)
        if price is None:
            return None
        spent = price.input * usage.prompt_tokens + price.output * usage.completion_tokens
        return spent / _MILLION

    def _of(self, model: str) -> Price | None:
        return next((each for each in self._prices if fnmatchcase(model, each.model)), None)
