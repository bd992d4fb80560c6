"""Metric families of the requests that are answered by their bytes alone."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from proxy.observe.families import counter, gauge
from proxy.observe.state import ExpressState


def of_express(express: ExpressState) -> Iterator[Metric]:
    """Them, and what is at hand for them."""
    yield counter(
        "express_hits",
        "Hits of the express lane: known by their bytes, or by all in them that counts.",
        (),
        [((), express.hits)],
    )
    yield gauge("express_entries", "Answers at hand for them.", (), [((), express.entries)])
    yield gauge("express_bytes", "Bytes that these take up.", (), [((), express.bytes)])
