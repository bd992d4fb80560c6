"""``GET /semantic`` and ``POST /feedback``: how hits by meaning fare, and that one was wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, Protocol

from pydantic import Field

from proxy.admin.endpoint import (
    Call,
    Endpoint,
    Nothing,
    Problem,
    Refused,
    Said,
    Shown,
    Told,
    endpoint,
    plain,
)


class Judge(Protocol):
    """Takes a word on the hit so called; whether that hit is remembered."""

    def __call__(self, name: str, *, wrong: bool) -> Awaitable[bool]: ...


class Feedback(Said):
    """A word on one answer."""

    match: str = Field(
        pattern=r"^[0-9a-f]{16}$",
        description="The X-Cache-Match of the answer: 16 hexadecimal digits.",
    )
    verdict: Literal["wrong", "right"] = Field(description="Whether it answers the question.")


class Learned(Shown):
    """That it was taken."""

    learned: Literal[True] = True


class SelfTest(Shown):
    """How an embedder fared with one script."""

    passed: bool
    why: str


class EmbedderState(Shown):
    """What becomes of vectors."""

    name: str
    standing: str
    self_tests: dict[str, SelfTest]
    late: int
    failed: int


class Stratum(Shown):
    """Questions of one kind, which have a threshold of their own, and how often hits are wrong."""

    fingerprint: str = Field(description="Of the embedder.")
    script: str
    family: str = Field(description="The model that gave the answers.")
    error: float = Field(description="Wrong answers per hit, noise taken off.")
    low: float = Field(description="The true share is above this 95 times in 100 ...")
    high: float = Field(description="... and below this.")
    raw: float = Field(description="As labelled.")
    noise: float = Field(description="The share of exact hits that were judged different.")
    labels: int
    effective: float = Field(description="Labels, as independent ones of equal weight.")
    threshold: float
    open: bool = Field(description="Whether its breaker is open: nothing is served.")
    worker: int | None = Field(
        default=None, description="Who learned it, where several workers serve, each by itself."
    )


class State(Shown):
    """What is known of hits by meaning."""

    ready: bool
    outcomes: dict[str, int]
    bugs: int
    labels_unknown: int
    not_learned: int
    embedder: EmbedderState | None
    strata: list[Stratum]


class Meanings:
    """Answers both.

    Args:
        told: all there is to tell, as ``State`` has it.
        judge: takes a word on a hit.
    """

    def __init__(self, told: Callable[[], Awaitable[Mapping[str, object]]], judge: Judge) -> None:
        self._told = told
        self._judge = judge

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Both."""
        return (
            plain("/semantic", self._state, "How hits by meaning fare", {200: State}),
            endpoint(
                "POST",
                "/feedback",
                self._feedback,
                query=Nothing,
                body=Feedback,
                summary="Say that an answer to a question in other words was wrong, or right",
                answers={200: Learned, 404: Problem},
            ),
        )

    async def _state(self, _asked: Call[Nothing, Nothing]) -> Told:
        return Told(State.model_validate(await self._told()))

    async def _feedback(self, asked: Call[Nothing, Feedback]) -> Told:
        said = asked.body
        if not await self._judge(said.match, wrong=said.verdict == "wrong"):
            raise Refused(404, "no answer of that name is remembered: it is too long ago")
        return Told(Learned())
