"""An admin listener that says what a test tells it to, on a thread: commands wait for answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from proxy.cli import cli

Json = dict[str, Any]


class Asked(NamedTuple):
    """One request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Json:
        return json.loads(self.body)


class Listener:
    """Answers each path with what stands in ``answers``, in turn; the last is said again.

    An answer is a document, a status with a document, or bytes of an event stream.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Json | tuple[int, Json] | bytes]] = {}
        self.asked: list[Asked] = []
        self.url = ""
        self.elsewhere = ""  # where an answer with a 3xx sends who asked

    def say(self, path: str, *answers: Json | tuple[int, Json] | bytes) -> None:
        self.answers[path] = list(answers)

    def next(self, path: str) -> Json | tuple[int, Json] | bytes:
        left = self.answers.get(path.partition("?")[0], [(404, {"error": "not found"})])
        return left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def telling() -> Iterator[Listener]:
    """A listener, until the block ends."""
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            listener.asked.append(Asked(self.command, self.path, dict(self.headers), self._body()))
            told = listener.next(self.path)
            status, document = told if isinstance(told, tuple) else (200, told)
            stream = isinstance(document, bytes)
            body = document if stream else json.dumps(document).encode()
            self.send_response(status)
            kind = "text/event-stream" if stream else "application/json"
            self.send_header("Content-Type", kind)
            if 300 <= status < 400:
                self.send_header("Location", listener.elsewhere)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        listener.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield listener
        server.shutdown()
        thread.join()


Run = Callable[..., Result]


def runner(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands, without the settings of who runs the tests."""
    for name in ("SIDECACHE_ADMIN_URL", "SIDECACHE_ADMIN_TOKEN", "SIDECACHE_ADMIN_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: object, stdin: str | None = None, **environ: str) -> Result:
        return CliRunner().invoke(
            cli, [str(word) for word in words], env=environ, input=stdin, prog_name="sidecache"
        )

    return run
