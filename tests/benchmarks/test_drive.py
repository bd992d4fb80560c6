"""Answers that are looked at, and a load that is counted."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import getpid

import pytest

from benchmarks.frame.drive import Client, Load, Server, Wrong, ask_all, turn
from benchmarks.frame.peers import HIT, python
from benchmarks.frame.questions import KEYS, Kind

BODY = b'{"answer": 42}'


@contextmanager
def answering(
    *, status: int = 200, body: bytes = BODY, fields: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server that answers so; as one whose hits say so, and whose answers are BODY."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in (fields or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Server("it", f"http://127.0.0.1:{server.server_port}", getpid(), HIT, BODY)
        finally:
            server.shutdown()
            thread.join()


LOAD = Load()


def look(server: Server, *, load: Load = LOAD, times: int = 1, first: bool = False) -> int:
    with closing(Client(server, load, 1)) as client:
        for _ in range(times):
            client.look(first=first)
        return client.bytes


def test_an_answer_that_is_right_is_counted_to_the_byte() -> None:
    with answering(fields={"X-Cache": "HIT"}) as server:
        size = look(server)
    assert size > len(BODY) + len("HTTP/1.1 200 OK\r\nX-Cache: HIT\r\nContent-Length: 14\r\n\r\n")


@pytest.mark.parametrize(
    ("fields", "status", "body", "said"),
    [
        ({"X-Cache": "MISS"}, 200, BODY, "X-Cache: 'MISS', not HIT"),
        ({}, 200, BODY, "X-Cache: '', not HIT"),
        ({"X-Cache": "HIT"}, 503, BODY, "status 503"),
        ({"X-Cache": "HIT"}, 200, b"{}", "not the answer"),
    ],
)
def test_anything_else_is_wrong(
    fields: Mapping[str, str], status: int, body: bytes, said: str
) -> None:
    with (
        answering(status=status, body=body, fields=fields) as server,
        pytest.raises(Wrong, match=said),
    ):
        look(server)


def test_the_first_need_be_no_hit() -> None:
    with answering(fields={"X-Cache": "MISS"}) as server:
        look(server, first=True)


def test_where_a_share_will_do_some_may_be_others() -> None:
    load = Load(expect=("X-Cache-Tier", "l2_disk"), least=0.9)
    with answering(fields={"X-Cache-Tier": "l1_memory"}) as server:
        look(server, load=load, times=5)  # of the 50 that are looked at together
        with pytest.raises(Wrong, match="l1_memory"):
            look(server, load=load, times=6)


def test_all_of_the_many_are_asked() -> None:
    with python("a backend", "instant")() as server:
        assert ask_all(server, Load(Kind.MANY)) == KEYS


@pytest.mark.heavy
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_question_is_answered_under_load(kind: Kind) -> None:
    with python("a server", "bare")() as server:
        figures = turn(server, Load(kind, connections=4, seconds=1))
    assert figures["per_second"] > 100
    assert 0 < figures["cpu_us"] < 10_000
