"""Metric families of processes: which there are, and what they take up."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from proxy.observe.families import counter, gauge
from proxy.observe.process import Figures
from proxy.observe.state import State


def of_workers(state: State) -> Iterator[Metric]:
    """The processes that serve."""
    yield gauge(
        "workers", "Processes that serve, or are about to, or about to end.", ("state",),
        (((name,), count) for name, count in state.workers.items()),
    )  # fmt: skip
    yield counter(
        "worker_restarts", "Workers that were started in the place of one that had died.", (),
        [((), state.worker_restarts)],
    )  # fmt: skip


def of_process(figures: Figures) -> Iterator[Metric]:
    """All processes together, by the names that Prometheus' clients give to what one takes up."""
    for name, says, value in (
        ("resident_memory_bytes", "Resident memory size in bytes.", figures.rss_bytes),
        ("virtual_memory_bytes", "Virtual memory size in bytes.", figures.virtual_bytes),
        ("start_time_seconds", "When it was started, since the epoch.", figures.started_at),
        ("open_fds", "Number of open file descriptors.", figures.open_fds),
        ("max_fds", "Maximum number of open file descriptors.", figures.max_fds),
    ):
        if value is not None:
            yield GaugeMetricFamily(f"process_{name}", says, value)
    yield CounterMetricFamily(
        "process_cpu_seconds", "User and system CPU time spent in seconds.", figures.cpu_s
    )
