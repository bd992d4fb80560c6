"""``GET /reasons``: every reason there is, in sentences."""

from __future__ import annotations

from proxy.admin.endpoint import Call, Endpoint, Nothing, Shown, Told, plain
from proxy.model.reasons import REASONS, Kind


class ReasonTold(Shown):
    """One reason."""

    reason: str
    kind: Kind
    says: str
    advice: str


class ReasonsTold(Shown):
    """All of them."""

    reasons: list[ReasonTold]


def reasons() -> Endpoint:
    """The endpoint."""
    told = ReasonsTold(
        reasons=[ReasonTold(reason=word, **each._asdict()) for word, each in REASONS.items()]
    )

    async def answer(_asked: Call[Nothing, Nothing]) -> Told:
        return Told(told)

    return plain("/reasons", answer, "What each reason means", {200: ReasonsTold})
