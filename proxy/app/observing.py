"""What happened, counted and told: the readers of records, and what the operator asks of them.

All of it lives as long as the process, whatever becomes of the settings.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from proxy.admin.endpoint import Endpoint
from proxy.admin.live import LiveRoute
from proxy.admin.metrics import Exposition
from proxy.admin.snapshots import snapshot
from proxy.admin.states import States
from proxy.admin.stats import Statistics
from proxy.admin.workers import Worker, Workers, workers
from proxy.app.clock import seconds
from proxy.app.looking import Parts, look
from proxy.batching import Counts as BatchCounts
from proxy.compression.compressor import Counts as CompressionCounts
from proxy.config.settings import Settings
from proxy.histogram import SECONDS
from proxy.key import KeyRules
from proxy.model.entry import CacheKey
from proxy.model.message import Request
from proxy.model.outcome import Record
from proxy.model.query import Query
from proxy.observe.gather import Gathering, Reader, Teller
from proxy.observe.history import History
from proxy.observe.lag import Lag
from proxy.observe.live import Live, Watcher
from proxy.observe.metrics import Metrics
from proxy.observe.process import figures
from proxy.observe.snapshot import Snapshot, written
from proxy.observe.state import State
from proxy.observe.stats import Identity, Stats
from proxy.observe.tally import Tally
from proxy.prices import Price, Prices
from proxy.splitters import Splitters
from proxy.upstream import Traffic

log = logging.getLogger("sidecache")


class Observing:
    """Counts and tells. Give it the parts before ``start``, and ``close`` it in the end.

    Args:
        settings: checked settings.
        version: of this package.
        replica: where this replica is.
        readers: who else reads what is gathered, a request log, say.
        dropped: how many log lines were not written.
        slot: which worker this is.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        version: str,
        replica: str,
        readers: Iterable[Reader] = (),
        dropped: Callable[[], int] = lambda: 0,
        slot: int = 1,
    ) -> None:
        self._parts: Parts | None = None
        self._slot = slot
        self._started_at = time.time()
        self.dropped = dropped
        self.tally = Tally(prices(settings), most_models=settings.metrics.max_models)
        self.traffic: dict[str, Traffic] = {}
        self.live = Live()
        self.lag = Lag(_call_later, time.monotonic)
        self.splitters = Splitters(_report_splitter)
        self.flight_bugs = 0
        self.batching = BatchCounts()
        self.compressing = CompressionCounts()
        self.history = History(
            self.tally,
            shed=self._shed,
            upstream=self._heads,
            wall=time.time,
            clock=seconds,
        )
        self.gathering = Gathering(
            [self.history, self.tally, self.live, *readers], wall=time.time, call_later=_call_later
        )
        identity = Identity(version, settings.pseudonym, replica, self._started_at)
        self.stats = Stats(
            identity,
            self.tally,
            self.history,
            self.lag,
            state=self._state,
            splitters=self.splitters.told,
            flush=self.gathering.flush,
            wall=time.time,
            clock=seconds,
        )
        self.metrics = Metrics(
            self.tally,
            self.lag,
            state=self._state,
            flush=self.gathering.flush,
            version=version,
        )

    def adopt(self, settings: Settings) -> None:
        """Go on by other settings."""
        self.tally.adopt(prices(settings), settings.metrics.max_models)

    def over(self, parts: Parts) -> None:
        """Tell of ``parts``, too."""
        self._parts = parts

    def record(self, then: Callable[[Record], None] | None) -> Teller:
        """What is told of every request that is over; ``then`` is told of each right after."""
        if then is None:
            return self.gathering.write
        write, tell = self.gathering.write, then

        def both(record: Record, more: Sequence[float] = (), ended: float | None = None, /) -> None:
            write(record, more, ended)
            tell(record)
            for took_s in more:
                tell(record._replace(delivery=record.delivery._replace(duration_s=took_s)))

        return both

    def traffic_of(self, upstream: str) -> Traffic:
        """Where what comes of the backend of this name is counted."""
        return self.traffic.setdefault(upstream, Traffic())

    def unheard(self, keys: KeyRules) -> Callable[[Request, Query, CacheKey], None]:
        """What is told of each question that nothing was stored for."""
        sight, fields_of = self.splitters.sight, keys.fields_of

        def note(request: Request, query: Query, key: CacheKey) -> None:
            sight(request.path, key.scope, query, fields_of(request.headers))

        return note

    def report_bug(self, bug: BaseException) -> None:
        """A flight failed in a way nobody foresaw."""
        self.flight_bugs += 1
        log.error("a flight failed in a way nobody foresaw", exc_info=bug)

    @property
    def endpoints(self) -> list[Endpoint]:
        """What the operator can ask."""
        stats = self.stats
        return [
            *Statistics(stats.told, stats.history).endpoints,
            *States(stats.tiers, stats.upstreams).endpoints,
            LiveRoute(self._watch, stats.brief).endpoint,
            Exposition(self.metrics.written).endpoint,
            workers(self._workers),
        ]

    @property
    def for_its_own_kind(self) -> Endpoint:
        """What a worker tells who adds up what all workers have counted."""
        return snapshot(self.snapshot)

    def snapshot(self) -> bytes:
        """All that was counted, written down."""
        return written(self._snapshot())

    def start(self) -> None:
        """Begin to measure."""
        self.lag.start()

    def close(self) -> None:
        """Let go of all who look on, and have read what is left. Idempotent."""
        self.lag.stop()
        self.live.close()
        self.gathering.flush()

    def bugs(self) -> dict[str, int]:
        """Failures that nobody foresaw, by where."""
        parts = self._parts
        bugs = {"flights": self.flight_bugs, "telling": self.gathering.bugs}
        if parts is not None:
            bugs["clients"] = parts.clients.bugs
            if parts.semantic is not None:
                bugs["meaning"] = parts.semantic.finder.bugs
        return bugs

    def _snapshot(self) -> Snapshot:
        self.gathering.flush()
        return Snapshot(
            self.tally.counted(), self.lag.seconds, self._state(), self.splitters.told(),
            figures(), os.getpid(), self._slot, self._started_at,
        )  # fmt: skip

    def _workers(self) -> Workers:
        """The only one there is."""
        one = worker_row(self._snapshot(), "ready", self._started_at, time.time())
        return Workers(wanted=1, restarts=0, workers=[one])

    def _watch(self, last: int) -> Watcher | None:
        self.gathering.flush()
        return self.live.watch(last)

    def _state(self) -> State:
        if self._parts is None:
            raise RuntimeError("not over any parts yet")
        return look(self._parts)

    def _shed(self) -> int:
        return 0 if self._parts is None else self._parts.clients.turned_away

    def _heads(self) -> Sequence[int]:
        counts = [each.head.counts for each in self.traffic.values()]
        return [sum(each) for each in zip(*counts, strict=True)] or [0] * (len(SECONDS) + 1)


def worker_row(
    said: Snapshot,
    state: Literal["starting", "ready", "leaving"],
    started_at: float,
    now: float,
    *,
    silent: bool = False,
) -> Worker:
    """What is told of a worker that has said something. Times in seconds since the epoch."""
    return Worker(
        slot=said.slot,
        pid=said.pid,
        state=state,
        silent=silent,
        age_s=round(max(0.0, now - started_at), 3),
        rss_bytes=said.process.rss_bytes,
        cpu_s=said.process.cpu_s,
        requests=said.over,
        in_progress=said.under_way,
        connections=said.state.clients["open"],
        loop_lag_p99_s=said.lag.quantile(0.99),
    )


def prices(settings: Settings) -> Prices:
    """What tokens cost, as the settings say.

    The first price that is for a model counts.
    """
    savings = settings.savings
    return Prices(
        [Price(each.model, each.input, each.output) for each in savings.prices], savings.currency
    )


def _call_later(after_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(after_s, call)


def _report_splitter(header: str) -> None:
    log.warning(
        "a request header splits the cache: if it does not change answers, name it in "
        "cache.inert_headers",
        extra={"header": header},
    )
