"""Workers of one host: proxies as processes of their own that share a directory, and no Redis."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import uvloop

from proxy.app import Sidecache
from proxy.app.seat import Seat
from proxy.config.settings import Settings
from support.raw_client import RawClient
from support.served import LIMIT_S

ROOT = Path(__file__).parents[2]

Json = dict[str, Any]


class Worker:
    """One of them."""

    def __init__(self, told: Json) -> None:
        self.pid: int = told["pid"]
        host, _, port = told["url"].removeprefix("http://").rpartition(":")
        self.address = host, int(port)
        self._admin: str = told["admin"]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def flying(self) -> int:
        """How many flights it has in the air."""
        return (await self._metrics("sidecache_flights_in_progress")).get("", 0)

    async def fleet(self) -> dict[str, int]:
        """What it counts of flights that it shares."""
        return await self._metrics("sidecache_fleet_flights_total")

    async def _metrics(self, name: str) -> dict[str, int]:
        """The values of a metric by its verdicts."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(0)
        sock.connect(self._admin)
        async with RawClient(sock, 20) as client:
            await client.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            response = await client.response()
            assert response.status == 200, response
            text = response.body.decode()
        found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, flags=re.MULTILINE)
        verdicts = [re.search(r'verdict="(\w+)"', labels) for labels, _ in found]
        return {
            "" if verdict is None else verdict[1]: int(float(value))
            for verdict, (_, value) in zip(verdicts, found, strict=True)
        }


class Forge:
    """A process that has everything loaded, and forks workers."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.workers"],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def fork(self, order: Json) -> Json:
        """What a new worker says of itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(orjson.dumps(order) + b"\n")
        self._process.stdin.flush()
        told: Json = orjson.loads(self._process.stdout.readline())
        return told

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


class Workers:
    """Workers that a forge has forked, in one directory and with the same settings."""

    def __init__(self, forge: Forge, order: Json) -> None:
        self._forge = forge
        self._order = order
        self._forked: list[Worker] = []
        self._slot = 0

    async def fork(self, count: int) -> list[Worker]:
        """So many more."""
        forked = []
        for _ in range(count):
            async with asyncio.timeout(LIMIT_S):
                self._slot += 1
                told = await asyncio.to_thread(self._forge.fork, self._order | {"slot": self._slot})
            forked.append(Worker(told))
        self._forked += forked
        return forked

    def kill(self) -> None:
        """All that still live."""
        for each in self._forked:
            with suppress(ProcessLookupError):
                each.signal(signal.SIGKILL)


@contextmanager
def workers(
    forge: Forge, upstream: str, directory: Path, *, patience_s: float = 20.0, **settings: Any
) -> Iterator[Workers]:
    """Workers that are killed when the block ends.

    Args:
        patience_s: how long they wait for each other; as long as no machine is too slow for.
    """
    given = {
        "l2_disk": {"enabled": False},
        "upstreams": [{"url": upstream}],
        "reload": {"watch": False},
    }
    order = {"directory": str(directory), "given": given | settings, "patience_s": patience_s}
    forked = Workers(forge, order)
    try:
        yield forked
    finally:
        forked.kill()


async def work(slot: int, directory: str, given: Json, patience_s: float) -> None:
    """Serve until killed. Unlike workers of an arbiter, each has a port of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    here, arbiter = socket.socketpair()
    seat = Seat(slot, listening, Path(directory), b"the same for all workers", here)
    proxy = Sidecache(Settings.model_validate(given), seat=seat)
    assert proxy.relay is not None
    proxy.relay._answer_s = proxy.relay._silent_s = patience_s
    await proxy.start()
    told = {"pid": os.getpid(), "url": proxy.url, "admin": str(seat.admin)}
    os.write(1, orjson.dumps(told) + b"\n")
    await asyncio.Event().wait()
    arbiter.close()


def fork_for_each_line() -> None:
    """Fork a worker for each line of standard input, which says what it is to be."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    while line := sys.stdin.buffer.readline():
        if os.fork() == 0:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(work(**orjson.loads(line)))


if __name__ == "__main__":
    fork_for_each_line()
