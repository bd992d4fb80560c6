"""A load on a server, and what came of it: so many clients, each asking once it has its answer.

Questions are drawn as people ask: few of them often, many seldom (Zipf's law). Which they are, the
seed says, so that a run can be repeated. In such a closed loop a slow server is asked less: the
times are those that so many clients would see, not those of a crowd that keeps coming.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import NamedTuple, Protocol

from proxy.calling import Heard, Question, Unheard
from proxy.model.outcome import SERVED

_HITS = frozenset({"hit", "stale"})


class Asks(Protocol):
    """Brings what comes of a question, or raises Unheard."""

    def ask(self, question: Question) -> Awaitable[Heard]: ...


class Times(NamedTuple):
    """How long answers of one sort took, in seconds."""

    answers: int
    mean_s: float
    p50_s: float
    p90_s: float
    p99_s: float
    max_s: float


@dataclass(slots=True)
class Run:
    """What came of a load."""

    seconds: float = 0.0
    taken: dict[str, list[float]] = field(default_factory=dict)  # seconds, by verdict
    own: list[float] = field(default_factory=list)  # seconds that hits took in the proxy itself
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        """How many have their answer."""
        return sum(map(len, self.taken.values()))

    @property
    def per_second(self) -> float:
        """Answers a second, all clients together."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def hit_ratio(self) -> float | None:
        """The share of answers that the backend was not asked for; None: there were none."""
        spared = sum(len(self.taken.get(each, ())) for each in SERVED)
        return spared / self.answered if self.answered else None

    def times(self, *verdicts: str) -> Times | None:
        """Of answers with these verdicts, or of all; None if there were none."""
        seconds = sorted(
            each
            for of, some in self.taken.items()
            if not verdicts or of in verdicts
            for each in some
        )
        if not seconds:
            return None

        def at(share: float) -> float:
            return seconds[min(len(seconds) - 1, int(share * len(seconds)))]

        mean_s = sum(seconds) / len(seconds)
        return Times(len(seconds), mean_s, at(0.5), at(0.9), at(0.99), seconds[-1])


def times_of(seconds: Sequence[float]) -> Times | None:
    """What there is to tell of many times; None of none."""
    if not seconds:
        return None
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    mean_s = sum(ordered) / len(ordered)
    return Times(len(ordered), mean_s, at(0.5), at(0.9), at(0.99), ordered[-1])


def draws(distinct: int, skew: float, seed: int) -> Iterator[int]:
    """Numbers below ``distinct``, without end: 0 most often, the k-th as its rank to ``-skew``."""
    dice = Random(seed)  # noqa: S311 - a load, no secret
    heights = list(accumulate((rank + 1) ** -skew for rank in range(distinct)))
    while True:
        yield bisect_left(heights, dice.random() * heights[-1])


async def load(
    front: Asks, questions: Sequence[Question], *, clients: int, clock: Callable[[], float]
) -> Run:
    """Ask all of ``questions``, by so many clients at a time."""
    run = Run()
    rest = iter(questions)

    async def ask() -> None:
        for question in rest:  # one iterator for all
            try:
                heard = await front.ask(question)
            except Unheard as error:
                run.errors[str(error)] += 1
                continue
            if heard.ok:
                run.taken.setdefault(heard.verdict, []).append(heard.seconds)
                if heard.verdict in _HITS and heard.own_s is not None:
                    run.own.append(heard.own_s)
            else:
                run.errors[f"status {heard.status}"] += 1

    began = clock()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(ask())
    run.seconds = clock() - began
    return run
