"""What clients feel of a Redis in trouble, beside the same load with a Redis that is well.

A proxy is under a steady load, half of it questions that are new, before a backend that answers at
once; a second proxy shares its Redis. Redis hangs (SIGSTOP) for some seconds and goes on: how much
longer do answers take, is everybody answered, and how soon is what one proxy stores found by the
other again? Then it is away for half of each second, hanging or killed: what is logged, and what
does that cost? The proxy under load has the first core, everything else the last. There is no disk
tier, so that every miss waits for Redis. Hits in memory do not: what a hang seems to add to them is
what else the machine was doing.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import median

from benchmarks.steady import RIGHT, Sample
from benchmarks.trouble import Scene, scene

FIRST_SECOND_AT_MOST_MS = 100  # p99 that a miss takes longer
AFTER_AT_MOST_MS = 5  # the same, once Redis is left alone
SHARED_AGAIN_WITHIN_S = 5
FLAPS_COST_AT_MOST = 0.1  # of the processor time that the load takes otherwise
CALM_S = 2.0  # before Redis hangs
AFTER_S = 6.0  # that the load goes on afterwards
STARVED_AT_MOST = 0.05  # of the time; where others have the core, latencies are theirs


@dataclass
class Added:
    """What requests took with a Redis that is well, and in the same seconds with one that hangs.

    Medians over all rounds, but for ``most_ms``.
    """

    requests: int  # while it hung
    calm_p50_ms: float
    calm_p99_ms: float
    p50_ms: float
    p99_ms: float
    most_ms: float
    added_p50_ms: float
    added_p99_ms: float


@dataclass
class Hangs:
    """What came of all hangs together."""

    rows: dict[str, Added]
    answers: int
    wrong: dict[str, int]  # what came in place of 200 and the backend's bytes
    shared_again_s: list[float]  # after each
    told: list[list[str]]  # in the log, by each
    starved: float  # the largest share of a load's time that the proxy wanted a core in vain


@dataclass
class Flaps:
    """What came of a Redis that was away and back once a second."""

    changes: int  # of Redis
    told: list[str]
    answers: int
    wrong: dict[str, int]
    calm_p99_ms: float  # of misses
    p99_ms: float
    calm_cpu: float  # shares of a core
    cpu: float
    starved: float  # as in Hangs

    @property
    def each_line_is_a_change(self) -> bool:
        """Whether no line tells the same as the one before, and there are no more than changes."""
        changed = all(one != other for one, other in pairwise(["on", *self.told]))
        return changed and len(self.told) <= self.changes


@dataclass
class _Hung:
    """One load, through which Redis hung or not."""

    samples: list[Sample] = field(default_factory=list)
    again_s: float = 0.0
    told: list[str] = field(default_factory=list)
    starved: float = 0.0


def hangs(made: Scene, rounds: int, seconds: float) -> Hangs:
    """Loads without and with a hang in turn, and what they say together."""
    pairs = [
        (_hang(made, seconds, really=False), _hang(made, seconds, really=True))
        for _ in range(rounds)
    ]
    begin, end = CALM_S, CALM_S + seconds
    rows = {}
    for name, when, once in (
        ("miss, first second of the hang", (begin, begin + 1), True),
        ("miss, after that", (begin + 1, end), True),
        ("miss, once Redis goes on", (end, end + AFTER_S), True),
        ("hit, first second of the hang", (begin, begin + 1), False),
        ("hit, after that", (begin + 1, end), False),
    ):
        took = [[_during(each.samples, *when, once=once) for each in pair] for pair in pairs]
        rows[name] = _added(took)
    ill = [hung for _, hung in pairs]
    samples = [sample for hung in ill for sample in hung.samples]
    again = [hung.again_s for hung in ill]
    return Hangs(
        rows=rows,
        answers=len(samples),
        wrong=_wrong(samples),
        shared_again_s=again,
        told=[hung.told for hung in ill],
        starved=max(hung.starved for pair in pairs for hung in pair),
    )


def _hang(made: Scene, seconds: float, *, really: bool) -> _Hung:
    hung = _Hung()
    with made.load(CALM_S + seconds + AFTER_S) as load:
        load.until(CALM_S)
        if really:
            made.redis.hang()
        load.until(CALM_S + seconds, made.shares)  # which lets the other proxy notice, too
        if really:
            made.redis.go_on()
        hung.again_s = made.until_it_shares()
    hung.samples, hung.told, hung.starved = load.samples, made.told(), load.starved
    return hung


def _during(samples: Sequence[Sample], begin: float, end: float, *, once: bool) -> list[float]:
    """Milliseconds, in order, that requests took which were under way between these moments."""
    return sorted(
        each.seconds * 1e3
        for each in samples
        if each.once == once and each.due < end and each.due + each.seconds > begin
    )


def _added(rounds: Sequence[Sequence[Sequence[float]]]) -> Added:
    """Of the times with and without a hang in each round, in order; medians over the rounds."""
    p50s = [[each[len(each) // 2] for each in pair] for pair in rounds]
    p99s = [[_p99(each) for each in pair] for pair in rounds]
    return Added(
        requests=sum(len(ill) for _, ill in rounds),
        calm_p50_ms=median(calm for calm, _ in p50s),
        calm_p99_ms=median(calm for calm, _ in p99s),
        p50_ms=median(ill for _, ill in p50s),
        p99_ms=median(ill for _, ill in p99s),
        most_ms=max(ill[-1] for _, ill in rounds),
        added_p50_ms=median(ill - calm for calm, ill in p50s),
        added_p99_ms=median(ill - calm for calm, ill in p99s),
    )


def _p99(ordered: Sequence[float]) -> float:
    return ordered[len(ordered) * 99 // 100]


def _wrong(samples: Sequence[Sample]) -> dict[str, int]:
    return dict(Counter(each.answer for each in samples if each.answer not in RIGHT))


def flaps(made: Scene, seconds: int, by: str) -> Flaps:
    """Redis away for half of each second, ``by`` "hang" or "kill", beside the same without that."""
    redis = made.redis
    away, back = (redis.hang, redis.go_on) if by == "hang" else (redis.kill, redis.start)
    with made.load(seconds) as calm:
        pass
    made.told()
    with made.load(seconds) as load:
        for second in range(seconds):
            load.until(second + 0.25)
            away()
            load.until(second + 0.75)
            back()
    redis.until_up()
    made.until_it_shares()
    calm_p99, p99 = (_p99(_during(each.samples, 0.0, seconds, once=True)) for each in (calm, load))
    return Flaps(
        changes=2 * seconds,
        told=made.told(),
        answers=len(load.samples),
        wrong=_wrong(load.samples),
        calm_p99_ms=calm_p99,
        p99_ms=p99,
        calm_cpu=calm.cpu,
        cpu=load.cpu,
        starved=max(calm.starved, load.starved),
    )


def tell(hung: Hangs, flapped: dict[str, Flaps]) -> None:
    """Print it all for people."""
    print(
        f"{'milliseconds':34}{'requests':>9}{'calm p50':>10}{'p99':>8}{'ill p50':>10}{'p99':>8}"
        f"{'most':>8}{'added p50':>11}{'p99':>8}"
    )
    for name, row in hung.rows.items():
        print(
            f"{name:34}{row.requests:9,}{row.calm_p50_ms:10.2f}{row.calm_p99_ms:8.2f}"
            f"{row.p50_ms:10.2f}{row.p99_ms:8.2f}{row.most_ms:8.2f}{row.added_p50_ms:11.2f}"
            f"{row.added_p99_ms:8.2f}"
        )
    first, after, *_ = hung.rows.values()
    again = ", ".join(f"{seconds:.2f}" for seconds in hung.shared_again_s)
    lines = ", ".join("-".join(told) or "none" for told in hung.told)
    print(
        f"a hang adds {first.added_p99_ms:.1f} ms p99 to misses in its first second (at most"
        f" {FIRST_SECOND_AT_MOST_MS}), {after.added_p99_ms:.1f} ms after that (at most"
        f" {AFTER_AT_MOST_MS})"
    )
    print(f"answered as the backend did: {_share(hung)} (all)")
    print(f"shared again after {again} s (at most {SHARED_AGAIN_WITHIN_S})")
    print(f"lines told by each hang: {lines} (off-on); {_quiet(hung)}")
    for by, each in flapped.items():
        lines = "each a change" if each.each_line_is_a_change else f"NOT EACH A CHANGE: {each.told}"
        print(
            f"flaps by {by}: {each.changes} changes of Redis, {len(each.told)} lines, {lines};"
            f" answered: {_share(each)};"
            f" misses {each.p99_ms:.1f} ms p99 beside {each.calm_p99_ms:.1f};"
            f" {each.cpu:.1%} of a core beside {each.calm_cpu:.1%},"
            f" {each.cpu / each.calm_cpu - 1:+.0%} (at most {FLAPS_COST_AT_MOST:+.0%});"
            f" {_quiet(each)}"
        )


def _share(figures: Hangs | Flaps) -> str:
    right = 1 - sum(figures.wrong.values()) / figures.answers
    return f"{right:.2%} of {figures.answers:,}" + (f" {figures.wrong}" if figures.wrong else "")


def _quiet(figures: Hangs | Flaps) -> str:
    noisy = "" if figures.starved <= STARVED_AT_MOST else ": TOO BUSY A MACHINE TO TELL"
    return f"without a core {figures.starved:.1%} of the time{noisy}"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of a long hang")
    parser.add_argument("--seconds", type=float, default=10.0, help="that each lasts")
    parser.add_argument("--flaps", type=int, default=20, help="of each kind")
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second")
    parser.add_argument("--json", action="store_true", help="all figures too, in the last line")
    args = parser.parse_args(argv)
    if shutil.which("redis-server") is None:
        print("needs redis-server")
        return 0
    with scene(args.rate) as made:
        hung = hangs(made, args.rounds, args.seconds)
        flapped = {by: flaps(made, args.flaps, by) for by in ("hang", "kill")}
    tell(hung, flapped)
    if args.json:
        told = {by: asdict(each) for by, each in flapped.items()}
        print(json.dumps({"hangs": asdict(hung), "flaps": told}))
    return 0
