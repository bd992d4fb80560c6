"""A load generator that keeps its pace: requests go out when they are due, answered or not before.

Run as a program, so that it has a core of its own: ``python -m benchmarks.steady URL [options]``.
It prints when it begins, on the monotonic clock that all processes share, and in the end one JSON
list with a sample for each request. Every other request is one of a few that repeat, the rest are
asked once. A latency counts from when its request was due, so that a server which stops for a while
cannot hide how many it kept waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import suppress
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

from benchmarks.load import COUNTER, chat
from benchmarks.servers import ANSWER

REPEATS: Final = 20  # questions that are asked again and again
RIGHT: Final = ("HIT", "MISS")  # what an answer of 200 with the backend's bytes is called
_LINES: Final = 16  # connections to begin with
_MOST_LINES: Final = 256  # beyond that, what is due waits for one
_PATIENCE_S: Final = 15.0  # for the last answers


class Sample(NamedTuple):
    """One request: when it was due (seconds after the beginning) and what became of it."""

    due: float
    seconds: float  # from then to the end of the answer
    once: bool  # whether nobody asked this before or will again
    answer: str  # one of RIGHT, or what was wrong


class Line(asyncio.Protocol):
    """A keep-alive connection that carries one request at a time."""

    def __init__(self, load: Steady) -> None:
        self.open = True
        self._load = load
        self._buffer = b""
        self._asked: tuple[float, bool] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, request: bytes, due: float, *, once: bool) -> None:
        self._asked = due, once
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
        if len(body) < int(fields.get(b"content-length", b"0")):
            return
        self._buffer = b""
        if not head.startswith(b"HTTP/1.1 200 "):
            self._end(head.partition(b"\r\n")[0].decode())
        elif body != ANSWER:
            self._end("not what the backend said")
        else:
            self._end(fields.get(b"x-cache", b"").decode().upper())
        self._load.free.put_nowait(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self.open = False
        self._end("the connection ended")
        self._load.free.put_nowait(self)  # for who waits for one to look again

    def give_up(self) -> None:
        self._end("no answer")

    def _end(self, answer: str) -> None:
        if self._asked is not None:
            (due, once), self._asked = self._asked, None
            self._load.answered(due, answer, once=once)


class Steady:
    """All requests of one run."""

    def __init__(self, url: str, first: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        body = chat(unique=True)
        head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n"
            f"Content-Type: application/json\r\nAuthorization: Bearer sk-bench\r\n"
            f"User-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._before, _, self._after = (head.encode() + body).partition(COUNTER)
        self._first = first
        self._lines: list[Line] = []
        self.free: asyncio.LifoQueue[Line] = asyncio.LifoQueue()
        self.samples: list[Sample] = []

    async def run(self, rate: float, seconds: float) -> list[Sample]:
        """Ask so many times a second for so long; every request's sample, in the order they end."""
        for _ in range(_LINES):
            self.free.put_nowait(await self._connect())
        self._number, self._all = int(rate * seconds), asyncio.Event()
        self._began = time.monotonic() + 0.1
        print(self._began, flush=True)
        for count in range(self._number):
            due = self._began + count / rate
            await asyncio.sleep(max(due - time.monotonic(), 0))
            line = await self._line()
            once = count % 2 == 1
            question = self._first + count if once else count // 2 % REPEATS
            request = b"%b%09d%b" % (self._before, question, self._after)
            line.ask(request, due, once=once)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await self._all.wait()
        for line in self._lines:
            line.give_up()
        return self.samples

    def answered(self, due: float, answer: str, *, once: bool) -> None:
        now = time.monotonic()
        self.samples.append(Sample(due - self._began, now - due, once, answer))
        if len(self.samples) == self._number:
            self._all.set()

    async def _line(self) -> Line:
        while True:
            if self.free.empty() and sum(line.open for line in self._lines) < _MOST_LINES:
                return await self._connect()
            if (line := await self.free.get()).open:
                return line

    async def _connect(self) -> Line:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: Line(self), self._host, self._port)
        self._lines.append(line)
        return line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--first", type=int, required=True, help="number of the first question")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    print(json.dumps(asyncio.run(Steady(args.url, args.first).run(args.rate, args.seconds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
