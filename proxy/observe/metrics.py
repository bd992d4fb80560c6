"""The metrics, written as Prometheus or OpenMetrics asks for them."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.observe import families
from proxy.observe.express_families import of_express
from proxy.observe.lag import Lag
from proxy.observe.memory_families import of_memory
from proxy.observe.process import Figures
from proxy.observe.process_families import of_process, of_workers
from proxy.observe.state import State
from proxy.observe.tally import Tally

_OPEN: Final = "application/openmetrics-text;version=1.0.0"
_END: Final = b"# EOF\n"  # of OpenMetrics


class Metrics(Collector):
    """Collects them, and writes them. Its registry is its own.

    Args:
        state: that of the parts, now.
        flush: has counted what was gathered.
        version: of this package.
        processes: what all processes take up together; None: there is this one only.
    """

    def __init__(
        self,
        tally: Tally,
        lag: Lag,
        *,
        state: Callable[[], State],
        flush: Callable[[], None],
        version: str,
        processes: Callable[[], Figures] | None = None,
    ) -> None:
        self._tally = tally
        self._lag = lag
        self._state = state
        self._flush = flush
        self._version = version
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._processes = processes
        if processes is None:
            ProcessCollector(registry=self._registry)
            GCCollector(registry=self._registry)

    def collect(self) -> Iterator[Metric]:
        """All families that have something to tell."""
        self._flush()
        state, tally = self._state(), self._tally
        for family in self._all(tally, state):
            if family.samples:
                yield family

    async def written(self, accept: str) -> tuple[bytes, str]:
        """The exposition that ``accept`` asks for, and its media type.

        It takes some milliseconds with many series; others are answered between families.
        """
        encode, content_type = _encoder(accept)
        pieces = []
        for family in list(self._registry.collect()):
            pieces.append(encode(_One(family)).removesuffix(_END))
            await asyncio.sleep(0)
        if content_type.startswith("application/openmetrics-text"):
            pieces.append(_END)
        return b"".join(pieces), content_type

    def _all(self, tally: Tally, state: State) -> Iterator[Metric]:
        yield from families.of_requests(tally, state)
        yield from families.of_savings(tally)
        yield from families.of_tiers(state)
        yield from of_express(state.express)
        yield from families.of_flights(tally, state)
        yield from families.of_upstreams(state.upstreams)
        yield from families.of_clients(state, self._lag.seconds)
        yield from of_memory(state.memory)
        yield from families.of_calls(state)
        if state.semantic is not None:
            yield from families.of_meaning(state.semantic)
        yield from of_workers(state)
        if self._processes is not None:
            yield from of_process(self._processes())
        yield from families.of_config(state, self._version, platform.python_version())


class _One(Collector):
    """One family by itself, as an encoder wants it."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return [self._family]


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """What writes a family, and the media type.

    The library is not given ``accept`` itself: it fails at versions that are none.
    """
    return choose_encoder(_OPEN if _OPEN.partition(";")[0] in accept else "")
