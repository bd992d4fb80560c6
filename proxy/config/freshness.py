"""The settings of what makes an answer live shorter, or longer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from proxy.config.section import Section
from proxy.config.units import Fraction, JsonPointer, Multiple, Phrase, Share

AboutNow = Literal["shorten", "bypass", "ignore"]


class TimeSensitive(Section):
    """Questions about now: the weather, a price, what is new. They are known by their words."""

    action: AboutNow = Field(
        default="shorten",
        description="What becomes of them: their answers live shorter, they are passed on "
        "uncached, or nothing.",
    )
    factor: Share = Field(
        default=0.5,
        description="What the lifetime of their answers and the times after it, as set here, are "
        "multiplied by. Not those that the caller or an obeyed backend sets.",
    )
    words: tuple[Phrase, ...] = Field(
        default=(),
        description="Further words and phrases that mean now, whatever their case. A `*` at an end "
        "of one stands for the rest of a longer word.",
        examples=[["outage*", "on call", "值班"]],
    )
    built_in: bool = Field(
        default=True, description="Whether the built-in words count, English and Chinese."
    )


class Confidence(Section):
    """Answers that say how sure they are of themselves."""

    pointer: JsonPointer | None = Field(
        default="/confidence",
        description="Where they say so, by a number from 0 to 1: a JSON Pointer (RFC 6901) into "
        "the answer. In a stream, the last event that says it counts; null: it is not looked for.",
    )
    above: Fraction = Field(default=0.9, description="The confidence above which they live longer.")
    factor: Multiple = Field(
        default=2.0,
        description="What their lifetime is multiplied by then, up to `cache.max_ttl_s`. Not one "
        "that the caller or an obeyed backend sets.",
    )
