"""The settings of embeddings: how inputs are asked for together."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from proxy.config.section import Section
from proxy.config.units import Accepts, Bytes, Seconds, SomeCount

_MIB: Final = 2**20
_LONGEST_S: Final = 1.0


def _brief(value: float) -> float:
    if value > _LONGEST_S:
        raise ValueError(f"must be at most {_LONGEST_S:.0f} s: somebody waits meanwhile")
    return value


Wait = Annotated[Seconds, AfterValidator(_brief), Accepts("a duration up to 1s")]


class ModelLimit(Section):
    """How many inputs of some models go together."""

    model: str = Field(description="A pattern with `*`, `?` and `[...]`, compared with case.")
    max_inputs: SomeCount = Field(description="Inputs of several requests in one call, at most.")


class Batching(Section):
    """Inputs of several requests that are asked for in one call."""

    enabled: bool = Field(
        default=True,
        description="Whether inputs of several requests are. Those of one request go together in "
        "any case.",
    )
    wait_s: Wait = Field(
        default=0.005,
        description="How long an input waits after the last that came, and ten times that at "
        "most. Where nothing else of its kind is waiting or under way it does not wait.",
    )
    max_inputs: SomeCount = Field(
        default=64, description="Inputs of several requests in one call, at most."
    )
    models: tuple[ModelLimit, ...] = Field(
        default=(),
        description="What differs for some models, as their backends take fewer or more. The first "
        "that matches counts.",
        examples=[[{"model": "nomic-*", "max_inputs": 32}]],
    )
    max_bytes: Bytes = Field(
        default=1 * _MIB, description="The longest body of a call for several requests, about."
    )
    max_reply_bytes: Bytes = Field(
        default=32 * _MIB,
        description="The longest reply that is taken apart. Where one is longer, requests with "
        "several inputs are passed on for a minute.",
    )


class Embeddings(Section):
    """Vectors of texts, which are kept for each text by itself."""

    batching: Batching = Field(
        default_factory=Batching,
        description="Inputs of several requests that are asked for in one call.",
    )
