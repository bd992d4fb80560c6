"""What explains the cache to the operator, made of the parts that answer requests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxy.admin.endpoint import Endpoint
from proxy.admin.entries import Own, Shelves
from proxy.admin.explain import Explain
from proxy.admin.neighbours import Nearness
from proxy.admin.reasons import reasons
from proxy.admin.rows import Rows
from proxy.admin.warm import Warm
from proxy.app.clock import seconds
from proxy.explaining.explain import Explaining
from proxy.model.outcome import Record

if TYPE_CHECKING:
    from proxy.app.whole import Sidecache


def explained(proxy: Sidecache) -> Sequence[Endpoint]:
    """What can be asked about entries and requests."""
    rows = Rows(seconds, time.time, show_content=proxy.settings.admin.show_content)

    def explaining() -> Explaining:
        return proxy.generation.explaining

    def record(told: Record) -> None:
        proxy.server.counts.received += 1  # it stands for a client's
        proxy.record(told)

    return (
        reasons(),
        *Shelves(Own(proxy.store.browsing, rows)).endpoints,
        Explain(explaining, rows).endpoint,
        Nearness(explaining, rows).endpoint,
        Warm(lambda: proxy.generation.attending, record, seconds).endpoint,
    )
