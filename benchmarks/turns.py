"""Two servers asked the same in turns of a few milliseconds, to tell a hundredth from noise.

Run as a program, so that it has a core of its own: ``python -m benchmarks.turns URL PROCESS URL
PROCESS [options]``. It prints one JSON object: for each pair of turns what a request has cost the
first server and the second, in microseconds of processor time and of the clock.

Whatever else the machine does changes from second to second, and by more than what is looked for.
Turns that follow each other at once have it in common, and of some hundred pairs the median is
known far better than any one of them. Which server begins changes from pair to pair.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

from benchmarks.load import chat
from benchmarks.serving import Target, pinned

_Z: Final = 1.96  # standard deviations on either side that hold 95 %


class Cost(NamedTuple):
    """What one request has cost, in microseconds."""

    cpu_us: float
    wall_us: float


class Ratio(NamedTuple):
    """The median of the ratios of pairs, and between what its 95 % confidence interval lies."""

    middle: float
    low: float
    high: float


class Line(asyncio.Protocol):
    """A keep-alive connection that asks when it is told to."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, request: bytes) -> None:
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
        fine = head.startswith(b"HTTP/1.1 200 ") and fields.get(b"x-cache") == b"hit"
        self._server.answered(self, "" if fine else head.partition(b"\r\n")[0].decode())

    def connection_lost(self, _error: Exception | None) -> None:
        self._server.answered(self, "the connection ended")


class Server:
    """One of the two."""

    def __init__(self, url: str, process: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._tasks = Path(f"/proc/{process}/task")
        body = chat()
        self._request = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n"
            f"Content-Type: application/json\r\nAuthorization: Bearer sk-bench\r\n"
            f"User-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._lines: list[Line] = []
        self._left = self._flying = 0
        self.fault = ""

    async def connect(self, lines: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(lines):
            _, line = await loop.create_connection(lambda: Line(self), self._host, self._port)
            self._lines.append(line)

    async def turn(self, requests: int) -> Cost:
        """Have so many requests answered, each connection's one after the other."""
        self._done = asyncio.Event()
        self._left = requests
        cpu, began = self._cpu_us(), time.perf_counter()
        for line in self._lines:
            self._next(line)
        await self._done.wait()
        took = time.perf_counter() - began
        return Cost((self._cpu_us() - cpu) / requests, took * 1e6 / requests)

    def answered(self, line: Line, fault: str) -> None:
        self._flying -= 1
        self.fault = self.fault or fault
        if self.fault:
            self._done.set()
        else:
            self._next(line)

    def _next(self, line: Line) -> None:
        if self._left:
            self._left -= 1
            self._flying += 1
            line.ask(self._request)
        elif not self._flying:
            self._done.set()

    def _cpu_us(self) -> float:
        """Processor time that its threads have had so far."""
        threads = self._tasks.glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e3


async def measure(
    servers: Sequence[Server], seconds: float, lines: int, requests: int
) -> list[tuple[Cost, Cost]]:
    """The pairs there was time for. Raises RuntimeError if anything but hits came."""
    first, second = servers
    for server in servers:
        await server.connect(lines)
        await server.turn(1)  # the answer is stored from now on
        server.fault = ""
        for _ in range(5):
            await server.turn(requests)
    pairs: list[tuple[Cost, Cost]] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if len(pairs) % 2:
            cost = await second.turn(requests)
            pairs.append((await first.turn(requests), cost))
        else:
            cost = await first.turn(requests)
            pairs.append((cost, await second.turn(requests)))
        if fault := first.fault or second.fault:
            raise RuntimeError(fault)
    return pairs


def in_turns(one: Target, other: Target, seconds: float) -> list[tuple[Cost, Cost]]:
    """What hits cost the two servers, measured by a process of its own on the last core."""
    words = [one.url, str(one.process), other.url, str(other.process), "--seconds", str(seconds)]
    command = [*pinned(-1), sys.executable, "-m", "benchmarks.turns", *words]
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    if not printed.stdout:
        raise RuntimeError(printed.stderr)
    return [(Cost(*before), Cost(*after)) for before, after in json.loads(printed.stdout)]


def ratio(pairs: Sequence[tuple[float, float]]) -> Ratio:
    """How much more the second of each pair is; there must be some."""
    ratios = sorted(after / before for before, after in pairs)
    number = len(ratios)
    # Between which places the median lies (Conover, Practical Nonparametric Statistics, 3.2).
    spread = _Z * sqrt(number) / 2
    low = ratios[max(0, int(number / 2 - spread))]
    return Ratio(median(ratios), low, ratios[min(number - 1, int(number / 2 + spread) + 1)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers", nargs=4, metavar="URL PROCESS")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--requests", type=int, default=50, help="in a turn")
    args = parser.parse_args()
    import uvloop

    servers = [Server(args.servers[at], int(args.servers[at + 1])) for at in (0, 2)]
    print(json.dumps(uvloop.run(measure(servers, args.seconds, args.connections, args.requests))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
