"""Traces, from settings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from proxy.app.operating import release
from proxy.config.settings import Settings
from proxy.flight.seat import Flight
from proxy.model.errors import ConfigError
from proxy.model.message import Duplex, Request
from proxy.model.outcome import Record, Reply

if TYPE_CHECKING:
    from proxy.observe.span_export import SpanCounts, Spans
    from proxy.observe.tracing import Tracing


class Traces:
    """The spans of requests and refreshes, and where they go; ``close`` it in the end.

    Where traces are off nothing is loaded, and what it is given to wrap it gives back: no request
    takes a step more.

    Raises:
        ConfigError: traces are on, and a package is missing.
    """

    def __init__(self, settings: Settings) -> None:
        self._flush_s = settings.tracing.flush_s
        self._spans: Spans | None = None
        self._tracing: Tracing | None = None
        if settings.tracing.enabled:
            self._spans, self._tracing = _make(settings)

    @property
    def counts(self) -> SpanCounts | None:
        """What became of spans; None where there are none."""
        return None if self._spans is None else self._spans.counts

    @property
    def refreshing(self) -> Callable[[Flight], None] | None:
        """What flights are to be watched by."""
        return None if self._tracing is None else self._tracing.refreshing

    def answering(
        self, answer: Callable[[Request], Awaitable[Reply]]
    ) -> Callable[[Request], Awaitable[Reply]]:
        """``answer``, with a span around each request."""
        return answer if self._tracing is None else self._tracing.answering(answer)

    def tunnelling(
        self, tunnel: Callable[[Request], Awaitable[Duplex | Reply]]
    ) -> Callable[[Request], Awaitable[Duplex | Reply]]:
        """``tunnel``, with a span around each request."""
        return tunnel if self._tracing is None else self._tracing.answering(tunnel)

    def recording(self, record: Callable[[Record], None]) -> Callable[[Record], None]:
        """``record``, and the end of spans."""
        return record if self._tracing is None else self._tracing.recording(record)

    async def close(self) -> None:
        """Send the last spans, as long as the settings allow."""
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close, self._flush_s)


def _make(settings: Settings) -> tuple[Spans, Tracing]:
    chosen = settings.tracing
    try:
        from proxy.observe.span_export import Spans  # noqa: PLC0415 - the extra brings its packages
        from proxy.observe.tracing import Tracing  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ConfigError(
            f"tracing: needs the package {error.name}: pip install 'sidecache[otel]'"
        ) from error
    spans = Spans(
        endpoint=chosen.target,
        headers=chosen.secrets,
        timeout_s=chosen.timeout_s,
        sample_ratio=chosen.sample_ratio,
        service_name=chosen.service_name,
        version=release(),
        max_waiting=chosen.max_waiting,
    )
    return spans, Tracing(spans.tracer(release()), wall=time.time_ns)
