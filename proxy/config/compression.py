"""The settings of prompts that are made shorter."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from proxy.config.section import Section, conflict
from proxy.config.units import SomeCount


class Compression(Section):
    """Prompts that are made shorter on their way to the backend."""

    path: str = Field(default="*", description="The paths it is for: a shell pattern.")
    model: str = Field(default="*", description="The models: a shell pattern.")
    dialect: str = Field(default="*", description="The protocols: a shell pattern.")
    rules: tuple[Literal["blank", "repeated", "filler"], ...] = Field(
        default=(),
        description="What prose is rid of: repeated blank space and blank lines, paragraphs that "
        "were there before word for word, words of courtesy. Code, JSON, tables and quotations "
        "are left alone.",
        examples=[["blank", "repeated"]],
    )
    max_tokens: SomeCount | None = Field(
        default=None,
        description="About how many tokens the texts of a prompt may have together. Of longer "
        "ones lines are left out, of the longest text first and of the last message last, whose "
        "first and last paragraph stay; never a part of code or JSON. null: no bound.",
    )
    cut: Literal["head", "middle", "tail"] = Field(
        default="middle", description="Which part of a text goes first."
    )

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.rules and self.max_tokens is None:
            raise conflict("give `rules`, `max_tokens` or both", "rules", "max_tokens")
        return self
