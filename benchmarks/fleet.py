"""Two proxies on one Redis: how far a follower is behind the leader, and what that costs a miss.

The backend and all clients are this process, so that one clock times them. The proxies are
processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from statistics import median, quantiles
from time import perf_counter

import aiohttp
import orjson
from aiohttp import web

from benchmarks import serving

BEHIND_AT_MOST_MS = 20.0  # first token, p99
PATH = serving.PATH
SECRET = "the same for all replicas"


def event(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    about = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: %b\n\n" % orjson.dumps({**about, "choices": [choice]})


@contextmanager
def redis() -> Iterator[str]:
    """A server on a free port; its URL."""
    port = serving.free_port()
    with tempfile.TemporaryDirectory() as folder:
        words = ["redis-server", "--port", str(port), "--dir", folder, "--save", ""]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if "Ready to accept" in line:
                    break
            try:
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                process.terminate()


class Backend:
    """Streams what it is told to, once somebody has asked."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[asyncio.Queue[bytes]] = asyncio.Queue()
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.asked.put_nowait(pieces)
        piece = await pieces.get()
        await response.prepare(request)
        while piece:
            await response.write(piece)
            piece = await pieces.get()
        return response


@asynccontextmanager
async def streaming() -> AsyncIterator[Backend]:
    backend = Backend()
    runner = web.ServerRunner(web.Server(backend.answer, access_log=None))
    await runner.setup()
    port = serving.free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    backend.url = f"http://127.0.0.1:{port}"
    try:
        yield backend
    finally:
        await runner.cleanup()


class Hearing:
    """One client, and when it heard what."""

    def __init__(self, session: aiohttp.ClientSession, url: str, text: str) -> None:
        asked = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}
        self._posting = session.post(url, json=asked)
        self.first = asyncio.Event()
        self.first_at = self.end_at = 0.0
        self.verdict = ""
        self.task = asyncio.create_task(self._hear())  # noqa: TID251 - awaited by who made it

    async def _hear(self) -> None:
        async with self._posting as reply:
            self.verdict = reply.headers["X-Cache"]
            async for _ in reply.content.iter_any():
                if not self.first_at:
                    self.first_at = perf_counter()
                    self.first.set()
            self.end_at = perf_counter()


async def lags(backend: Backend, one: str, other: str, trials: int, events: int) -> None:
    behind, rates, end_behind = [], [], []
    async with aiohttp.ClientSession() as session:
        for number in range(trials):
            leader = Hearing(session, one, f"{os.getpid()} {number}")
            pieces = await backend.asked.get()
            follower = Hearing(session, other, f"{os.getpid()} {number}")
            await asyncio.sleep(0.02)  # it has asked the leader by then
            pieces.put_nowait(event("a"))
            await asyncio.gather(leader.first.wait(), follower.first.wait())
            behind.append((follower.first_at - leader.first_at) * 1e3)
            many = events if number % 10 == 9 else 1
            began = perf_counter()
            for _ in range(many):
                pieces.put_nowait(event("b"))
            for last in (event("", "stop"), b"data: [DONE]\n\n", b""):
                pieces.put_nowait(last)
            await asyncio.gather(leader.task, follower.task)
            if (leader.verdict, follower.verdict) != ("MISS", "COALESCED"):
                raise RuntimeError(f"{leader.verdict}, {follower.verdict}")
            if many > 1:
                rates.append(many / (follower.end_at - began))
                end_behind.append((follower.end_at - leader.end_at) * 1e3)
    p99 = quantiles(behind, n=100)[98]
    print(
        f"first token, behind the leader's: p50 {median(behind):.2f} ms, p99 {p99:.2f} ms"
        f" (at most {BEHIND_AT_MOST_MS:.0f})"
    )
    print(f"{events} events at once: {median(rates):,.0f} a second reach the follower,")
    print(f"  the last {median(end_behind):.1f} ms behind the leader's")


@contextmanager
def replica(upstream: str, url: str, *, flights: bool) -> Iterator[serving.Target]:
    os.environ["SIDECACHE_CACHE__SCOPE__SECRET"] = SECRET
    os.environ["SIDECACHE_L2_REDIS__FLIGHTS"] = str(flights).lower()
    with serving.sidecache(upstream, "--no-disk", "--redis", url) as target:
        yield target


def misses(url: str, rounds: int, seconds: float) -> None:
    """A miss with the relay and without, in turn."""
    runs: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    options = ("--seconds", str(seconds), "--connections", "1", "--unique")
    with (
        serving.backend() as upstream,
        replica(upstream.url, url, flights=True) as sharing,
        replica(upstream.url, url, flights=False) as alone,
    ):
        for number in range(rounds):
            pair = [(True, sharing), (False, alone)]
            for flights, target in pair if number % 2 else reversed(pair):
                runs[flights].append(serving.load(target, *options))
    for figure in ("p50_ms", "p99_ms", "cpu_us"):
        there, gone = (median(run[figure] for run in runs[flights]) for flights in (True, False))
        adds = median(a[figure] - b[figure] for a, b in zip(runs[True], runs[False], strict=True))
        print(f"a miss, {figure}: {there:.3f} shared, {gone:.3f} alone, sharing adds {adds:.3f}")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="fleet")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.5)
    args = parser.parse_args(argv)

    async def heard(url: str) -> None:
        async with streaming() as backend:
            with ExitStack() as stack:
                # Starting a process blocks this loop, which nothing needs meanwhile.
                one, other = (
                    stack.enter_context(replica(backend.url, url, flights=True)).url
                    for _ in range(2)
                )
                await lags(backend, one, other, args.trials, args.events)

    with redis() as url:
        asyncio.run(heard(url))
        misses(url, args.rounds, args.seconds)
    return 0
