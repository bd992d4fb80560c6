"""The tally: what became of requests, how long they took, and what was saved and spent by it.

It is counted in batches, as requests are gathered, so the way of a request pays for none of it.
Everything is a number by names from bounded sets; of the names that clients choose, those of
models, only so many are kept, and only those that a backend has answered to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from proxy.histogram import Histogram
from proxy.model.outcome import STAGES, Outcome, Verdict
from proxy.model.query import Usage
from proxy.observe.gather import Line
from proxy.observe.log import printable
from proxy.prices import Prices

OTHER: Final = "other"
"""Stands for all models beyond the bound, and for those that nobody has answered to."""

_LONGEST: Final = 100  # characters of a model's name
_BUSY: Final = 32  # lines in a batch, from which on only some hits are looked at stage by stage
_SAMPLED: Final = 8  # one in so many
_FAILED: Final = 400  # statuses from here on
_SAVING: Final = frozenset({Verdict.HIT, Verdict.STALE, Verdict.COALESCED})
_SPENDING: Final = frozenset({Verdict.MISS, Verdict.BYPASS, Verdict.DEGRADED})


class Group(NamedTuple):
    """Requests of which these things are alike; "" is none."""

    outcome: str
    reason: str
    dialect: str
    tier: str


@dataclass(slots=True, eq=False)
class Row:
    """What a group comes to."""

    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def include(self, other: Row) -> None:
        """Add all of ``other``."""
        self.requests += other.requests
        self.bytes += other.bytes
        self.seconds += other.seconds


@dataclass(slots=True, eq=False)
class Spending:
    """Calls of a backend, and what is known of what they cost. Money in the prices' currency."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money: float = 0.0
    seconds: float = 0.0

    def include(self, other: Spending) -> None:
        """Add all of ``other``."""
        self.calls += other.calls
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.money += other.money
        self.seconds += other.seconds

    def add(self, calls: int, usage: Usage | None, money: float, seconds: float) -> None:
        """Count what came of ``calls``."""
        self.calls += calls
        self.money += money
        self.seconds += seconds
        if usage is not None:
            self.input_tokens += usage.prompt_tokens
            self.output_tokens += usage.completion_tokens


@dataclass(slots=True, eq=False)
class ModelRow:
    """What requests for one model come to."""

    requests: int = 0
    hits: int = 0
    saved: Spending = field(default_factory=Spending)
    spent: Spending = field(default_factory=Spending)

    def include(self, other: ModelRow) -> None:
        """Add all of ``other``."""
        self.requests += other.requests
        self.hits += other.hits
        self.saved.include(other.saved)
        self.spent.include(other.spent)


@dataclass(frozen=True, slots=True)
class Counted:
    """All that a tally has counted, as it can be sent elsewhere."""

    rows: Sequence[tuple[Group, Row]] = ()
    latency: Mapping[str, Histogram] = field(default_factory=dict)
    stages: Sequence[tuple[tuple[str, str], Histogram]] = ()
    models: Mapping[str, ModelRow] = field(default_factory=dict)
    saved: Spending = field(default_factory=Spending)
    spent: Spending = field(default_factory=Spending)
    unpriced: Sequence[str] = ()


class Tally:
    """Counts requests that are over. A ``Reader``; its numbers only grow.

    Args:
        prices: what tokens cost.
        most_models: names of models that are kept apart.
    """

    def __init__(self, prices: Prices, *, most_models: int = 50) -> None:
        self.rows: dict[Group, Row] = {}
        self.latency: dict[str, Histogram] = {}  # by outcome, seconds
        self.stages: dict[tuple[str, str], Histogram] = {}  # by stage and outcome, seconds
        self.models: dict[str, ModelRow] = {}
        self.saved, self.spent = Spending(), Spending()
        self.unpriced: set[str] = set()  # models with tokens to count and no price
        self.adopt(prices, most_models)

    def adopt(self, prices: Prices, most_models: int) -> None:
        """Go on by other prices, and keep so many names of models."""
        self.prices = prices
        self._most_models = most_models

    def take(self, lines: Sequence[Line]) -> None:
        """Count ``lines``."""
        groups: dict[tuple[str, str, str, str], list[Line]] = {}
        for line in lines:
            outcome = line[4]
            # Not the members of the enumerations: to hash one takes longer than all the rest.
            group = (
                outcome.verdict._value_, outcome.why._value_, outcome.dialect, outcome.tier,
            )  # fmt: skip
            if (alike := groups.get(group)) is None:
                groups[group] = [line]
            else:
                alike.append(line)
        for alike in groups.values():
            self._count(alike, busy=len(lines) >= _BUSY)

    def counted(self) -> Counted:
        """All of it, now; to be used at once, as it goes on growing."""
        return Counted(
            list(self.rows.items()), self.latency, list(self.stages.items()), self.models,
            self.saved, self.spent, sorted(self.unpriced),
        )  # fmt: skip

    def become(self, parts: Iterable[Counted]) -> None:
        """Forget what was counted; have counted the sum of ``parts``.

        Names of models stay those that were kept apart before, as far as there is room for more.
        """
        self.rows, self.latency, self.stages = {}, {}, {}
        self.models = {name: ModelRow() for name in self.models}
        self.saved, self.spent, self.unpriced = Spending(), Spending(), set()
        for part in parts:
            for group, row in part.rows:
                self.rows.setdefault(group, Row()).include(row)
            for name, each in part.latency.items():
                self.latency.setdefault(name, Histogram(each.bounds)).include(each)
            for place, each in part.stages:
                self.stages.setdefault(place, Histogram(each.bounds)).include(each)
            for model, of_model in part.models.items():
                self._kept_apart(model).include(of_model)
            self.saved.include(part.saved)
            self.spent.include(part.spent)
            self.unpriced.update(part.unpriced)

    def _kept_apart(self, model: str) -> ModelRow:
        named = len(self.models) - (OTHER in self.models)
        if model not in self.models and named >= self._most_models:
            model = OTHER
        return self.models.setdefault(model, ModelRow())

    def _count(self, alike: Sequence[Line], *, busy: bool) -> None:
        """Count lines of one group."""
        outcome = alike[0][4]
        name = outcome.verdict.value.lower()
        group = Group(name, outcome.why.value, outcome.dialect, outcome.tier)
        if (row := self.rows.get(group)) is None:
            row = self.rows[group] = Row()
        # Where no head could be made sense of, nobody knows when the request began.
        took = [seconds for line in alike if (seconds := line[5].duration_s)]
        row.requests += len(alike)
        row.bytes += sum([line[5].sent for line in alike])
        several = [line for line in alike if line[6]]
        further = sum([len(line[6]) for line in several])
        for line in several:
            took += filter(None, line[6])
            row.bytes += line[5].sent * len(line[6])
        row.requests += further
        row.seconds += sum(took)
        if (latency := self.latency.get(name)) is None:
            latency = self.latency[name] = Histogram()
        latency.add_all(took)
        if outcome.dialect:
            by_model: dict[str, list[Line]] = {}
            for line in alike:
                by_model.setdefault(line[4].model, []).append(line)
            for model, those in by_model.items():
                self._cost(those, model, outcome.verdict)
            by_times: dict[tuple[str, int], list[Line]] = {}
            for line in several:
                by_times.setdefault((line[4].model, len(line[6])), []).append(line)
            for (model, times), those in by_times.items():
                self._cost(those, model, outcome.verdict, times=times)
        elif outcome.verdict in _SPENDING:
            self.spent.calls += _asked(alike)
            self.spent.calls += sum([_asked([line]) * len(line[6]) for line in several])
        some = outcome.verdict is Verdict.HIT
        few = alike[::_SAMPLED] if busy and some else alike
        spent = [stages for line in few for stages in _stages(line[4], (line[5].duration_s,))]
        step = _SAMPLED if some and (busy or further >= _BUSY) else 1
        at = 0
        for line in several:
            if looked_at := line[6][at::step]:
                spent += _stages(line[4], looked_at)
            at = (at - len(line[6])) % step
        self._stage(name, spent)

    # -- stages -------------------------------------------------------------------------------

    def _stage(self, name: str, spent: Iterable[Sequence[float]]) -> None:
        for stage, seconds in zip(STAGES, zip(*spent, strict=True), strict=True):
            if any(seconds):
                key = (stage, name)
                if (histogram := self.stages.get(key)) is None:
                    histogram = self.stages[key] = Histogram()
                histogram.add_all(filter(None, seconds))

    # -- tokens and money ---------------------------------------------------------------------

    def _cost(self, alike: Sequence[Line], model: str, verdict: Verdict, *, times: int = 1) -> None:
        """Count what ``alike`` saved and spent, ``times`` over."""
        row, requests = self._model(model, verdict, alike), len(alike) * times
        row.requests += requests
        if verdict in _SAVING:
            row.hits += requests
            # Of a negative answer nobody would have said more: it spares a call all the same.
            usage = _summed([line[4].usage for line in alike], times)
            seconds = sum([line[4].spared_s for line in alike]) * times
            self._add((self.saved, row.saved), model, requests, usage, seconds)
        elif verdict in _SPENDING:
            usage = _summed([_less(line[4].usage, line[4].known) for line in alike], times)
            self._add((self.spent, row.spent), model, _asked(alike) * times, usage, 0.0)
            known = _summed([line[4].known for line in alike], times)
            if known is not None:
                self._add((self.saved, row.saved), model, 0, known, 0.0)

    def _add(
        self,
        spendings: Iterable[Spending],
        model: str,
        calls: int,
        usage: Usage | None,
        seconds: float,
    ) -> None:
        money = None if usage is None else self.prices.cost(model, usage)
        if money is None and usage is not None and len(self.unpriced) < self._most_models:
            self.unpriced.add(_label(model))
        for spending in spendings:
            spending.add(calls, usage, money or 0.0, seconds)

    def _model(self, model: str, verdict: Verdict, alike: Iterable[Line]) -> ModelRow:
        label = _label(model)
        row = self.models.get(label)
        if row is None:
            # A name that no backend knows must not take the place of one that it does.
            answered = verdict in _SAVING | {Verdict.MISS} and any(
                line[5].status < _FAILED for line in alike
            )
            named = len(self.models) - (OTHER in self.models)
            if not answered or named >= self._most_models:
                label = OTHER
            row = self.models.setdefault(label, ModelRow())
        return row


def _stages(outcome: Outcome, took: Iterable[float]) -> Sequence[Sequence[float]]:
    """Seconds by stage, in the order of ``STAGES``, of requests that ``took`` so many seconds.

    0 stands for what did not happen.
    """
    before = outcome.stages
    gone = sum(before)
    return [(*before, max(0.0, seconds - gone)) for seconds in took]


def _asked(alike: Iterable[Line]) -> int:
    """How many of them a backend was asked for."""
    return sum([line[4].fwd is not None for line in alike])


def _label(model: str) -> str:
    """``model`` fit for a label; "none" where there is none."""
    return printable(model[:_LONGEST])[:_LONGEST] or "none"


def _summed(usages: Iterable[Usage | None], times: int) -> Usage | None:
    """What is known together, ``times`` over; None if nothing is."""
    known = [usage for usage in usages if usage is not None]
    if not known:
        return None
    return Usage(
        sum([usage.prompt_tokens for usage in known]) * times,
        sum([usage.completion_tokens for usage in known]) * times,
    )


def _less(usage: Usage | None, known: Usage | None) -> Usage | None:
    if usage is None or known is None:
        return usage
    return Usage(
        usage.prompt_tokens - known.prompt_tokens,
        usage.completion_tokens - known.completion_tokens,
    )
