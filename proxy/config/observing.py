"""The settings of what is counted, and of what is saved by it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from proxy.config.section import Section
from proxy.config.units import SomeCount

Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Metrics(Section):
    """What is counted of requests."""

    max_models: SomeCount = Field(
        default=50,
        le=500,
        description="Names of models that are counted apart; all further ones are `other`.",
    )


class Price(Section):
    """What the tokens of some models cost."""

    model: str = Field(default="*", description="The models: a shell pattern.")
    input: Money = Field(description="A million tokens of prompts.")
    output: Money = Field(default=0.0, description="A million tokens of answers.")


class Savings(Section):
    """What tokens cost, so that it can be told what the cache saves."""

    currency: str = Field(
        default="USD", pattern=r"^[A-Za-z]{1,8}$", description="What prices are in."
    )
    prices: tuple[Price, ...] = Field(
        default=(),
        description="The first that is for the model counts; without one, tokens are counted and "
        "no money.",
        examples=[[{"model": "gpt-4o*", "input": 2.5, "output": 10.0}]],
    )
