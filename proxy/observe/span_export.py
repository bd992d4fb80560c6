"""Where spans go: to a collector by OTLP over HTTP, in a thread of the SDK's, or nowhere.

Imported only where traces are on, as it needs the extra ``otel``. A collector that is slow, away or
broken changes nothing for clients: spans are handed over without waiting, as many as fit, and the
rest are dropped and counted. The SDK's own queue drops without counting, so the bound is kept here:
what has been handed over and not been exported yet.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, Tracer, TraceState
from opentelemetry.util.types import Attributes

log = logging.getLogger("sidecache.tracing")

_UNNAMED: Final = "unknown_service"  # what the SDK calls a service that nobody has named


class SpanCounts:
    """What became of spans, as plain integers."""

    __slots__ = ("dropped", "exported", "failed", "handed_over")

    def __init__(self) -> None:
        self.handed_over = 0
        self.dropped = 0  # there were too many already
        self.exported = 0  # the collector has them
        self.failed = 0  # the collector would not have them, or could not be reached in time

    @property
    def waiting(self) -> int:
        """Handed over, and on their way."""
        return self.handed_over - self.exported - self.failed


class Spans:
    """Makes tracers, and sends away what they make; ``close`` it in the end.

    Args:
        endpoint: where the collector takes traces, a whole URL; None: as the environment says.
        headers: to send with them, besides what the environment says.
        timeout_s: seconds that sending some may take, tries included; None: as above.
        sample_ratio: of traces that begin here; None: as above.
        service_name: what this proxy is called; None: as above, or "sidecache".
        version: of this proxy.
        max_waiting: spans that may be on their way at once.
        delay_s: seconds after which what has gathered is sent; None: as above.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        sample_ratio: float | None = None,
        service_name: str | None = None,
        version: str = "0",
        max_waiting: int = 2048,
        delay_s: float | None = None,
    ) -> None:
        self.counts = SpanCounts()
        exporter = _Counted(
            OTLPSpanExporter(endpoint=endpoint, headers=dict(headers or {}), timeout=timeout_s),
            self.counts,
        )
        gate = _Gate(
            BatchSpanProcessor(
                exporter,
                max_queue_size=max_waiting,
                max_export_batch_size=min(512, max_waiting),
                schedule_delay_millis=None if delay_s is None else delay_s * 1000,
            ),
            self.counts,
            max_waiting,
        )
        sampler = None if sample_ratio is None else ParentBased(TraceIdRatioBased(sample_ratio))
        self._provider = TracerProvider(
            sampler, _resource(service_name, version), shutdown_on_exit=False
        )
        self._provider.sampler = _AsItsSender(self._provider.sampler)
        self._provider.add_span_processor(gate)
        self._gate = gate

    def tracer(self, version: str = "0") -> Tracer:
        """Makes spans whose times are given."""
        return self._provider.get_tracer("sidecache", version)

    def close(self, limit_s: float) -> None:
        """Send what is waiting, for ``limit_s`` seconds at most; what is then left is dropped.

        Blocks: not for the loop's thread.
        """
        # In a thread that is not waited for: the SDK's own limits do not hold where a collector
        # takes a connection and then says nothing.
        ending = threading.Thread(target=self._gate.shut, name="spans", daemon=True)
        ending.start()
        ending.join(limit_s)
        if lost := self.counts.dropped + self.counts.failed + self.counts.waiting:
            log.warning("traces were lost", extra={"spans": lost})


class _Gate(SpanProcessor):
    """Lets spans through to the queue while there is room."""

    def __init__(self, inner: SpanProcessor, counts: SpanCounts, most: int) -> None:
        self._inner = inner
        self._counts = counts
        self._most = most

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        pass  # they are of interest once they are over

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._counts.waiting >= self._most:
            self._counts.dropped += 1
            return
        self._counts.handed_over += 1
        self._inner.on_end(span)

    def shut(self) -> None:
        """Send what is waiting, then stop; half a minute if need be."""
        self._inner.shutdown()


class _Counted(SpanExporter):
    """Counts what became of spans. Called from the SDK's thread alone."""

    def __init__(self, inner: SpanExporter, counts: SpanCounts) -> None:
        self._inner = inner
        self._counts = counts

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                self._counts.exported += len(spans)
            else:
                self._counts.failed += len(spans)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class _AsItsSender(Sampler):
    """Keeps what has links and no parent if what it is linked to is kept: half a story is none."""

    def __init__(self, others: Sampler) -> None:
        self._others = others

    def should_sample(  # noqa: PLR0917 - as the SDK calls it
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        by = self._others
        if links:
            by = (
                ALWAYS_ON if any(each.context.trace_flags.sampled for each in links) else ALWAYS_OFF
            )
        return by.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        return f"AsItsSender({self._others.get_description()})"


def _resource(service_name: str | None, version: str) -> Resource:
    """Who is traced: as the settings say, else the environment, else what this is."""
    resource = Resource.create({SERVICE_VERSION: version})
    unnamed = str(resource.attributes.get(SERVICE_NAME, _UNNAMED)).startswith(_UNNAMED)
    name = service_name or ("sidecache" if unnamed else None)
    return resource.merge(Resource({SERVICE_NAME: name})) if name else resource
