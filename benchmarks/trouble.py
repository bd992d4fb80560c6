"""A Redis that can be made to hang or die, and two proxies that share it, one of which has work."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks.load import COUNTER, chat
from benchmarks.serving import (
    Target,
    backend,
    cpu_seconds,
    free_port,
    pinned,
    sidecache,
    starved_seconds,
)
from benchmarks.steady import REPEATS, Sample

_STEP = 1_000_000  # questions apart that two runs of the load begin
_OWN = 900_000_000  # the first question that is not the load's
_GIVE_UP_S = 60.0


class Redis:
    """A ``redis-server`` that keeps nothing on disk."""

    def __init__(self) -> None:
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Start it, and do not wait until it answers."""
        words = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen([*pinned(-1), *words], stdout=subprocess.DEVNULL)

    def until_up(self) -> None:
        """Return once it takes connections."""
        until = time.monotonic() + _GIVE_UP_S
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        raise RuntimeError("redis-server did not start")

    def hang(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass
class Load:
    """A run of the load generator; what came of it is known at its end."""

    began: float  # seconds on the monotonic clock
    samples: list[Sample] = field(default_factory=list)
    cpu: float = 0.0  # the share of a core that the proxy took
    starved: float = 0.0  # the share of the time that it wanted one and others had it

    def until(self, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Do something five times a second until so long after the beginning."""
        while (left := self.began + seconds - time.monotonic()) > 0:
            meanwhile()
            time.sleep(min(left, 0.2))


class Scene:
    """Two proxies that share a Redis; the first is under load, and its log is read.

    Args:
        rate: requests a second that the load consists of.
    """

    def __init__(self, redis: Redis, proxy: Target, other: Target, log: Path, rate: float) -> None:
        self.redis = redis
        self._proxy = proxy
        self._other = other
        self._log = log
        self._read = 0
        self._rate = rate
        self._runs = count(_STEP, _STEP)
        self._asked = count(_OWN)

    @contextmanager
    def load(self, seconds: float) -> Iterator[Load]:
        """A steady load, which the end of the block waits for."""
        command = [*pinned(-1), sys.executable, "-m", "benchmarks.steady", self._proxy.url]
        command += ["--first", str(next(self._runs)), "--rate", str(self._rate)]
        command += ["--seconds", str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            load = Load(float(process.stdout.readline()))
            proxy = self._proxy.process
            used, starved = cpu_seconds(proxy), starved_seconds(proxy)
            yield load
            printed = process.stdout.readline()
            if not printed:
                raise RuntimeError("the load generator failed")
            load.samples = [Sample(*each) for each in json.loads(printed)]
            took = time.monotonic() - load.began
            load.cpu = (cpu_seconds(proxy) - used) / took
            load.starved = (starved_seconds(proxy) - starved) / took

    def shares(self) -> bool:
        """Whether an answer that the first proxy is given now is found by the second at once."""
        body = chat(unique=True).replace(COUNTER, b"%d" % next(self._asked))
        _ask(self._proxy, body)
        time.sleep(0.02)  # it is written behind
        return _ask(self._other, body) == "HIT"

    def until_it_shares(self) -> float:
        """Seconds until what one proxy stores is found by the other."""
        began = time.monotonic()
        while not self.shares():
            if time.monotonic() - began > _GIVE_UP_S:
                raise RuntimeError("the proxies do not share their answers any more")
        return time.monotonic() - began

    def told(self) -> list[str]:
        """What the first proxy logged since this was asked last, requests aside."""
        time.sleep(0.3)  # lines wait for company
        with self._log.open("rb") as file:
            file.seek(self._read)
            events = [json.loads(line) for line in file]
            self._read = file.tell()
        return [
            str(event.get("standing", event["event"]))
            for event in events
            if event["event"] != "request"
        ]


@contextmanager
def scene(rate: float) -> Iterator[Scene]:
    """All that is needed, warmed up; ended with the block."""
    os.environ["SIDECACHE_CACHE__SCOPE__SECRET"] = "the same for both"
    redis = Redis()
    flags = ["--redis", f"redis://127.0.0.1:{redis.port}", "--no-disk", "--log-format", "json"]
    try:
        redis.until_up()
        with (
            tempfile.TemporaryDirectory() as folder,
            backend() as upstream,
            sidecache(upstream.url, *flags, log=(log := Path(folder, "log"))) as proxy,
            sidecache(upstream.url, *flags, core=-1) as other,
        ):
            made = Scene(redis, proxy, other, log, rate)
            with made.load(max(2.0, 2 * REPEATS / rate)):
                pass  # what repeats is in memory from now on
            made.until_it_shares()
            made.told()
            yield made
    finally:
        redis.kill()
        del os.environ["SIDECACHE_CACHE__SCOPE__SECRET"]


def _ask(proxy: Target, body: bytes) -> str:
    """What ``X-Cache`` says of the answer."""
    fields = {"Content-Type": "application/json", "Authorization": "Bearer sk-bench"}
    with urlopen(Request(proxy.url, body, fields), timeout=15) as response:
        return str(response.headers["X-Cache"])
