"""What happened, counted and told: the readers of records, and what the operator asks of them.

All of it lives as long as the process, whatever becomes of the settings.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from proxy.admin.endpoint import Endpoint
from proxy.admin.live import LiveRoute
from proxy.admin.metrics import Exposition
from proxy.admin.states import States
from proxy.admin.stats import Statistics
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
from proxy.observe.gather import Gathering, Reader
from proxy.observe.history import History
from proxy.observe.lag import Lag
from proxy.observe.live import Live, Watcher
from proxy.observe.metrics import Metrics
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
    """

    def __init__(
        self,
        settings: Settings,
        *,
        version: str,
        replica: str,
        readers: Iterable[Reader] = (),
        dropped: Callable[[], int] = lambda: 0,
    ) -> None:
        self._parts: Parts | None = None
        self.dropped = dropped
        self.tally = Tally(_prices(settings), most_models=settings.metrics.max_models)
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
        identity = Identity(version, settings.pseudonym, replica, time.time())
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
        self.tally.adopt(_prices(settings), settings.metrics.max_models)

    def over(self, parts: Parts) -> None:
        """Tell of ``parts``, too."""
        self._parts = parts

    def record(self, then: Callable[[Record], None] | None) -> Callable[[Record], None]:
        """What is told of every request that is over; ``then`` is told right after."""
        if then is None:
            return self.gathering.write
        write, tell = self.gathering.write, then

        def both(record: Record) -> None:
            write(record)
            tell(record)

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
        ]

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


def _prices(settings: Settings) -> Prices:
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
