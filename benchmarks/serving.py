"""Hits and misses per second, and what a miss adds, beside bare aiohttp in the same run.

The server under test has the first core to itself, the load generator (and the backend) the last.
Each pair is measured in turn, three times over; medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.request import urlopen

PATH = "/v1/chat/completions"
HITS_AT_LEAST = 0.7  # of bare aiohttp
MISS_ADDS_AT_MOST_MS = 0.6  # p50 at concurrency 1


def pinned(core: int) -> list[str]:
    """The words that pin a command to a core, where that can be done."""
    try:
        cores = sorted(os.sched_getaffinity(0))
        subprocess.run(["taskset", "-V"], check=True, capture_output=True)
    except (AttributeError, OSError):
        return []
    return ["taskset", "-c", str(cores[core])] if len(cores) > 1 else []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(process: int) -> float:
    """Seconds of processor time a process has had so far; 0 where nobody can tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def starved_seconds(process: int) -> float:
    """Seconds a process could have run so far but had no core; 0 where nobody can tell."""
    try:
        threads = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/schedstat")]
    except OSError:
        return 0.0
    return sum(int(thread.split()[1]) for thread in threads) / 1e9


@dataclass(frozen=True)
class Target:
    """A server under load."""

    url: str
    process: int
    admin: str = ""


@contextmanager
def running(
    words: list[str], core: int, ready: str, log: Path = Path(os.devnull)
) -> Iterator[subprocess.Popen[str]]:
    """A server that has said it listens; ended at the end.

    ``ready`` is a URL that answers once it does, or "" for a server that prints "ready". What it
    says on standard error goes to ``log``.
    """
    command = [*pinned(core), sys.executable, *words]
    with (
        log.open("ab") as told,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, text=True) as process,
    ):
        try:
            if ready:
                until_answers(ready)
            elif process.stdout is None or "ready" not in process.stdout.readline():
                raise RuntimeError(f"{' '.join(words)} did not start")
            yield process
        finally:
            process.terminate()
            process.wait(15)


def until_answers(url: str, within_s: float = 15.0) -> float:
    """Seconds until ``url`` answers."""
    began = time.perf_counter()
    while time.perf_counter() - began < within_s:
        try:
            with urlopen(url, timeout=1):
                return time.perf_counter() - began
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f"{url} does not answer")


def load(target: Target, *options: str) -> dict[str, float]:
    """One run of the load generator on the last core, and what it cost the server."""
    url, before = target.url, cpu_seconds(target.process)
    command = [*pinned(-1), sys.executable, "-m", "benchmarks.load", url, *options]
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    if not printed.stdout:
        raise RuntimeError(printed.stderr)
    result: dict[str, float] = json.loads(printed.stdout)
    if "fault" in result:
        raise RuntimeError(f"{url}: {result['fault']}")
    used = cpu_seconds(target.process) - before
    result["cpu_us"] = used / result["sent"] * 1e6
    return result


@contextmanager
def backend() -> Iterator[Target]:
    port = free_port()
    with running(["-m", "benchmarks.servers", "backend", str(port)], -1, "") as process:
        yield Target(f"http://127.0.0.1:{port}", process.pid)


@contextmanager
def bare(name: str) -> Iterator[Target]:
    port = free_port()
    with running(["-m", "benchmarks.servers", name, str(port)], 0, "") as process:
        yield Target(f"http://127.0.0.1:{port}{PATH}", process.pid)


@contextmanager
def sidecache(
    upstream: str, *flags: str, core: int = 0, log: Path = Path(os.devnull)
) -> Iterator[Target]:
    port, admin = free_port(), free_port()
    words = ["-m", "proxy", "serve", *(["--upstream", upstream] if upstream else [])]
    words += ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"]
    words += flags
    # A new folder: what an earlier run has kept on disk would be no miss.
    kept = tempfile.TemporaryDirectory()
    os.environ["SIDECACHE_L2_DISK__DIRECTORY"] = kept.name
    with kept, running(words, core, f"http://127.0.0.1:{admin}/readyz", log) as process:
        yield Target(f"http://127.0.0.1:{port}{PATH}", process.pid, f"http://127.0.0.1:{admin}")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="serving")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-disk", action="store_true", help="with the memory tier alone")
    args = parser.parse_args(argv)
    timed = ["--seconds", str(args.seconds)]
    many = [*timed, "--connections", str(args.connections)]
    one = [*timed, "--connections", "1", "--unique"]

    runs: dict[str, list[dict[str, float]]] = {}
    with (
        backend() as upstream,
        bare("bare") as plain,
        bare("application") as app,
        sidecache(upstream.url, *(["--no-disk"] if args.no_disk else [])) as proxy,
    ):
        direct = Target(upstream.url + PATH, upstream.process)
        for _ in range(args.rounds):
            for name, target, options in (
                ("hit: sidecache", proxy, [*many, "--expect", "x-cache: hit"]),
                ("hit: bare aiohttp web.Server", plain, many),
                ("hit: bare aiohttp web.Application", app, many),
                ("miss: sidecache", proxy, [*many, "--unique", "--expect", "x-cache: miss"]),
                ("one at a time: direct", direct, one),
                ("one at a time: through sidecache", proxy, one),
            ):
                runs.setdefault(name, []).append(load(target, *options))

    rows = {
        name: {figure: median(run[figure] for run in these) for figure in these[0]}
        for name, these in runs.items()
    }
    hits = rows["hit: sidecache"]["per_second"]
    ratio = hits / rows["hit: bare aiohttp web.Server"]["per_second"]
    ratio_app = hits / rows["hit: bare aiohttp web.Application"]["per_second"]
    added = {
        figure: rows["one at a time: through sidecache"][figure]
        - rows["one at a time: direct"][figure]
        for figure in ("p50_ms", "p99_ms")
    }
    if args.json:
        print(json.dumps({"rows": rows, "hit_ratio": ratio, "added": added}))
    else:
        print(f"{'':36}{'per second':>12}{'p50 ms':>10}{'p99 ms':>10}{'cpu us':>10}")
        for name, row in rows.items():
            print(
                f"{name:36}{row['per_second']:12,.0f}{row['p50_ms']:10.3f}{row['p99_ms']:10.3f}"
                f"{row['cpu_us']:10.1f}"
            )
        print(f"hits, beside bare web.Server: {ratio:.2f} (at least {HITS_AT_LEAST})")
        print(f"hits, beside bare web.Application: {ratio_app:.2f}")
        print(
            f"a miss adds {added['p50_ms']:.2f} ms p50 (at most {MISS_ADDS_AT_MOST_MS}), "
            f"{added['p99_ms']:.2f} ms p99"
        )
    return 0
