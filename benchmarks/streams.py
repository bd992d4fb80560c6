"""What a stream costs that has begun and says nothing: resident memory of the proxy, for each.

Clients are connected, the backend has sent its first event to each, and nobody says any more. Once
each stream is a flight of its own, with a connection to the backend; once all are on one flight.
What the kernel keeps for sockets is not the process's and not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.load import COUNTER, chat
from benchmarks.servers import FIRST_EVENT
from benchmarks.serving import Target, free_port, running, sidecache

FLIGHT_AT_MOST_KB: Final = 60
_WARM: Final = 50  # streams before the first look: what is loaded late, and made once
_AT_ONCE: Final = 64  # connections being made
_PATIENCE_S: Final = 60.0


class Stream(asyncio.Protocol):
    """A client that has asked for a stream, and heard how it begins."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._got = b""
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if FIRST_EVENT in self._got and not self.begun.done():
            self._got = b""
            self.begun.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(RuntimeError(f"a stream did not begin: {self._got[:80]!r}"))


def resident(process: int | str) -> int:
    """Bytes of memory that are this process's."""
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def begin(url: str, first: int, number: int, *, alike: bool) -> list[Stream]:
    """So many streams, each of which has begun."""
    parts = urlsplit(url)
    body = chat(unique=True, stream=True)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: text/event-stream\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer sk-bench\r\n"
        f"User-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    loop, streams = asyncio.get_running_loop(), list[Stream]()
    for start in range(0, number, _AT_ONCE):
        some = []
        for count in range(start, min(start + _AT_ONCE, number)):
            asked = body.replace(COUNTER, b"%09d" % (first if alike else first + count))
            made = await loop.create_connection(
                lambda request=head + asked: Stream(request), parts.hostname, parts.port
            )
            some.append(made[1])
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(*(each.begun for each in some))
        streams += some
    return streams


async def cost(target: Target, number: int, *, alike: bool) -> float:
    """Bytes of resident memory that each of so many streams takes."""
    held = await begin(target.url, 0, _WARM, alike=alike)
    before = resident(target.process)
    held += await begin(target.url, 0 if alike else _WARM, number, alike=alike)
    await asyncio.sleep(1)  # what is gathered for the log is written
    took = resident(target.process) - before
    for each in held:
        each.transport.close()
    return took / number


@contextmanager
def pausing() -> Iterator[Target]:
    """A backend that begins every answer, and does not go on."""
    port = free_port()
    with running(["-m", "benchmarks.servers", "pausing", str(port)], -1, "") as process:
        yield Target(f"http://127.0.0.1:{port}", process.pid)


def measured(number: int, *, alike: bool) -> float:
    """As ``cost``, of a new proxy."""
    with tempfile.TemporaryDirectory() as folder, pausing() as upstream:
        file = Path(folder) / "sidecache.yaml"
        file.write_text(
            f"upstreams: [{{url: {upstream.url}, max_connections: {number + _WARM}}}]\n"
            "log: {requests: false}\n"
        )
        with sidecache("", "--config", str(file)) as proxy:
            return uvloop.run(cost(proxy, number, alike=alike))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="streams")
    parser.add_argument("--number", type=int, default=5000)
    args = parser.parse_args(argv)
    if not Path("/proc/self/statm").exists():
        print("needs /proc to tell the memory")
        return 0
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    number = args.number
    if most < 2 * number + 256:
        print(f"needs {2 * number + 256} file descriptors (ulimit -n), has {most}")
        return 0
    flights, followers = measured(number, alike=False), measured(number, alike=True)
    print(f"{number} idle streams, each a flight: {flights / 1000:.1f} KB each", end=" ")
    print(f"(at most {FLIGHT_AT_MOST_KB})")
    print(f"{number} idle streams on one flight: {followers / 1000:.1f} KB each")
    return int(flights > FLIGHT_AT_MOST_KB * 1000)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
