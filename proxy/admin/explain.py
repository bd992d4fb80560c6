"""``POST /explain``: what would become of a request, and why two requests have different keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from pydantic import Field

from proxy.admin.described import Described
from proxy.admin.endpoint import Call, Endpoint, Nothing, Said, Shown, Told, endpoint
from proxy.admin.neighbours import NeighbourTold, neighbours_told
from proxy.admin.rows import Row, Rows, State
from proxy.explaining.differences import Side, Where, differences
from proxy.explaining.draft import Draft
from proxy.explaining.explain import Explaining
from proxy.explaining.explanation import Explanation, Keyed
from proxy.explaining.sentences import tellable, wishes
from proxy.model.meaning import Doubt
from proxy.model.reasons import REASONS
from proxy.policy import AboutNow, Rule, Terms
from proxy.tiers.browsing import Answer, Look

_MOST_NEIGHBOURS: Final = 50
_LONG: Final = 16 * 2**10  # bytes of two bodies; to compare longer ones would hold the loop


class Wanted(Said):
    """What is to be explained."""

    request: Described
    other: Described | None = Field(
        default=None, description="Another, to be told in what the two differ."
    )
    neighbours: int = Field(
        default=5, ge=0, le=_MOST_NEIGHBOURS, description="Of questions near in meaning, at most."
    )
    threshold: float | None = Field(
        default=None, ge=0, le=1, description="What if this were the threshold of similarity?"
    )


class KeyedTold(Shown):
    """What is in the key, and what is not."""

    headers: list[str]
    body: list[str] = Field(description="Members of the body, at the top.")
    left_out_headers: list[str]
    left_out_fields: list[str]


class TierTold(Shown):
    """What one tier answers."""

    tier: str
    answer: str = Field(
        description="hit, stale, negative, absent, purged, distrusted or error; a hit that the "
        "caller does not want is one all the same."
    )
    took_s: float
    entry: Row | None
    trouble: str


class RuleTold(Shown):
    """One of `cache.rules` that matches."""

    index: int = Field(description="Its place, counted from 0; the later one wins.")
    path: str
    model: str
    dialect: str


class TermsTold(Shown):
    """What holds for this route, model and dialect; a question about now has its times cut."""

    enabled: bool
    ttl_s: float
    max_ttl_s: float
    jitter: float
    stale_while_revalidate_s: float
    stale_if_error_s: float
    max_temperature: float | None
    obey_upstream_cache_control: bool
    max_entry_bytes: int
    negative_ttl_s: float
    time_sensitive: AboutNow
    about_now: bool = Field(description="Whether the question is about now.")
    refresh_ahead: float
    variants: int
    semantic: bool
    rules: list[RuleTold]


class Lasting(Shown):
    """For how long a new answer would be kept."""

    would_be_s: float = Field(description="At most.")
    because: str


class SemanticTold(Shown):
    """What the search by meaning comes to."""

    asked: bool
    doubt: Doubt | None
    says: str
    threshold: float | None
    served: str | None = Field(description="The key of what is served.")
    neighbours: list[NeighbourTold]


class FlightTold(Shown):
    """Whether the backend is being asked."""

    in_progress: bool


class PartTold(Shown):
    """One of several inputs."""

    key: str
    outcome: str
    reason: str
    tier: str | None


class ExplanationTold(Shown):
    """What would become of a request if it came now."""

    generation: int = Field(description="The number of the newest purge.")
    upstream: str | None
    dialect: str | None
    outcome: str = Field(description="What X-Cache would say, in lower case.")
    reason: str
    detail: str
    says: str
    advice: str
    key: str | None = Field(description="Of what would be served or asked for.")
    scope: str | None
    scope_by: list[str] = Field(description="The headers that make the scope.")
    namespace: str | None
    model: str | None
    tier: str | None
    keyed: KeyedTold | None
    tiers: list[TierTold]
    terms: TermsTold | None
    ttl: Lasting | None
    semantic: SemanticTold | None
    flight: FlightTold
    steering: list[str] = Field(description="What the caller asks of the cache.")
    variants: int
    parts: list[PartTold] = Field(description="Each input, where there are several.")
    if_backend_fails: list[str] = Field(description="What is tried then, in order.")
    shortened: str | None = Field(description="How the prompt is made shorter on its way.")
    notes: list[str] = Field(description="What is up to chance, or to the backend.")


class DifferenceTold(Shown):
    """One thing in which two requests differ."""

    where: Where
    name: str = Field(description="Of a header, or a JSON pointer into the body.")
    one: str | None = Field(description="null: it is not there, or not told.")
    other: str | None
    matters: bool = Field(description="Whether the keys differ for it.")
    says: str


class Explained(Shown):
    """One request, or two and their differences."""

    request: ExplanationTold
    other: ExplanationTold | None
    same_key: bool | None = Field(description="null: there is no other, or one has no key.")
    differences: list[DifferenceTold]


class Explain:
    """Answers it.

    Args:
        explaining: makes explanations.
        rows: tells of entries.
    """

    def __init__(self, explaining: Callable[[], Explaining], rows: Rows) -> None:
        self._explaining = explaining
        self._rows = rows

    @property
    def endpoint(self) -> Endpoint:
        """200 for whatever a client could send."""
        return endpoint(
            "POST",
            "/explain",
            self._answer,
            query=Nothing,
            body=Wanted,
            summary="What would become of a request, without sending it",
            answers={200: Explained},
        )

    async def _answer(self, asked: Call[Nothing, Wanted]) -> Told:
        said = asked.body
        one = said.request.draft()
        other = None if said.other is None else said.other.draft()
        first = await self._side(one, said)
        if other is None:
            told = self._told(first.explanation, said.threshold)
            return Told(Explained(request=told, other=None, same_key=None, differences=[]))
        second = await self._side(other, said)
        keys = first.explanation.asked_key, second.explanation.asked_key
        if len(first.body) + len(second.body) > _LONG:
            differ = await asyncio.to_thread(differences, first, second)
        else:
            differ = differences(first, second)
        return Told(
            Explained(
                request=self._told(first.explanation, said.threshold),
                other=self._told(second.explanation, said.threshold),
                same_key=None if None in keys else keys[0] == keys[1],
                differences=[DifferenceTold(**each._asdict()) for each in differ],
            )
        )

    async def _side(self, draft: Draft, said: Wanted) -> Side:
        explanation = await self._explaining().explain(draft, said.neighbours)
        return Side(explanation, draft.request, draft.body)

    def _told(self, told: Explanation, threshold: float | None) -> ExplanationTold:
        reason, keyed, query = REASONS[told.why.value], told.keyed, told.query
        limits = told.limits
        lasting = None
        if limits is not None:
            lasting = Lasting(would_be_s=limits.ttl_s, because=limits.because)
        return ExplanationTold(
            generation=told.generation,
            upstream=told.upstream,
            dialect=told.dialect,
            outcome=told.verdict.value.lower(),
            reason=told.why.value,
            detail=tellable(told.detail),
            says=reason.says,
            advice=reason.advice,
            key=None if told.key is None else told.key.digest.hex(),
            scope=None if keyed is None else keyed.parts.scope,
            scope_by=[] if keyed is None else list(keyed.scope_fields),
            namespace=tellable(told.controls.namespace) or None,
            model=None if query is None else tellable(query.model),
            tier=told.tier or None,
            keyed=None if keyed is None else _keyed(keyed),
            tiers=[self._tier(look) for look in told.looks],
            terms=None if told.terms is None else _terms(told, told.terms),
            ttl=lasting,
            semantic=self._semantic(told, threshold),
            flight=FlightTold(in_progress=told.flying),
            steering=[tellable(wish) for wish in wishes(told.controls)],
            variants=told.variants,
            parts=[
                PartTold(
                    key=part.key.digest.hex(),
                    outcome=part.verdict.value.lower(),
                    reason=part.why.value,
                    tier=part.tier or None,
                )
                for part in told.parts
            ],
            if_backend_fails=list(told.steps),
            shortened=told.shortened or None,
            notes=list(told.notes),
        )

    def _tier(self, look: Look) -> TierTold:
        answer = look.answer.value
        if look.answer is Answer.HERE and look.seen is not None:
            state = self._rows.state(look.seen.entry)
            answer = "hit" if state is State.FRESH else state.value
        return TierTold(
            tier=look.tier,
            answer=answer,
            took_s=round(look.took_s, 6),
            entry=None if look.seen is None else self._rows.row(look.tier, look.seen),
            trouble=tellable(look.trouble),
        )

    def _semantic(self, told: Explanation, threshold: float | None) -> SemanticTold | None:
        meant = told.meant
        if meant is None:
            return None
        nearby, doubt = meant.nearby, meant.doubt
        least = told.controls.least_similarity
        shown = nearby and neighbours_told(nearby, self._rows, threshold, least, meant.served)
        return SemanticTold(
            asked=meant.asked,
            doubt=doubt,
            says="" if doubt is None else REASONS[doubt.value].says,
            threshold=None if nearby is None else nearby.threshold,
            served=None if meant.served is None else meant.served.digest.hex(),
            neighbours=shown or [],
        )


def _keyed(keyed: Keyed) -> KeyedTold:
    return KeyedTold(
        headers=[tellable(name) for name in keyed.headers],
        body=[tellable(name) for name in keyed.members],
        left_out_headers=[tellable(name) for name in keyed.left_out_headers],
        left_out_fields=[tellable(name) for name in keyed.left_out_members],
    )


def _terms(told: Explanation, terms: Terms) -> TermsTold:
    return TermsTold(
        enabled=terms.enabled,
        ttl_s=terms.ttl,
        max_ttl_s=terms.max_ttl,
        jitter=terms.jitter,
        stale_while_revalidate_s=terms.stale_while_revalidate,
        stale_if_error_s=terms.stale_if_error,
        max_temperature=terms.max_temperature,
        obey_upstream_cache_control=terms.obey_response,
        max_entry_bytes=terms.max_entry,
        negative_ttl_s=terms.negative_ttl,
        time_sensitive=terms.time_sensitive,
        about_now=told.about_now,
        refresh_ahead=terms.refresh_ahead,
        variants=terms.variants,
        semantic=terms.by_meaning,
        rules=[_rule(place, rule) for place, rule in told.rules],
    )


def _rule(place: int, rule: Rule) -> RuleTold:
    return RuleTold(index=place, path=rule.path, model=rule.model, dialect=rule.dialect)
