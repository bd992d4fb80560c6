"""A container of the manifests as a process of this machine: same arguments, variables and files.

What differs is where things are: paths lead to folders of the test, ports to free ones on loopback,
and names that the cluster would resolve to who stands in for them.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from support.manifest_faults import PATHS
from support.manifests import ROOT, Document, Proxy, content, moved, named, proxies, rendered
from support.redis_servers import HERE, free_port

LIMIT_S: Final = 40.0  # for any wait; a busy machine takes seconds to start Python
_ADDRESS: Final = re.compile(r"(?:0\.0\.0\.0|127\.0\.0\.1):(\d+)")


class Running:
    """A process that was started as the container says."""

    def __init__(
        self, process: asyncio.subprocess.Process, ports: Mapping[int, int], log: Path, pod: Proxy
    ) -> None:
        self._process = process
        self._ports = ports
        self._log = log
        self._pod = pod

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it has told so far."""
        lines = self._log.read_bytes().splitlines()
        return [orjson.loads(line) for line in lines if line.startswith(b"{")]

    def url(self, port: str | int) -> str:
        """Where a port of the container, by its name or number, can be reached here."""
        number = self._pod.ports[port] if isinstance(port, str) else port
        return f"http://{HERE}:{self._ports[number]}"

    async def probe(self, probe: Document) -> int:
        """The status that the kubelet would see; 0 for no answer."""
        asked = probe["httpGet"]
        timeout = aiohttp.ClientTimeout(total=5)
        with suppress(aiohttp.ClientConnectionError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.get(self.url(asked["port"]) + asked["path"]) as answer,
            ):
                return answer.status
        return 0

    async def until_started(self) -> None:
        """Ask as the startup probe does, until it passes."""
        async with asyncio.timeout(LIMIT_S):
            while await self.probe(self._pod.container["startupProbe"]) != 200:
                assert self._process.returncode is None, self._log.read_text()
                await asyncio.sleep(0.05)  # a probe is repeated, nothing tells of the first success

    async def stopped(self) -> int:
        """Tell it to stop, as somebody at a terminal would, and wait; the exit status."""
        self._process.send_signal(signal.SIGINT)
        async with asyncio.timeout(LIMIT_S):
            return await self._process.wait()


@asynccontextmanager
async def running(
    pod: Proxy, folder: Path, names: Mapping[str, str], others: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """The proxy in ``pod``, started, until the block ends.

    Args:
        pod: the container.
        folder: for its volumes; empty.
        names: who stands in for what the cluster, or the world, knows by these.
        others: further variables.
    """
    places = pod.fill(folder)
    ports: dict[int, int] = {}

    def here(text: str) -> str:
        for name, address in names.items():
            text = text.replace(name, address)
        return text

    def address(found: re.Match[str]) -> str:
        return f"{HERE}:{ports.setdefault(int(found[1]), free_port())}"

    for file in (file for place in places.values() for file in place.iterdir()):
        file.chmod(0o600)
        file.write_text(here(file.read_text()))
        file.chmod(0o440)
    variables = {
        name: _ADDRESS.sub(address, here(moved(text, places)))
        for name, text in pod.environment().items()
    }
    with tempfile.TemporaryDirectory() as short:  # paths of sockets are bounded
        place = Path(short, "tmp")
        place.symlink_to(places["/tmp"])  # noqa: ASYNC240 - a moment, in a test
        async with process(
            (sys.executable, "-m", "proxy", *pod.container["args"]),
            {**variables, **(others or {}), "TMPDIR": str(place), "HOME": "/nonexistent"},
            folder / "log",
        ) as started:
            its = Running(started, ports, folder / "log", pod)
            await its.until_started()
            yield its


@asynccontextmanager
async def process(
    command: Sequence[str], variables: Mapping[str, str], log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that knows these variables and nothing of this one's, until the block ends."""
    with log.open("wb") as told:
        started = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=told,
            stderr=told,
        )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


# -- what comes to it ---------------------------------------------------------------------------

QUESTION = {"model": "demo", "messages": [{"role": "user", "content": "Who pays for it?"}]}


async def ask(url: str, *, times: int = 1) -> list[tuple[str | None, str | None]]:
    """What the cache did, and who says so; all over one connection, and so by one worker."""
    told: list[tuple[str | None, str | None]] = []
    async with aiohttp.ClientSession() as http:
        for _ in range(times):
            async with http.post(f"{url}/v1/chat/completions", json=QUESTION) as reply:
                assert reply.status == 200, await reply.text()
                await reply.read()
                status = reply.headers.get("Cache-Status", "")
                told.append((reply.headers.get("X-Cache"), status.partition(";")[0]))
    return told


async def scrape(pod: Running, documents: list[Document], *, token: bool = True) -> tuple[int, str]:
    """What Prometheus is told where it asks as the PodMonitor says."""
    monitor = named(rendered("gateway"), "PodMonitor", "sidecache")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    allowed = endpoint["authorization"]
    secret = content(named(documents, "Secret", allowed["credentials"]["name"]))
    header = f"{allowed['type']} {secret[allowed['credentials']['key']]}"
    async with (
        aiohttp.ClientSession() as http,
        http.get(
            pod.url(endpoint["port"]) + endpoint["path"],
            headers={"Authorization": header} if token else {},
        ) as reply,
    ):
        return reply.status, await reply.text()


def total(metrics: str, name: str, **labels: str) -> float:
    """The sum of all series of this name that have these labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        float(line.rpartition(" ")[2])
        for line in metrics.splitlines()
        if line.startswith(f"{name}{{") and all(each in line for each in wanted)
    )


async def works(pod: Running, documents: list[Document], port: str | int, name: str) -> None:
    """Probes pass, a question is answered from the cache, and a scrape tells of it."""
    (proxy,) = proxies(documents)
    for kind in PATHS:
        assert await pod.probe(proxy.container[kind]) == 200
    assert await ask(pod.url(port), times=2) == [("MISS", name), ("HIT", name)]

    assert (await scrape(pod, documents, token=False))[0] == 401
    status, metrics = await scrape(pod, documents)
    assert status == 200
    assert total(metrics, "sidecache_requests_total", outcome="hit") >= 1
    assert total(metrics, "sidecache_requests_total", outcome="miss") >= 1


async def counted(pod: Running, documents: list[Document], name: str, **labels: str) -> float:
    """What a scrape tells of the Redis tier under this name."""
    status, metrics = await scrape(pod, documents)
    assert status == 200, metrics
    return total(metrics, name, tier="l2_redis", **labels)


async def until_counted(pod: Running, documents: list[Document], name: str, **labels: str) -> None:
    """Scrape until it does, for nothing else tells."""
    async with asyncio.timeout(LIMIT_S):
        while not await counted(pod, documents, name, **labels):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
