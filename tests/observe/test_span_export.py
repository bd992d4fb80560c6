from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.trace import Link, SpanContext, TraceFlags

from proxy.observe.span_export import Spans


class Held:
    """A collector that answers once it is let go; ``bodies`` says what it was sent."""

    def __init__(self) -> None:
        self.came, self.go = threading.Event(), threading.Event()
        self.status = 200
        self.bodies: list[bytes] = []
        held = self

        class Take(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                held.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                held.came.set()
                held.go.wait(10)
                self.send_response(held.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_told: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def close(self) -> None:
        self.go.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.close()


def made(held: Held, **more: float) -> Spans:
    return Spans(endpoint=held.url, delay_s=0.01, max_waiting=3, **more)


def end(spans: Spans, count: int) -> None:
    for _ in range(count):
        spans.tracer().start_span("s").end()


def test_what_does_not_fit_is_dropped_and_counted(held: Held) -> None:
    spans = made(held)
    end(spans, 1)
    assert held.came.wait(10)  # the one on its way still counts
    end(spans, 5)
    assert (spans.counts.handed_over, spans.counts.dropped, spans.counts.waiting) == (3, 3, 3)
    held.go.set()
    spans.close(10)
    assert (spans.counts.exported, spans.counts.waiting) == (3, 0)


def test_what_the_collector_will_not_have_is_counted(held: Held) -> None:
    held.status = 400
    held.go.set()
    spans = made(held)
    end(spans, 2)
    spans.close(10)
    assert (spans.counts.failed, spans.counts.exported, spans.counts.waiting) == (2, 0, 0)


def test_the_end_does_not_wait_for_a_collector_that_hangs(
    held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    spans = made(held)
    end(spans, 2)
    began = time.monotonic()
    spans.close(0.05)
    assert time.monotonic() - began < 8  # it answers after ten
    assert [(each.msg, each.__dict__["spans"]) for each in caplog.records] == [
        ("traces were lost", 2)
    ]


@pytest.mark.parametrize(("kept", "count"), [(TraceFlags.SAMPLED, 1), (TraceFlags.DEFAULT, 0)])
def test_what_has_a_link_is_kept_as_that_is_whatever_the_share(
    held: Held, kept: int, count: int
) -> None:
    held.go.set()
    spans = made(held, sample_ratio=0.0 if kept else 1.0)
    sender = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(kept))
    spans.tracer().start_span("s", links=[Link(sender)]).end()
    spans.close(10)
    assert spans.counts.exported == count


@pytest.mark.parametrize("name", [None, "mine"])
def test_it_is_called_what_it_is_unless_it_is_told_otherwise(held: Held, name: str | None) -> None:
    held.go.set()
    spans = Spans(endpoint=held.url, service_name=name)
    end(spans, 1)
    spans.close(10)
    assert (name or "sidecache").encode() in held.bodies[0]
