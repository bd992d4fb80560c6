"""Tallies of the semantic benchmark: shares of what was served, and of that what was wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil
from typing import NamedTuple

from proxy.semantic.budget.wilson import wilson

KINDS = ("canonical", "typo", "semantic")


class Row(NamedTuple):
    """What became of one question."""

    kind: str  # of the hit: "exact" or one of KINDS; "" for a miss
    right: bool | None  # of a hit
    doubt: str  # of a miss
    must: bool | None = None  # of a pair: whether it must be served
    labels: tuple[str, ...] = ()  # of a pair: its language and category


def share(part: int, whole: int) -> float | None:
    return round(part / whole, 5) if whole else None


def wrongness(wrong: int, hits: int) -> dict[str, object]:
    """Wrong answers per hit, with the bounds that hold the true share 95 times in 100."""
    low, high = wilson(wrong / hits if hits else 0.0, hits)
    return {
        "hits": hits,
        "wrong": wrong,
        "wrong_per_hit": share(wrong, hits),
        "low": round(low, 5),
        "high": round(high, 5),
    }


def served(rows: Sequence[Row]) -> dict[str, object]:
    """Hits of a stream: all in other words, and by kind. Exact ones are counted by themselves."""
    hits = [row for row in rows if row.kind in KINDS]
    exact = [row for row in rows if row.kind == "exact"]
    return {
        "queries": len(rows),
        "hit_ratio": share(len(hits), len(rows)),
        **_wrong(hits),
        "by_kind": {kind: _wrong([row for row in hits if row.kind == kind]) for kind in KINDS},
        "exact": _wrong(exact),
    }


def _wrong(hits: Sequence[Row]) -> dict[str, object]:
    return wrongness(sum(row.right is False for row in hits), len(hits))


def doubts(rows: Iterable[Row]) -> dict[str, int]:
    """Why there was no hit, the most frequent first."""
    counted = Counter(row.doubt or "none" for row in rows if not row.kind)
    return dict(counted.most_common())


def judged(rows: Sequence[Row]) -> dict[str, object]:
    """Pairs: of those that must be served and of those that must not be, how many were."""
    return {
        "must": _part([row for row in rows if row.must]),
        "must_not": _part([row for row in rows if row.must is False]),
    }


def _part(rows: Sequence[Row]) -> dict[str, object]:
    hits = [row for row in rows if row.kind]
    return {
        "pairs": len(rows),
        "served": len(hits),
        "share": share(len(hits), len(rows)),
        "by_kind": dict(Counter(row.kind for row in hits)),
        "doubts": doubts(rows),
    }


def by_label(rows: Sequence[Row], *places: int) -> dict[str, object]:
    """``judged``, for each value of the labels at ``places``, joined by a space."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        name = " ".join(row.labels[place] or "-" for place in places)
        groups.setdefault(name, []).append(row)
    return {name: judged(groups[name]) for name in sorted(groups)}


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest of ``values`` that at least ``part`` of them do not exceed; 0 if none."""
    ranked = sorted(values)
    return ranked[max(0, ceil(part * len(ranked)) - 1)] if ranked else 0.0


def times(seconds: Sequence[float]) -> dict[str, float | int]:
    """Milliseconds."""
    return {
        "n": len(seconds),
        "p50_ms": round(percentile(seconds, 0.5) * 1e3, 4),
        "p99_ms": round(percentile(seconds, 0.99) * 1e3, 4),
    }
