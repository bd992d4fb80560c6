"""Notes on an explanation: what comes besides, and what chance or others have a say in. Pure."""

from __future__ import annotations

from typing import Final

from proxy.model.decision import Hit
from proxy.model.message import Request
from proxy.policy import renews
from proxy.question import Question
from proxy.resources.foreseen import Foreseen

COMPLAINT: Final = (
    "It complains of the last answer: whom that keeps from being served by meaning is seen then."
)
SHADOWED: Final = "It may be asked again in secret, to learn whether it is right."
UNSTORED: Final = "It would not be stored: only what is asked for twice is."
DIVIDED: Final = "Each input is a question of its own."

_LONGEST_THROW: Final = 1.0 - 2.0**-53  # of the dice


def chances(variants: int) -> list[str]:
    """That one of so many answers is drawn, where there are several."""
    if variants == 1:
        return []
    return [f"Chance draws one of {variants} answers; this is about the first."]


def renewal(hit: Hit, question: Question, now: float) -> list[str]:
    """Whether a new answer would be fetched in the background, or might be.

    Args:
        now: seconds on the proxy's clock.
    """
    controls, terms = question.query.controls, question.terms
    if renews(hit, controls, terms, now, lambda: 0.0):
        return ["A new answer is fetched in the background."]
    if renews(hit, controls, terms, now, lambda: _LONGEST_THROW):
        return ["It is about to end: by chance, a new answer is fetched in the background."]
    return []


def shortened(question: Question) -> str:
    """How the prompt would be made shorter on its way; "" if it would not."""
    plan = question.shortening()
    if plan is None:
        return ""
    rules = ", ".join(sorted(rule.value for rule in plan.rules))
    limit = f"at most {plan.max_tokens} tokens" if plan.max_tokens else ""
    return "; ".join(filter(None, [rules, limit]))


def host(request: Request) -> list[str]:
    """That something is missing which all clients send, if it is."""
    if "host" in request.headers:
        return []
    return ["The Host that a client names may count here: give it among the headers."]


def of_resources(seen: Foreseen) -> list[str]:
    """What holds of all that is in no dialect, and whether the backend has a say."""
    notes = ["For how long a response is kept, its own headers say."]
    if seen.asks_about:
        notes.append("The backend is asked whether what is stored still holds (VALIDATED then).")
    return notes
