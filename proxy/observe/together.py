"""All workers as one: what their snapshots add up to, for those who tell of a single process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from proxy.histogram import SECONDS
from proxy.observe.history import History, Kept
from proxy.observe.lag import Lag
from proxy.observe.merging import summed, with_gone
from proxy.observe.process import Figures, figures, together
from proxy.observe.snapshot import Snapshot
from proxy.observe.state import ConfigState, Counts, State, TierState
from proxy.observe.tally import ModelRow, Tally
from proxy.prices import Prices
from proxy.splitters import Splitter


class Together:
    """Has counted what all workers have, those that are gone among them.

    Args:
        prices: what tokens cost, for its currency.
        most_models: names of models that are kept apart.
        clock: seconds, monotonic.
    """

    def __init__(self, prices: Prices, most_models: int, *, clock: Callable[[], float]) -> None:
        self.tally = Tally(prices, most_models=most_models)
        self.lag = Lag(_never, clock)
        self.history: History | None = None
        self._all: Snapshot | None = None

    @property
    def all(self) -> Snapshot:
        """All of it, once it was taken."""
        if self._all is None:
            raise RuntimeError("nothing was taken yet")
        return self._all

    def keep_apart(self, models: Iterable[str]) -> None:
        """Names of models that others have kept apart before, so that they stay so."""
        self.tally.models = {name: ModelRow() for name in models}

    def take(self, living: Sequence[Snapshot], gone: Snapshot) -> None:
        """Count what ``living`` and ``gone`` say in place of all they said before."""
        if self.history is not None:
            self.history.tick()  # what is new belongs to the point that is going on
        now = summed(living) if living else gone
        total = summed([gone, now]) if living else gone
        if living:
            total = replace(total, state=with_gone(now.state, gone.state))
        self._all = total
        self.tally.become([total.counted])
        self.lag.seconds = total.lag

    def remember(
        self, wall: Callable[[], float], clock: Callable[[], float], kept: Kept = ()
    ) -> History:
        """The history from now on, which goes on with what was ``kept``."""
        self.history = History(
            self.tally, shed=self._shed, upstream=self._heads, wall=wall, clock=clock, kept=kept
        )
        return self.history

    def state(self, config: ConfigState, workers: Counts, restarts: int) -> State:
        """That of all parts."""
        return replace(self.all.state, config=config, workers=workers, worker_restarts=restarts)

    @property
    def tiers(self) -> Sequence[TierState]:
        """Nearest first."""
        return self.all.state.tiers

    @property
    def splitters(self) -> Sequence[Splitter]:
        """Headers that split the cache."""
        return self.all.splitters

    def processes(self, started_at: float, own_cpu_s: float) -> Figures:
        """What all processes take up, this one among them, which has taken so much time."""
        own = figures()._replace(cpu_s=own_cpu_s)
        return together([self.all.process, own])._replace(started_at=started_at)

    def _shed(self) -> int:
        return self.all.state.clients["turned_away"]

    def _heads(self) -> Sequence[int]:
        once = {each.upstream: each.head.counts for each in self.all.state.upstreams}
        return [sum(each) for each in zip(*once.values(), strict=True)] or [0] * (len(SECONDS) + 1)


def _never(_after_s: float, _call: Callable[[], None]) -> _Never:
    """Stand for a loop whose lag nobody measures: workers tell theirs."""
    return _Never()


class _Never:
    def cancel(self) -> None: ...
