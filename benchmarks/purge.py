"""What a purge costs: the one who asks for it until all replicas obey, and everybody's hits after.

A hit on what is older than some purge is looked up in the ledger, by all its labels; on what is
newer, two numbers are compared. Both are set beside a proxy that never purged anything, in turn.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median, quantiles
from urllib.parse import urlsplit

from benchmarks.serving import Target, backend, load, sidecache
from benchmarks.trouble import Redis

_AT_ONCE = 1000  # the most values of one call


@contextmanager
def operator(proxy: Target) -> Iterator[http.client.HTTPConnection]:
    """A connection to the admin listener of ``proxy``."""
    place = urlsplit(proxy.admin)
    assert place.hostname is not None
    line = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    try:
        yield line
    finally:
        line.close()


def purge(line: http.client.HTTPConnection, *tags: str) -> float:
    """Seconds until all replicas obeyed."""
    body = json.dumps({"kind": "tag", "values": tags})
    began = time.perf_counter()
    line.request("POST", "/purge", body, {"Content-Type": "application/json"})
    reply = line.getresponse()
    said = reply.read()
    if reply.status != 200:
        raise RuntimeError(said.decode())
    return time.perf_counter() - began


def call_row(name: str, proxy: Target, calls: int) -> None:
    with operator(proxy) as line:
        purge(line, "first")
        one = [purge(line, f"tag {number}") * 1e3 for number in range(calls)]
        many = purge(line, *(f"many {number}" for number in range(_AT_ONCE))) * 1e3
    p99 = quantiles(one, n=100)[98]
    print(f"{name:40}{median(one):12.2f}{p99:10.2f}{many:14.0f}")


def calls(upstream: str, redis: Redis, number: int) -> None:
    print(f"{'a purge, in ms':40}{'p50':>12}{'p99':>10}{'1000 at once':>14}")
    shared = ["--no-disk", "--redis", f"redis://127.0.0.1:{redis.port}"]
    with sidecache(upstream, "--no-disk") as alone:
        call_row("memory alone", alone, number)
    with sidecache(upstream) as alone:
        call_row("disk", alone, number)
    with sidecache(upstream, *shared) as one:
        call_row("Redis, 1 replica", one, number)
        with sidecache(upstream, *shared, core=-1):
            call_row("Redis, 2 replicas", one, number)


def hits(upstream: str, rounds: int, seconds: float) -> None:
    """The processor time of a hit, beside that in a proxy without purges."""
    options = ["--seconds", str(seconds), "--expect", "x-cache: hit"]
    never: list[float] = []
    ratios: dict[str, list[float]] = {"older than the purges": [], "newer": []}
    with ExitStack() as stack:
        proxies = [stack.enter_context(sidecache(upstream, "--no-disk")) for _ in range(3)]
        spared, older, newer = proxies
        for each in (spared, older):
            load(each, *options)
        for each in (older, newer):
            with operator(each) as line:
                for first in range(0, 10 * _AT_ONCE, _AT_ONCE):
                    purge(line, *(f"tag {first + number}" for number in range(_AT_ONCE)))
        load(newer, *options)
        for _ in range(rounds):
            never.append(load(spared, *options)["cpu_us"])
            for name, each in (("older than the purges", older), ("newer", newer)):
                ratios[name].append(load(each, *options)["cpu_us"] / never[-1])
    print(f"\na hit while 10,000 tags are purged, beside {median(never):.1f} us of processor time")
    for name, each_ratio in ratios.items():
        low, middle, high = quantiles(each_ratio, n=4)
        print(f"{name:40}{middle:12.2f}  ({low:.2f} to {high:.2f})")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="purge", description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=9, help="2 or more: the middle half is told")
    parser.add_argument("--seconds", type=float, default=1.0)
    args = parser.parse_args(argv)
    if args.calls < 2 or args.rounds < 2:
        parser.error("a spread needs two calls and two rounds at least")
    os.environ["SIDECACHE_CACHE__SCOPE__SECRET"] = "the same for all replicas"
    os.environ["SIDECACHE_L2_REDIS__TIMEOUT_S"] = "1"
    redis = Redis()
    try:
        redis.until_up()
        with backend() as upstream:
            calls(upstream.url, redis, args.calls)
            hits(upstream.url, args.rounds, args.seconds)
    finally:
        redis.kill()
    return 0
