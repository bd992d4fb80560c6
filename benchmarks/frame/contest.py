"""Several measured in turn, round by round, and compared within each round.

What else the machine does changes from second to second. Those that follow each other have it in
common, so each is compared with the others of its own round, and the median of rounds is told. Who
begins changes from round to round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from benchmarks.frame.drive import Figures
from benchmarks.frame.report import AMONG_OTHERS

Runs = Mapping[str, Sequence[Figures]]  # by name, round by round


def contest(measures: Mapping[str, Callable[[], Figures]], rounds: int) -> Runs:
    """What each came to in each of the rounds."""
    runs: dict[str, list[Figures]] = {name: [] for name in measures}
    for count in range(rounds):
        for name in list(measures)[:: -1 if count % 2 else 1]:
            runs[name].append(measures[name]())
    return runs


def middle(runs: Runs, name: str, figure: str) -> float:
    """The median of the rounds."""
    return median(run[figure] for run in runs[name])


def ratio(runs: Runs, name: str, other: str, figure: str) -> float:
    """How many times that of the other: the median of what it is in each round."""
    pairs = zip(runs[name], runs[other], strict=True)
    return median(mine[figure] / theirs[figure] for mine, theirs in pairs)


def added(runs: Runs, name: str, other: str, figure: str) -> float:
    """How much more than the other: the median of what it is in each round."""
    pairs = zip(runs[name], runs[other], strict=True)
    return median(mine[figure] - theirs[figure] for mine, theirs in pairs)


def rate(runs: Runs) -> tuple[str, str]:
    """Which figure compares what servers can do on a core, and what it is called.

    Requests a second; or a second of processor time, where others had the core for long. On a core
    of one's own these are the same.
    """
    if worst(runs, "starved") < AMONG_OTHERS:
        return "per_second", "requests/s"
    return "per_cpu_second", "requests a second of processor time"


def worst(runs: Runs, figure: str) -> float:
    """The most of any run."""
    return max((run.get(figure, 0.0) for each in runs.values() for run in each), default=0.0)
