"""Metric families of memory: how much there is, and how far it has run out."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from proxy.observe.families import counter, gauge
from proxy.observe.state import MemoryState


def of_memory(memory: MemoryState) -> Iterator[Metric]:
    """Memory, where it is limited."""
    if memory.limit is not None:
        yield gauge(
            "memory_limit_bytes", "What the control group may use.", (), [((), memory.limit)]
        )
        if memory.used is not None:
            yield gauge(
                "memory_used_bytes", "What it uses that cannot be taken back.", (),
                [((), memory.used)],
            )  # fmt: skip
        yield gauge(
            "memory_pressure", "How far memory has run out: 0 is enough, 3 is the worst.", (),
            [((), memory.number)],
        )  # fmt: skip
        yield counter(
            "memory_pressure_reached", "How often it had run out so far.", ("level",),
            (((level,), count) for level, count in memory.reached.items()),
        )  # fmt: skip
    yield counter(
        "memory_trims", "Times that freed memory was given back to the system.", (),
        [((), memory.trims)],
    )  # fmt: skip
