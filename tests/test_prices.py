"""What tokens cost."""

from __future__ import annotations

import pytest
from support.held import holding_less_than

from proxy.model.query import Usage
from proxy.prices import Price, Prices

PRICES = Prices([Price("gpt-4o-mini", 0.15, 0.6), Price("gpt-4o*", 2.5, 10.0)], "EUR")


@pytest.mark.parametrize(
    ("model", "cost"), [("gpt-4o", 2.5 + 5.0), ("gpt-4o-mini", 0.15 + 0.3), ("GPT-4o", None)]
)
def test_the_first_price_that_is_for_the_model_counts(model: str, cost: float | None) -> None:
    assert PRICES.cost(model, Usage(1_000_000, 500_000)) == (
        None if cost is None else pytest.approx(cost)
    )


def test_names_of_models_are_not_remembered_without_bound() -> None:
    with holding_less_than(2**20):
        for number in range(100):
            PRICES.cost(f"gpt-4o{number:0100000}", Usage(1, 1))


def test_without_prices_there_is_no_money() -> None:
    assert Prices().cost("m", Usage(1, 1)) is None
    assert not Prices().known
    assert PRICES.known
