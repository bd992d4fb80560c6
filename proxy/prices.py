"""What tokens cost: a price for each model, as the operator has written them down."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from proxy.model.query import Usage
from proxy.wire.by_names import by_name

_MILLION: Final = 1e6


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
        self._known_of = by_name(self._of)

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return bool(self._prices)

    def cost(self, model: str, usage: Usage) -> float | None:
        """What an answer costs; None if there is no price for the model."""
        price = self._known_of(model)
        if price is None:
            return None
        spent = price.input * usage.prompt_tokens + price.output * usage.completion_tokens
        return spent / _MILLION

    def _of(self, model: str) -> Price | None:
        return next((each for each in self._prices if fnmatchcase(model, each.model)), None)
