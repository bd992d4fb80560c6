"""Whether answers to questions in other words are right, and whether they come at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from proxy import figures
from proxy.reporting.findings.finding import ENOUGH, Finding, Rule, Weight, part
from proxy.reporting.told import Stratum, Told

_BUDGET: Final = 0.02  # semantic.error_budget by default
_MANY_LATE: Final = 0.05
_FEW_LABELS: Final = 50


def _budget(told: Told) -> float:
    return told.config.number("semantic.error_budget") or _BUDGET


def _named(stratum: Stratum) -> str:
    return " ".join(filter(None, (stratum.family, f"({stratum.script})" if stratum.script else "")))


def budget_is_spent(told: Told) -> Iterable[Finding]:
    """Hits that are more often wrong than allowed, or nearly."""
    budget = _budget(told)
    for stratum in told.semantic.strata if told.semantic else ():
        bounds = (
            f"{figures.share(stratum.error)} of the hits of {_named(stratum)} are wrong, by "
            f"{figures.count(stratum.labels)} labels ({figures.share(stratum.low)} to "
            f"{figures.share(stratum.high)}); {figures.share(budget)} are allowed."
        )
        if stratum.open:
            yield Finding(
                Weight.ACT,
                f"Answers in other words are suspended for {_named(stratum)}",
                bounds,
                "Too many were wrong. It opens again by itself as the measurements allow; "
                "`sidecache calibrate` finds a threshold for your own questions.",
                ("semantic.threshold", "semantic.vetoes.words", "semantic.embedder.model"),
                reach=1.0,
            )
        elif stratum.labels >= _FEW_LABELS and stratum.error > budget:
            yield Finding(
                Weight.ACT,
                f"More hits by meaning are wrong than allowed for {_named(stratum)}",
                bounds,
                "The threshold rises by itself; begin with a higher one, and veto the words whose "
                "difference counts in your questions.",
                ("semantic.threshold", "semantic.least_threshold", "semantic.vetoes.words"),
                reach=1.0,
            )
        elif stratum.labels >= _FEW_LABELS and stratum.high > budget:
            yield Finding(
                Weight.NOTE,
                f"It is not sure yet that hits by meaning keep to the budget for {_named(stratum)}",
                bounds,
                "More labels make it sure: from callers (X-Cache-Feedback), from /feedback, or by "
                "asking the backend again now and then.",
                ("semantic.shadow.per_minute",),
                reach=0.1,
            )


def vectors_are_missing(told: Told) -> Iterable[Finding]:
    """No vector, no answer in other words."""
    if told.semantic is None or told.semantic.embedder is None:
        return
    embedder, asked = told.semantic.embedder, sum(told.semantic.outcomes.values())
    if not told.semantic.ready:
        yield Finding(
            Weight.ACT,
            "The embedder is not ready",
            f"{embedder.name}: {embedder.standing}.",
            "Questions in other words go to the backend meanwhile. See the log.",
            ("semantic.embedder.kind", "semantic.embedder.model"),
            reach=1.0,
        )
    elif asked >= ENOUGH and part(embedder.late + embedder.failed, asked) >= _MANY_LATE:
        share = part(embedder.late + embedder.failed, asked)
        yield Finding(
            Weight.CHANGE,
            "Vectors often come too late, or not at all",
            f"{figures.count(embedder.late)} came late, {figures.count(embedder.failed)} not at "
            f"all, of {figures.count(asked)} questions.",
            "Wait longer for them, or use a faster model.",
            ("semantic.embedder.timeout_s", "semantic.embedder.kind"),
            reach=min(share, 1.0),
        )


RULES: Final[tuple[Rule, ...]] = (budget_is_spent, vectors_are_missing)
