"""How many hits by meaning would be wrong at a threshold, by what was found out while serving.

What it found out of misses that were near and of hits that were asked again in secret is a sample,
in which each label stands for as many hits as its weight says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from proxy.observe.trace import Labelled
from proxy.semantic.budget.wilson import wilson

_CERTAIN: Final = frozenset({"canonical", "typo"})  # what no threshold has a say in


class Wrong(NamedTuple):
    """A share of wrong answers among hits, from 0 to 1, and how much is known of it."""

    share: float
    high: float  # at most, 95 times in 100
    labels: int


def wrong_at(labels: Iterable[Labelled], threshold: float | None) -> Wrong | None:
    """The share at ``threshold``; None if no label says anything of it.

    Args:
        threshold: None: of what was served while it was recorded.
    """
    counted = [
        label for label in labels if label.model not in _CERTAIN and _counts(label, threshold)
    ]
    return _share(counted) if counted else None


def _counts(label: Labelled, threshold: float | None) -> bool:
    return label.served if threshold is None else label.score >= threshold


def _share(labels: Sequence[Labelled]) -> Wrong:
    weight = sum(label.weight for label in labels)
    squares = sum(label.weight**2 for label in labels)
    share = sum(label.weight for label in labels if label.wrong) / weight
    return Wrong(share, wilson(share, weight * weight / squares).high, len(labels))
