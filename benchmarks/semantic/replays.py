"""Replays: the error budget in worlds of which the truth is known.

Each is a stream of questions whose nearest neighbour has a made-up cosine and is wrong with a
chance that depends on it. The product's own ``Budget`` and ``Shadowing`` decide what is served and
what is looked at. It tells how many hits were wrong, and whether the error that was reported in the
end is the true one. All seeds are fixed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp
from random import Random
from typing import NamedTuple

from proxy.model.meaning import Script
from proxy.semantic.budget.controller import Budget
from proxy.semantic.budget.course import Turn
from proxy.semantic.budget.labels import Label, Source, Stratum
from proxy.semantic.budget.shadow import Shadowing

STRATUM = Stratum("made-up", Script.LATIN, "replay")
SETTLED = 500  # labels after the start, or after the change, from which on the budget must be kept
EXACT = 0.3  # of all questions are exact hits
RATE = 2.0  # questions a second


class Errors(NamedTuple):
    """The chance that a neighbour is wrong: from ``far`` down to ``near`` around ``middle``."""

    middle: float  # cosine
    width: float = 0.02
    near: float = 0.004
    far: float = 0.95

    def at(self, score: float) -> float:
        share = 1 / (1 + exp(min(50.0, (score - self.middle) / self.width)))
        return self.near + (self.far - self.near) * share


@dataclass(frozen=True)
class World:
    """A stream of questions."""

    before: Errors
    after: Errors  # from half-way on
    questions: int = 8_000
    noise: float = 0.0  # right answers that the comparator calls different
    unknown: float = 0.1  # answers that it cannot tell
    burst: int = 0  # crafted questions, half-way on: near as can be, and wrong
    often: bool = False  # so many of every 2,000 questions


STEADY = Errors(0.80)
WORLDS = {
    "steady": World(STEADY, STEADY),
    "steady-bad-start": World(Errors(0.90), Errors(0.90)),
    "steady-marginal": World(Errors(0.84), Errors(0.84)),
    "hopeless": World(Errors(0.80, near=0.15), Errors(0.80, near=0.15)),
    "drift": World(STEADY, Errors(0.90)),
    "creep": World(STEADY, Errors(0.86)),
    "flip": World(STEADY, Errors(0.80, near=0.95, far=0.05)),
    "noisy": World(STEADY, STEADY, noise=0.05),
    "noisy-flip": World(STEADY, Errors(0.80, near=0.95, far=0.05), noise=0.05),
    "sparse": World(STEADY, STEADY, questions=400),
    "burst": World(STEADY, STEADY, burst=100),
    "bursts": World(STEADY, STEADY, burst=60, often=True),
}


def replay(
    world: str,
    seed: int = 0,
    delta: float = 0.02,
    near: float | None = None,
    questions: int | None = None,
) -> dict[str, object]:
    """What came of one world: JSON-able, the same for the same arguments.

    Args:
        world: its name in ``WORLDS``.
        seed: of the dice.
        delta: the budget.
        near: the chance that the nearest neighbours are wrong, in place of the world's own.
        questions: how many, in place of the world's own.
    """
    chosen = WORLDS[world]
    if near is not None:
        chosen = replace(
            chosen,
            before=chosen.before._replace(near=near),
            after=chosen.after._replace(near=near),
        )
    if questions is not None:
        chosen = replace(chosen, questions=questions)
    return _Replay(chosen, seed, delta).run() | {"world": world, "seed": seed, "delta": delta}


class _Replay:
    def __init__(self, world: World, seed: int, delta: float) -> None:
        self.world = world
        self.dice = Random(seed)
        self.budget = Budget(delta)
        self.shadowing = Shadowing(per_minute=30)
        self.now = 0.0
        self.labels = 0
        self.changed_at: int | None = None  # labels, when the world changed
        self.hits = self.late_hits = 0
        self.wrong = self.late_wrong = 0.0
        self.looked = 0
        self.hit_labels = 0
        self.opened_after_hits: int | None = None  # labels of hits after the change
        self.opened_after: int | None = None  # labels after the change
        self.opened = self.closed = self.doubted = 0
        self.largest_step = 0.0
        self.thresholds: list[float] = []

    def run(self) -> dict[str, object]:
        errors = self.world.before
        half = self.world.questions // 2
        for turn in range(self.world.questions):
            self.now += 1 / RATE
            if turn == half and (self.world.after != self.world.before or self.world.burst):
                errors, self.changed_at = self.world.after, self.labels
                self.hit_labels = 0
                self.late_hits, self.late_wrong = 0, 0.0
            since = turn % 2000 if self.world.often else turn - half
            crafted = 0 <= since < self.world.burst and turn >= half // 2
            if not crafted and self.dice.random() < EXACT:
                self._exact()
            elif crafted:
                self._ask(self.dice.uniform(0.95, 0.99), 1.0)
            else:
                score = _score(self.dice)
                self._ask(score, errors.at(score))
        return self._told(errors)

    def _exact(self) -> None:
        if self.shadowing.draw_exact(self.dice.random(), self.now):
            self.looked += 1
            if self.dice.random() >= self.world.unknown:
                self.budget.noise(different=self.dice.random() < self.world.noise)

    def _ask(self, score: float, chance: float) -> None:
        threshold = self.budget.threshold(STRATUM)
        wrong = self.dice.random() < chance
        if threshold is None or score < threshold:
            self._learn(score, 1.0, Source.MISS, wrong=wrong)
            return
        self.hits += 1
        self.wrong += chance
        if self.labels - (self.changed_at or 0) >= SETTLED:
            self.late_hits += 1
            self.late_wrong += chance
        weight = self.shadowing.draw(STRATUM, self.dice.random(), self.now)
        if weight is not None:
            self.looked += 1
            self._learn(score, weight, Source.SHADOW, wrong=wrong)

    def _learn(self, score: float, weight: float, source: Source, *, wrong: bool) -> None:
        if score < self.budget.least or self.dice.random() < self.world.unknown:
            return
        judged = wrong or self.dice.random() < self.world.noise
        self.labels += 1
        self.hit_labels += source is Source.SHADOW
        before = self.budget.threshold(STRATUM)
        label = Label(score, judged, weight, source, source is Source.SHADOW)
        change = self.budget.learn(STRATUM, label, self.now)
        after = self.budget.threshold(STRATUM)
        if after is not None:
            self.thresholds.append(after)
            if before is not None:
                self.largest_step = max(self.largest_step, abs(after - before))
        if change is None:
            return
        if change.turn in {Turn.RAISED, Turn.CLOSED, Turn.DOUBTED}:
            self.shadowing.again(STRATUM)
        self.doubted += change.turn is Turn.DOUBTED
        self.closed += change.turn is Turn.CLOSED
        if change.turn is Turn.OPENED:
            self.opened += 1
            if self.changed_at is not None and self.opened_after is None:
                self.opened_after = self.labels - self.changed_at
                self.opened_after_hits = self.hit_labels

    def _told(self, errors: Errors) -> dict[str, object]:
        estimate = self.budget.estimate(STRATUM)
        true = _true(errors, estimate.threshold)
        return {
            "hits": self.hits,
            "hit_ratio": round(self.hits / self.world.questions, 4),
            "wrong_per_hit": _ratio(self.wrong, self.hits),
            "settled_hits": self.late_hits,
            "settled_wrong": round(self.late_wrong, 3),
            "settled_wrong_per_hit": _ratio(self.late_wrong, self.late_hits),
            "labels": self.labels,
            "looked_at": _ratio(self.looked, self.world.questions),
            "opened": self.opened,
            "closed": self.closed,
            "doubted": self.doubted,
            "opened_after_labels": self.opened_after,
            "opened_after_labels_of_hits": self.opened_after_hits,
            "threshold": None if estimate.open else estimate.threshold,
            "lowest": min(self.thresholds, default=None),
            "largest_step": round(self.largest_step, 6),
            "true_error": round(true, 6),
            "error": round(estimate.error, 6),
            "low": round(estimate.low, 6),
            "high": round(estimate.high, 6),
            "effective": round(estimate.effective, 1),
            "inside": estimate.low <= true <= estimate.high,
        }


def _score(dice: Random) -> float:
    """A nearest neighbour's cosine: 0.5 to 1, one in four at 0.90 or above."""
    return 0.5 + 0.5 * dice.betavariate(2.6, 1.7)


def _true(errors: Errors, threshold: float) -> float:
    """Wrong answers per hit, were all neighbours from ``threshold`` on served."""
    weights = errors_sum = 0.0
    for step in range(500):
        share = (step + 0.5) / 500
        score = 0.5 + 0.5 * share
        if score >= threshold:
            weight = share**1.6 * (1 - share) ** 0.7
            weights += weight
            errors_sum += weight * errors.at(score)
    return errors_sum / weights


def _ratio(part: float, whole: int) -> float:
    return round(part / whole, 5) if whole else 0.0


def main(argv: list[str]) -> int:
    """Print every world's replay, a line of JSON each."""
    parser = argparse.ArgumentParser(prog="replays")
    parser.add_argument("world", nargs="*", default=list(WORLDS))
    parser.add_argument("--delta", type=float, default=0.02)
    parser.add_argument("--seeds", type=int, default=1)
    chosen = parser.parse_args(argv)
    told: Callable[[str], None] = print
    for world in chosen.world:
        for seed in range(chosen.seeds):
            told(json.dumps(replay(world, seed, chosen.delta)))
    return 0
