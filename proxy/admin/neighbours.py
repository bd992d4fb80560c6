"""``POST /semantic/neighbours``: who is near to a question, and what another threshold does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from pydantic import Field

from proxy.admin.described import Described
from proxy.admin.endpoint import Call, Endpoint, Nothing, Said, Shown, Told, endpoint
from proxy.admin.rows import Rows
from proxy.explaining.explain import Explaining
from proxy.model.entry import CacheKey
from proxy.model.meaning import Doubt
from proxy.model.reasons import REASONS
from proxy.semantic.found import Nearby

_MOST: Final = 50
_TRIED: Final = tuple(at / 100 for at in range(70, 101))  # thresholds


class Wanted(Said):
    """To what."""

    request: Described
    limit: int = Field(default=10, ge=1, le=_MOST)
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="What if this were the threshold, and the breaker closed?",
    )


class NeighbourTold(Shown):
    """A question that was asked before."""

    key: str
    tier: str
    score: float = Field(description="The similarity, at most 1.")
    verdict: Literal["served", "refused", "near"] = Field(
        description="refused: something else than distance speaks against it; near: nothing does, "
        "and another is served, or none is near enough."
    )
    doubt: Doubt | None = Field(description="What speaks against it.")
    says: str
    would_serve: bool = Field(description="Whether it would do, were there no nearer one.")
    question: str | None = Field(description="Only with `admin.show_content`.")


class Neighbours(Shown):
    """Who is near."""

    threshold: float | None = Field(description="That is in force; null: nobody was looked for.")
    least: float | None = Field(description="Below this nobody is looked at.")
    open: bool | None = Field(description="Whether the breaker is open: nothing is served.")
    doubt: Doubt | None = Field(description="Why nobody was looked for, or found.")
    says: str
    neighbours: list[NeighbourTold]
    served_at: dict[str, int] = Field(
        description="How many of them each threshold from 0.70 to 1.00 would let pass."
    )


def neighbours_told(
    nearby: Nearby, rows: Rows, threshold: float | None, least: float, served: CacheKey | None
) -> list[NeighbourTold]:
    """What is told of them.

    Args:
        threshold: what if it were this one; None: that in force.
        least: the similarity that the caller asks for.
        served: the key of what is served, if anything is.
    """
    in_force = 2.0 if nearby.is_open else nearby.threshold  # a breaker lets nobody pass
    enough = max(in_force if threshold is None else threshold, least)
    told = []
    for candidate, doubt in nearby.neighbours:
        key, passes = candidate.entry.key, candidate.score >= enough
        against = doubt
        if doubt is None and not passes:
            closed = nearby.is_open and threshold is None
            against = Doubt.BUDGET if closed else Doubt.THRESHOLD
        verdict: Literal["served", "refused", "near"] = "near" if doubt is None else "refused"
        told.append(
            NeighbourTold(
                key=key.digest.hex(),
                tier=candidate.tier,
                score=round(candidate.score, 6),
                verdict="served" if key == served else verdict,
                doubt=against,
                says="" if against is None else REASONS[against.value].says,
                would_serve=against is None,
                question=rows.question(candidate.entry),
            )
        )
    return told


class Nearness:
    """Answers it.

    Args:
        explaining: looks for them.
        rows: tells of entries.
    """

    def __init__(self, explaining: Callable[[], Explaining], rows: Rows) -> None:
        self._explaining = explaining
        self._rows = rows

    @property
    def endpoint(self) -> Endpoint:
        """200, be it that nobody is near, or nobody is looked for."""
        return endpoint(
            "POST",
            "/semantic/neighbours",
            self._answer,
            query=Nothing,
            body=Wanted,
            summary="Which questions are near to one, and what speaks against each",
            answers={200: Neighbours},
        )

    async def _answer(self, asked: Call[Nothing, Wanted]) -> Told:
        said = asked.body
        draft = said.request.draft()
        nearby, least = await self._explaining().nearby(draft, said.limit)
        if not isinstance(nearby, Nearby):
            return Told(
                Neighbours(
                    threshold=None, least=None, open=None, doubt=nearby,
                    says="Nothing is looked for by meaning."
                    if nearby is None
                    else REASONS[nearby.value].says,
                    neighbours=[], served_at={},
                )
            )  # fmt: skip
        explanation = await self._explaining().explain(draft)
        served = None if explanation.meant is None else explanation.meant.served
        scores = [each.candidate.score for each in nearby.neighbours if each.doubt is None]
        return Told(
            Neighbours(
                threshold=nearby.threshold,
                least=nearby.least,
                open=nearby.is_open,
                doubt=None,
                says="",
                neighbours=neighbours_told(nearby, self._rows, said.threshold, least, served),
                served_at={f"{at:.2f}": sum(score >= at for score in scores) for at in _TRIED},
            )
        )
