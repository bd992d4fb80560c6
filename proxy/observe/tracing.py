"""Traces: one span for each request, with its stages as events, and one for each refresh.

Imported only where traces are on, as it needs the extra ``otel``. A request's span begins when its
life does and ends when its reply has been sent. What is asked of the backend carries the span as
its parent, in the words of W3C Trace Context, so that the backend's own spans hang
below it. Who hears an answer that another asked for has a link to that one's span, and a refresh,
which no caller waits for, is a trace of its own with a link to the request that sent it.

What a span says is made in ``span_words``, where it goes in ``span_export``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from proxy.flight.seat import Flight
from proxy.model.message import Request
from proxy.model.outcome import Record
from proxy.observe.span_words import bounded, told, told_first, told_of_entry

_Reply = TypeVar("_Reply")

_NS: Final = 1_000_000_000
_LONGEST: Final = 512  # characters of a trace context that is looked at
_NOWHERE: Final = Context()


class _Begun(NamedTuple):
    """The span of a request under way."""

    request: Request  # held, so that no other can be taken for it
    span: Span
    began_ns: int


class Tracing:
    """Makes the spans.

    Args:
        tracer: makes a span, and decides which are kept.
        wall: nanoseconds since the epoch.
    """

    def __init__(self, tracer: Tracer, *, wall: Callable[[], int]) -> None:
        self._tracer = tracer
        self._wall = wall
        self._words = TraceContextTextMapPropagator()
        self._under_way: dict[int, _Begun] = {}  # by the identity of the request

    def __len__(self) -> int:
        """Spans of requests that are under way."""
        return len(self._under_way)

    def answering(
        self, answer: Callable[[Request], Awaitable[_Reply]]
    ) -> Callable[[Request], Awaitable[_Reply]]:
        """``answer`` with a span around each request; ``record`` ends it."""

        async def traced(request: Request) -> _Reply:
            return await answer(self._begin(request))

        return traced

    def recording(self, record: Callable[[Record], None]) -> Callable[[Record], None]:
        """``record``, which is told of all that is over, and the end of its span."""

        def both(over: Record) -> None:
            try:
                record(over)
            finally:
                self.record(over)

        return both

    def record(self, record: Record) -> None:
        """End the span of a request that is over. One that came no further has one, too."""
        began = self._under_way.pop(id(record.request), None)
        took_ns = int(record.delivery.duration_s * _NS)
        if began is None:
            span, began_ns = self._span(record.request, self._wall() - took_ns)
        else:
            _request, span, began_ns = began
        if span.is_recording():
            self._tell(span, record, began_ns)
        span.end(began_ns + took_ns)

    def refreshing(self, flight: Flight) -> None:
        """Give ``flight``, which renews an entry and has not begun, a span of its own."""
        errand, pump = flight.errand, flight.pump
        request = errand.request
        sender = self._said(request.trace).get_span_context()
        said = told_first(request) | {
            "sidecache.cache.key": errand.key.digest.hex(),
            "sidecache.cache.scope": errand.key.scope,
        }
        span = self._tracer.start_span(
            "refresh",
            context=_NOWHERE,
            kind=SpanKind.INTERNAL,
            attributes=said,
            links=[Link(sender)] if sender.is_valid else (),
            start_time=self._wall(),
        )
        flight.errand = errand.asking_as(request._replace(trace=self._passed_on(span)))
        if pump is not None:
            pump.add_done_callback(lambda _task: self._refreshed(span, flight))

    def _refreshed(self, span: Span, flight: Flight) -> None:
        """End the span of a refresh that is over, however it ended."""
        landed, error = flight.landed, flight.error
        if span.is_recording():
            entry = None if landed is None else landed.entry
            if entry is not None:
                span.update_name(f"refresh {bounded(entry.model)}".rstrip())
                span.set_attributes(told_of_entry(entry, flight.errand.request.path))
            if landed is not None:
                span.set_attribute("sidecache.cache.stored", landed.stored)
                span.set_attribute("sidecache.cache.detail", landed.detail)
            if error is not None:
                span.set_attribute("error.type", error.token)
                span.set_status(Status(StatusCode.ERROR, error.token))
        span.end(self._wall())

    def _begin(self, request: Request) -> Request:
        """``request`` as its life goes on with it: with its span in place of the caller's."""
        span, began_ns = self._span(request, self._wall())
        self._under_way[id(request)] = _Begun(request, span, began_ns)
        return request._replace(trace=self._passed_on(span))

    def _span(self, request: Request, began_ns: int) -> tuple[Span, int]:
        headers = request.headers.index()
        words = ("traceparent", "tracestate")
        parent = self._said([(name, headers[name]) for name in words if name in headers])
        span = self._tracer.start_span(
            bounded(request.method),
            context=set_span_in_context(parent, _NOWHERE),
            kind=SpanKind.SERVER,
            attributes=told_first(request),
            start_time=began_ns,
        )
        return span, began_ns

    def _tell(self, span: Span, record: Record, began_ns: int) -> None:
        words = told(record)
        span.update_name(words.name)
        span.set_attributes(words.attributes)
        for stage, after_s, took_s in words.events:
            at_ns = began_ns + int(after_s * _NS)
            span.add_event(stage, {"sidecache.stage.duration_s": took_s}, at_ns)
        if record.outcome.leader:
            span.add_link(self._said([("traceparent", record.outcome.leader)]).get_span_context())
        if words.failed:
            span.set_status(Status(StatusCode.ERROR, words.failed))

    def _said(self, fields: Iterable[tuple[str, str]]) -> Span:
        """The span that ``fields`` are about; one that is not valid if they make no sense."""
        # What is too long is none, and would be logged each time.
        carrier = {name: value for name, value in fields if len(value) <= _LONGEST}
        return get_current_span(self._words.extract(carrier, _NOWHERE))

    def _passed_on(self, span: Span) -> tuple[tuple[str, str], ...]:
        """The fields that make ``span`` the parent of what the backend does."""
        carrier: dict[str, str] = {}
        self._words.inject(carrier, set_span_in_context(span, _NOWHERE))
        return tuple(carrier.items())
