"""Clients that take their time: heads that never end, and bodies that come byte by byte.

Run as a program: ``python -m benchmarks.crowd URL [options]``. It prints "ready" once all are
connected, and one JSON object when all were cut off, or it has waited long enough.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from contextlib import suppress
from functools import partial
from typing import Final, cast
from urllib.parse import urlsplit

import uvloop

_EVERY_S: Final = 1.0  # a byte of each
_TURNS: Final = 50  # in which they come: not all at the same moment
_AT_ONCE: Final = 100  # connections being made


class Slow(asyncio.Protocol):
    """One connection; ``lasted`` is how many seconds it was let be."""

    def __init__(self, crowd: Crowd, begins: bytes) -> None:
        self._crowd = crowd
        self._begins = begins
        self.began = 0.0
        self.lasted: float | None = None
        self.said = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.began = time.monotonic()
        self.transport.write(self._begins)

    def drip(self) -> None:
        if self.lasted is None:
            self.transport.write(b"x")

    def data_received(self, data: bytes) -> None:
        self.said += data  # what it is told, before the connection ends

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, _error: Exception | None) -> None:
        self.lasted = time.monotonic() - self.began
        self._crowd.left()


class Crowd:
    """All of them."""

    def __init__(self, url: str, heads: int, bodies: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode()
        body = head + b"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{"
        self._wanted = [head + b"X-Padding: "] * heads + [body] * bodies
        self._heads = heads
        self._gone = 0
        self._all_gone = asyncio.Event()
        self.all: list[Slow] = []

    def left(self) -> None:
        self._gone += 1
        if self._gone == len(self._wanted):
            self._all_gone.set()

    async def gather(self) -> None:
        """Connect all."""
        loop = asyncio.get_running_loop()
        for start in range(0, len(self._wanted), _AT_ONCE):
            made = [
                loop.create_connection(partial(Slow, self, each), self._host, self._port)
                for each in self._wanted[start : start + _AT_ONCE]
            ]
            self.all += [slow for _, slow in await asyncio.gather(*made)]

    async def last(self, most_s: float) -> dict[str, float]:
        """Drip until all were cut off; how long each kind was let be, in seconds."""
        until, turn = time.monotonic() + most_s, 0
        while not self._all_gone.is_set() and time.monotonic() < until:
            for slow in self.all[turn::_TURNS]:
                slow.drip()
            turn = (turn + 1) % _TURNS
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S / _TURNS):
                    await self._all_gone.wait()
        lasted = [most_s if slow.lasted is None else slow.lasted for slow in self.all]
        heads, bodies = lasted[: self._heads], lasted[self._heads :]
        told = sum(slow.said.startswith(b"HTTP/1.1 408 ") for slow in self.all)
        return {
            "left": len(self.all) - self._gone,
            "told": told,
            "heads_s": max(heads, default=0.0),
            "bodies_s": max(bodies, default=0.0),
        }


async def run(url: str, heads: int, bodies: int, most_s: float) -> None:
    crowd = Crowd(url, heads, bodies)
    await crowd.gather()
    print("ready", flush=True)
    print(json.dumps(await crowd.last(most_s)), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--heads", type=int, required=True, help="that never end")
    parser.add_argument("--bodies", type=int, required=True, help="that come byte by byte")
    parser.add_argument("--most-s", type=float, default=30.0, help="to wait, in seconds")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(run(args.url, args.heads, args.bodies, args.most_s))
    return 0


if __name__ == "__main__":
    sys.exit(main())
