"""A load generator on raw sockets: keep-alive connections, one request after another on each.

Run as a program, so that it has a core of its own: ``python -m benchmarks.load URL [options]``
prints one JSON object. It checks what it gets: every response must have the expected status, and
its first one on each connection the headers asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import cast
from urllib.parse import urlsplit

from benchmarks.frame.questions import Kind, Questions

COUNTER = b"#########"  # replaced by a number of the same width in requests that must differ


def chat(size: int = 1500, *, stream: bool = False, unique: bool = False) -> bytes:
    """A chat request's body of about ``size`` bytes."""
    mark = COUNTER.decode() if unique else "000000000"
    body = {
        "model": "bench-model",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant. " + "x" * (size - 330)},
            {"role": "user", "content": f"Question {mark}: what is the capital of France?"},
        ],
        "temperature": 0.2,
        "max_tokens": 256,
    }
    if stream:
        body["stream"] = True
    return json.dumps(body, separators=(",", ":")).encode()


class Connection(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._buffer = b""
        self._need = 0
        self._began = 0.0
        self._first = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not its subclasses
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._run.next_request())

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._need:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[: end + 4].lower()
            at = head.find(b"content-length:")
            if at < 0:
                self._run.fail("a response without Content-Length")
                return
            self._need = end + 4 + int(head[at + 15 : head.index(b"\r\n", at)])
            if not head.startswith(b"http/1.1 200"):
                self._run.fail(f"not 200: {head[:60]!r}")
                return
            if self._first:
                self._first = False
            elif self._run.expect and self._run.expect not in head:
                self._run.fail(f"expected {self._run.expect!r} in {head!r}")
                return
        if len(self._buffer) < self._need:
            return
        self._buffer = self._buffer[self._need :]
        self._need = 0
        self._run.took(time.perf_counter() - self._began)
        if self._run.over:
            self._transport.close()
        else:
            self._ask()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._run.closed()


class Run:
    """All connections together."""

    def __init__(
        self,
        url: str,
        body: bytes,
        connections: int,
        *,
        expect: str = "",
        fields: str = "",
        questions: Questions | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.expect = expect.lower().encode()
        more = "".join(f"{field}\r\n" for field in fields.split("|") if field)
        head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n"
            f"Content-Type: application/json\r\nAuthorization: Bearer sk-bench\r\n"
            f"User-Agent: bench\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        )
        self._before, mark, self._after = (head.encode() + body).partition(COUNTER)
        self._counter = int(time.time() * 50_000) % 900_000_000 if mark else -1  # noqa: TID251
        self._connections = connections
        self._netloc, self._questions = parts.netloc, questions
        self.latencies: list[float] = []
        self.over = False
        self.fault = ""

    def next_request(self) -> bytes:
        if self._questions is not None:
            return self._questions.request(self._netloc)
        if self._counter < 0:
            return self._before
        self._counter += 1
        return b"%b%09d%b" % (self._before, self._counter, self._after)

    def took(self, seconds: float) -> None:
        self.latencies.append(seconds)

    def fail(self, fault: str) -> None:
        self.fault = self.fault or fault
        self._done.set()

    def closed(self) -> None:
        if not self.over:
            self.fail("the server closed a connection")

    async def measure(self, warm: float, seconds: float) -> dict[str, float | int | str]:
        loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        for _ in range(self._connections):
            await loop.create_connection(lambda: Connection(self), self.host, self.port)
        loop.call_later(warm + seconds, self._done.set)
        await asyncio.sleep(warm)
        warmed = len(self.latencies)
        self.latencies.clear()
        began = time.perf_counter()
        await self._done.wait()
        took = time.perf_counter() - began
        self.over = True
        if self.fault:
            return {"fault": self.fault}
        latencies = sorted(self.latencies)
        number = len(latencies)
        if not number:
            return {"fault": "no response at all"}
        return {
            "requests": number,
            "sent": number + warmed,
            "per_second": number / took,
            "p50_ms": latencies[number // 2] * 1e3,
            "p99_ms": latencies[min(number - 1, number * 99 // 100)] * 1e3,
        }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--warm", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--unique", action="store_true", help="no two requests alike")
    parser.add_argument("--expect", default="", help="what every head but a connection's first has")
    parser.add_argument("--fields", default="", help="further header fields, separated by |")
    parser.add_argument("--kind", type=Kind, help="ask the frame's questions")
    parser.add_argument("--first", type=int, default=0, help="the number of the first of those")
    args = parser.parse_args()
    import uvloop

    questions = None if args.kind is None else Questions(args.kind, args.first)
    body = chat(unique=args.unique)
    run = Run(
        args.url,
        body,
        args.connections,
        expect=args.expect,
        fields=args.fields,
        questions=questions,
    )
    print(json.dumps(uvloop.run(run.measure(args.warm, args.seconds))))
    return 1 if run.fault else 0


if __name__ == "__main__":
    sys.exit(main())
