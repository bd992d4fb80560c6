"""Vectors of single texts, asked for together and one by one; a call to the backend has its price.

The backend and all clients are this process; it takes one call at a time, as a model on one
accelerator does, and for each so long plus so long for each input. The proxies are processes of
their own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import count
from statistics import fmean, median
from time import perf_counter

import aiohttp
import orjson
from aiohttp import web

from benchmarks import serving

PATH = "/v1/embeddings"
AT_ONCE = 200
CALLS_AT_MOST = 6
GAIN_AT_LEAST = 3.0  # inputs a second, beside the same without batching
_DIMENSIONS = 768
_NUMBER = count(os.getpid() * 1_000_000)  # no text twice, whatever was asked before


class Backend:
    """Takes ``call_s`` seconds a call, and ``input_s`` for each input in it."""

    def __init__(self, call_s: float, input_s: float) -> None:
        self.sizes: list[int] = []
        self.url = ""
        self._call_s = call_s
        self._input_s = input_s
        self._free = asyncio.Lock()
        self._vector = orjson.Fragment(orjson.dumps([n / 1000 for n in range(_DIMENSIONS)]))

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = orjson.loads(await request.read())
        inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        async with self._free:
            self.sizes.append(len(inputs))
            await asyncio.sleep(self._call_s + self._input_s * len(inputs))
        data = [
            {"object": "embedding", "index": at, "embedding": self._vector}
            for at in range(len(inputs))
        ]
        tokens = sum(map(len, inputs))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        told = {"object": "list", "data": data, "model": asked["model"], "usage": usage}
        return web.Response(body=orjson.dumps(told), content_type="application/json")


@asynccontextmanager
async def backend(call_s: float, input_s: float) -> AsyncIterator[Backend]:
    made = Backend(call_s, input_s)
    runner = web.ServerRunner(web.Server(made.answer, access_log=None))
    await runner.setup()
    port = serving.free_port()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
    made.url = f"http://127.0.0.1:{port}"
    try:
        yield made
    finally:
        await runner.cleanup()


@contextmanager
def proxy(upstream: str, *, batching: bool) -> Iterator[str]:
    os.environ["SIDECACHE_EMBEDDINGS__BATCHING__ENABLED"] = str(batching).lower()
    with serving.sidecache(upstream, "--no-disk") as target:
        yield target.url.removesuffix(serving.PATH)


def text() -> str:
    return f"text {next(_NUMBER)}"


async def ask(session: aiohttp.ClientSession, url: str, inputs: str | list[str]) -> float:
    """Seconds until the vectors were here."""
    began = perf_counter()
    async with session.post(url + PATH, json={"model": "e", "input": inputs}) as reply:
        await reply.read()
        reply.raise_for_status()
    return perf_counter() - began


async def at_once(session: aiohttp.ClientSession, url: str) -> None:
    await asyncio.gather(*(ask(session, url, text()) for _ in range(AT_ONCE)))


async def steadily(
    session: aiohttp.ClientSession, url: str, seconds: float, callers: int
) -> tuple[float, float]:
    """Inputs a second, and the median of what each took, of ``callers`` who ask in turn."""
    took: list[float] = []
    began = perf_counter()

    async def caller() -> None:
        while perf_counter() < began + seconds:
            took.append(await ask(session, url, text()))

    await asyncio.gather(*(caller() for _ in range(callers)))
    return len(took) / (perf_counter() - began), median(took)


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    began = perf_counter()
    await work()
    return perf_counter() - began


async def measure(args: argparse.Namespace) -> None:
    async with (
        backend(args.call_ms / 1e3, args.input_ms / 1e3) as upstream,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        with ExitStack() as stack:
            # Starting a process blocks this loop, which nothing needs meanwhile.
            urls = {
                "direct": upstream.url,
                "one by one": stack.enter_context(proxy(upstream.url, batching=False)),
                "together": stack.enter_context(proxy(upstream.url, batching=True)),
            }
            print(f"a call costs {args.call_ms:g} ms, and {args.input_ms:g} ms for each input")
            await crowds(session, upstream, urls, args.rounds)
            await rates(session, upstream, urls, args)
            await batches(session, urls["together"], upstream, args.rounds)


async def crowds(
    session: aiohttp.ClientSession, upstream: Backend, urls: dict[str, str], rounds: int
) -> None:
    for name, url in urls.items():
        calls, times = [], []
        for _ in range(rounds):
            upstream.sizes.clear()
            times.append(await timed(lambda url=url: at_once(session, url)))
            calls.append(len(upstream.sizes))
        limit = f" (at most {CALLS_AT_MOST})" if name == "together" else ""
        print(
            f"{AT_ONCE} inputs at once, {name}: {min(calls)} to {max(calls)} calls{limit}, "
            f"{median(times) * 1e3:,.0f} ms"
        )


async def rates(
    session: aiohttp.ClientSession,
    upstream: Backend,
    urls: dict[str, str],
    args: argparse.Namespace,
) -> None:
    rate: dict[str, float] = {}
    for callers in (1, 8, 64):
        for name, url in urls.items():
            upstream.sizes.clear()
            runs = [await steadily(session, url, args.seconds, callers) for _ in range(args.rounds)]
            rate[name] = median(run[0] for run in runs)
            p50 = median(run[1] for run in runs) * 1e3
            size = fmean(upstream.sizes)
            print(
                f"{callers:3} callers, {name}: {rate[name]:,.0f} a second, p50 {p50:,.1f} ms, "
                f"{size:.1f} inputs a call"
            )
        print(f"{callers:3} callers: a gain of {rate['together'] / rate['one by one']:.1f}")
    gain = rate["together"] / rate["one by one"]
    print(f"the gain of 64 callers is {gain:.1f} (at least {GAIN_AT_LEAST:g})")


async def batches(session: aiohttp.ClientSession, url: str, upstream: Backend, rounds: int) -> None:
    """A request with 100 inputs, of which more and more are known."""
    for known in (0, 80, 100):
        times, sizes = [], []
        for _ in range(rounds * 3):
            texts = [text() for _ in range(100)]
            if known:
                await ask(session, url, texts[:known])
            upstream.sizes.clear()
            times.append(await ask(session, url, texts))
            sizes += upstream.sizes
        asked = f"{sizes[0]} asked for" if sizes else "none asked for"
        print(f"a batch of 100 with {known} known: {asked}, {median(times) * 1e3:.1f} ms")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="embeddings")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--call-ms", type=float, default=20.0)
    parser.add_argument("--input-ms", type=float, default=0.2)
    asyncio.run(measure(parser.parse_args(argv)))
    return 0
