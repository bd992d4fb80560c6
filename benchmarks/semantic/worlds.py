"""All made-up worlds of the error budget, each with several seeds, and what that says in all."""

from __future__ import annotations

from benchmarks.semantic.replays import WORLDS, replay
from benchmarks.semantic.tally import share

DELTAS = (0.01, 0.02, 0.05)


def all_worlds(seeds: int) -> dict[str, object]:
    """Every world with every seed: whether the budget was kept, and the reported error was true."""
    told: dict[str, object] = {"mode": "replay", "seeds": seeds}
    inside = runs = 0
    for delta in DELTAS:
        worlds = {}
        for world in WORLDS:
            found = [replay(world, seed, delta) for seed in range(seeds)]
            honest = sum(each["inside"] is True for each in found)
            inside, runs = inside + honest, runs + len(found)
            worlds[world] = {
                "honest": share(honest, len(found)),
                "hit_ratio": _column(found, "hit_ratio"),
                "wrong_per_hit": _column(found, "wrong_per_hit"),
                "settled_wrong_per_hit": _column(found, "settled_wrong_per_hit"),
                "opened_after_labels": _column(found, "opened_after_labels"),
                "looked_at": _column(found, "looked_at"),
                "largest_step": _column(found, "largest_step"),
                "lowest_threshold": _column(found, "lowest"),
            }
        told[f"budget {delta}"] = worlds
    return told | {"replays": runs, "honest": share(inside, runs)}


def _column(found: list[dict[str, object]], name: str) -> dict[str, float | int | None]:
    """Least, mean and most of a figure; how many replays had it."""
    values = [value for each in found if isinstance(value := each[name], int | float)]
    if not values:
        return {"n": 0, "least": None, "mean": None, "most": None}
    return {
        "n": len(values),
        "least": min(values),
        "mean": round(sum(values) / len(values), 5),
        "most": max(values),
    }
