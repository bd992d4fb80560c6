"""``python -m proxy serve`` as a process of its own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import signal
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[2]
LIMIT_S = 30.0  # for any wait; a busy machine takes seconds to start Python


class Served:
    """A running process; ``events`` are the log lines it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.events: list[dict[str, Any]] = []
        self.url = ""
        self.admin = ""

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def peak_bytes(self) -> int:
        """The most memory it has had since it was started, or since ``forget_peak``."""
        return self._status("VmHWM")

    @property
    def descriptors(self) -> int:
        """How many are open."""
        return sum(1 for _ in Path(f"/proc/{self._process.pid}/fd").iterdir())

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time that it has had."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def forget_peak(self) -> int:
        """Count the peak anew; the memory it has now."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")  # proc(5)
        return self._status("VmRSS")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {name}")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def told(self, event: str) -> dict[str, Any]:
        """Wait for a log line of this name."""
        assert self._process.stderr is not None
        async with asyncio.timeout(LIMIT_S):
            while line := await self._process.stderr.readline():
                self.events.append(orjson.loads(line))
                if self.events[-1]["event"] == event:
                    return self.events[-1]
        raise AssertionError(f"the process ended without {event!r}: {self.events}")

    async def ended(self) -> int:
        """Wait for its end; the exit status, negative for the signal that killed it."""
        assert self._process.stderr is not None
        async with asyncio.timeout(LIMIT_S):
            rest = await self._process.stderr.read()
            self.events += [orjson.loads(line) for line in rest.splitlines()]
            return await self._process.wait()


@asynccontextmanager
async def served(
    upstream: str,
    terminal: int | None = None,
    *,
    descriptors: int | None = None,
    **settings: str,
) -> AsyncIterator[Served]:
    """Serve ``upstream`` on free ports until the block ends; ``settings`` as in the environment.

    Without an ``upstream`` it is the one that the settings name. ``terminal`` is an open one to
    start it in, ``descriptors`` how many it may have.
    """
    words = ("--upstream", upstream) if upstream else ()
    process = await _start(
        *words,
        *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
        terminal=terminal,
        descriptors=descriptors,
        **settings,
    )
    served = Served(process)
    try:
        about = await served.told("listening")
        served.url, served.admin = about["url"], about["admin"]
        yield served
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def refused(*words: str, **settings: str) -> tuple[int, str]:
    """The exit status of a process that cannot start, and what it says."""
    process = await _start(*words, **settings)
    try:
        async with asyncio.timeout(LIMIT_S):
            _, told = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode is not None
    return process.returncode, told.decode()


async def _start(
    *words: str, terminal: int | None = None, descriptors: int | None = None, **settings: str
) -> asyncio.subprocess.Process:
    def first() -> None:
        if terminal is not None:
            os.setsid()
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    own = {name: value for name, value in os.environ.items() if not name.startswith("SIDECACHE")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "serve", *words),
        cwd=ROOT,
        env=own | {"SIDECACHE_L2_DISK__ENABLED": "false"} | settings,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=None if terminal is None and descriptors is None else first,
    )
