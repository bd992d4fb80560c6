"""A pace that is kept, and what counts as the time that an answer took."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import getpid

import pytest
from support.cranked import Clock

from benchmarks.frame.drive import Load, Server, Wrong, turn
from benchmarks.frame.paced import measure
from benchmarks.frame.peers import HIT, MISS, python
from benchmarks.frame.questions import Kind, Questions

WARM = 10  # questions that do not count


class Answering:
    """A server whose every answer takes as long as the test says, on a clock that it turns."""

    def __init__(self) -> None:
        self.clock = Clock(1000.0)
        self.takes_s: list[float] = []  # each; then at once
        self.status = 200
        self.said = "MISS"
        self.has_length = True
        self.hangs_up = False
        self.counts = False  # so that no two answers are alike
        self.bodies: set[bytes] = set()
        self.url = ""

    def handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.bodies.add(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.hangs_up:
                    self.close_connection = True
                    return
                if outer.takes_s:
                    outer.clock.turn(outer.takes_s.pop(0))
                self.send_response(outer.status)
                self.send_header("X-Cache", outer.said)
                if outer.has_length:
                    self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"%02d" % len(outer.bodies) if outer.counts else b"{}")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name
                """Say nothing."""

        return Handler

    def measure(self, pace: float = 100.0, seconds: float = 1.0, **more: str) -> dict:
        return measure(
            self.url,
            Questions(Kind.UNIQUE, 1),
            pace,
            seconds,
            clock=self.clock,
            sleep=self.clock.turn,
            **more,
        )


@contextmanager
def serving() -> Iterator[Answering]:
    answering = Answering()
    with ThreadingHTTPServer(("127.0.0.1", 0), answering.handler()) as server:
        answering.url = f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield answering
        finally:
            server.shutdown()
            thread.join()


def test_so_many_are_asked_a_second_and_each_is_another() -> None:
    with serving() as server:
        result = server.measure(pace=50.0, seconds=1.0)
    assert result["requests"] == 50
    assert result["sent"] == len(server.bodies) == 60
    assert result["per_second"] == pytest.approx(50.0, rel=0.05)


def test_an_answer_takes_as_long_as_it_takes() -> None:
    with serving() as server:
        server.takes_s = [0.004] * 110
        result = server.measure()
    assert result["p50_ms"] == pytest.approx(4.0)
    assert result["p99_ms"] == pytest.approx(4.0)


def test_who_comes_too_late_for_the_next_has_made_that_wait_too() -> None:
    """One pause of 35 ms at 10 ms a question: three more were due meanwhile."""
    with serving() as server:
        server.takes_s = [0.0] * WARM + [0.035]
        result = server.measure(seconds=0.04)
    assert result["p50_ms"] == pytest.approx(25.0)  # of 35, 25, 15 and 5
    assert result["p99_ms"] == pytest.approx(35.0)


@pytest.mark.parametrize(
    ("amiss", "said"),
    [
        ({"status": 503}, "not 200"),
        ({"said": "HIT"}, "expected 'X-Cache: MISS'"),
        ({"has_length": False}, "without Content-Length"),
        ({"counts": True}, "not the answer that came first"),
    ],
)
def test_what_is_not_as_it_should_be_is_a_fault(amiss: dict, said: str) -> None:
    with serving() as server:
        for name, value in amiss.items():
            setattr(server, name, value)
        result = server.measure(expect="X-Cache: MISS")
    assert said in str(result["fault"])


def test_a_server_that_hangs_up_is_a_fault() -> None:
    with serving() as server:
        server.hangs_up = True
        result = server.measure()
    assert "closed the connection" in str(result["fault"])


def test_a_load_with_a_pace_is_measured_so() -> None:
    with python("a backend", "instant")() as server:
        figures = turn(server, Load(Kind.UNIQUE, 1, 1, pace=50))
    assert figures["per_second"] == pytest.approx(50, rel=0.2)
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert figures["busy"] < 1


def test_and_looked_at() -> None:
    with serving() as server:
        url = server.url.removesuffix("/v1/chat/completions")
        it = Server("it", url, getpid(), HIT, b"{}")
        load = Load(Kind.UNIQUE, 1, 1, pace=50)
        server.said = "HIT"
        with pytest.raises(Wrong, match="expected 'X-Cache: MISS'"):
            turn(it, Load(Kind.UNIQUE, 1, 1, expect=MISS, pace=50))
        assert turn(it, load)["known"] == 100
