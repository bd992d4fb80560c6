"""The settings of overload: how many calls of the backends there are, and who stands back."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from proxy.config.section import Section
from proxy.config.units import Accepts, Count, Seconds, Share, SomeCount

_LONGEST_S = 60.0


def _bounded(value: float) -> float:
    if value > _LONGEST_S:
        raise ValueError(f"must be at most {_LONGEST_S:.0f} s: somebody waits meanwhile")
    return value


Wait = Annotated[Seconds, AfterValidator(_bounded), Accepts("a duration up to 60s")]


class Overload(Section):
    """Bounds of the calls of all backends together; what is answered from the cache is no call."""

    max_calls: SomeCount = Field(
        default=1024,
        description="Calls under way at once, from being sent to the end of the response. As many "
        "as a backend has connections by default: set it to what your backends bear.",
    )
    max_queued: Count | None = Field(
        default=None,
        description="Calls that wait for others to end. Unset: as many as `max_calls` says.",
    )
    queue_s: Wait = Field(
        default=1.0,
        description="How long one waits. Who would wait longer, by how long calls take now, is "
        "turned away at once.",
    )
    scope_share: Share = Field(
        default=0.5,
        description="The largest share of both that one caller may have while others ask; beyond "
        "it he gets 429. Who asks alone may have all. 1: callers are not told apart.",
    )
    adaptive: bool = Field(
        default=False,
        description="Whether fewer than `max_calls` are let through where the backends answer "
        "later than they do when not pressed. For backends whose first byte comes after about as "
        "long for every question: streams, embeddings.",
    )
    min_calls: SomeCount = Field(
        default=16, description="With `adaptive`: calls that are let through in any case."
    )

    @property
    def queued(self) -> int:
        """How many may wait."""
        return self.max_calls if self.max_queued is None else self.max_queued
