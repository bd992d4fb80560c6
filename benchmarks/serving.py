"""Servers on a core, and what they have cost it.

The server under test has the first core to itself, the load generator (and the backend) the last.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.request import urlopen

_ENDS_WITHIN_S = 60.0  # and as long to begin; a machine may be busy
_LOOK_S = 0.3
_IDLE_S = 0.005  # of processor time between two looks, at most, of a process that waits
PATH = "/v1/chat/completions"


@cache
def cores() -> list[int]:
    """The cores that this process may use, as it was begun; empty where it cannot be pinned."""
    try:
        subprocess.run(["taskset", "-V"], check=True, capture_output=True)
        return sorted(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return []


def pinned(core: int) -> list[str]:
    """The words that pin a command to a core, where that can be done."""
    return ["taskset", "-c", str(cores()[core])] if len(cores()) > 1 else []


def pin_here(core: int) -> None:
    """Pin this process to a core, where that can be done; ``pinned`` still pins to all others."""
    if len(cores()) > 1:
        os.sched_setaffinity(0, {cores()[core]})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def family(process: int) -> list[int]:
    """A process and all that descend from it, as far as anybody can tell."""
    parents: dict[int, list[int]] = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = each.read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(each.parent.name))
    found = [process]
    for each in found:  # which grows meanwhile
        found += parents.get(each, [])
    return found


def cpu_seconds(*processes: int) -> float:
    """Seconds of processor time that processes have had so far; 0 where nobody can tell.

    By their threads, to the nanosecond: what threads had that have ended is not in it.
    """
    return sum(_schedstat(process, 0) for process in processes)


def starved_seconds(*processes: int) -> float:
    """Seconds that threads could have run so far but had no core; 0 where nobody can tell."""
    return sum(_schedstat(process, 1) for process in processes)


def _schedstat(process: int, field: int) -> float:
    total = 0
    for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with suppress(OSError):  # it has ended
            total += int(path.read_text().split()[field])
    return total / 1e9


@dataclass(frozen=True)
class Target:
    """A server under load."""

    url: str
    process: int
    admin: str = ""


@contextmanager
def started(
    words: Sequence[str],
    core: int,
    *,
    log: Path = Path(os.devnull),
    env: Mapping[str, str] | None = None,
    speaks: bool = False,
) -> Iterator[subprocess.Popen[str]]:
    """A program on a core; ended at the end.

    What it says goes to ``log``, but for standard output where it ``speaks`` to us. ``env`` comes
    on top of the environment.
    """
    with (
        log.open("ab") as told,
        subprocess.Popen(
            [*pinned(core), *words],
            stdout=subprocess.PIPE if speaks else told,
            stderr=told,
            env={**os.environ, **(env or {})},
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def running(
    words: list[str],
    core: int,
    ready: str,
    log: Path = Path(os.devnull),
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A Python server that has said it listens; ended at the end.

    ``ready`` is a URL that answers once it does, or "" for a server that prints "ready".
    """
    python = [sys.executable, *words]
    with started(python, core, log=log, env=env, speaks=not ready) as process:
        if ready:
            until_answers(ready)
        elif process.stdout is None or "ready" not in process.stdout.readline():
            raise RuntimeError(f"{' '.join(words)} did not start")
        yield process


def until_listens(
    port: int, process: subprocess.Popen[str], within_s: float = _ENDS_WITHIN_S
) -> None:
    """Return once connections are taken. Raises RuntimeError if that does not come."""
    until = time.monotonic() + within_s
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nothing listens at port {port}")


def until_answers(url: str, within_s: float = _ENDS_WITHIN_S) -> float:
    """Seconds until ``url`` answers."""
    began = time.perf_counter()
    while time.perf_counter() - began < within_s:
        try:
            with urlopen(url, timeout=1):
                return time.perf_counter() - began
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f"{url} does not answer")


def until_quiet(process: int, within_s: float = _ENDS_WITHIN_S) -> None:
    """Return once a process has done what there was to do, or when time is up."""
    all_of_it, used, until = family(process), -1.0, time.monotonic() + within_s
    while (now := cpu_seconds(*all_of_it)) - used > _IDLE_S and time.monotonic() < until:
        used = now
        time.sleep(_LOOK_S)


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
    upstream: str,
    *flags: str,
    core: int = 0,
    log: Path = Path(os.devnull),
    env: Mapping[str, str] | None = None,
) -> Iterator[Target]:
    """The proxy; ``env`` may hold settings. What it keeps on disk is gone at the end."""
    port, admin = free_port(), free_port()
    words = ["-m", "proxy", "serve", *(["--upstream", upstream] if upstream else [])]
    words += ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"]
    words += flags
    ready = f"http://127.0.0.1:{admin}/readyz"
    # A new folder: what an earlier run has kept on disk would be no miss.
    with tempfile.TemporaryDirectory() as kept:
        settings = {"SIDECACHE_L2_DISK__DIRECTORY": kept, **(env or {})}
        with running(words, core, ready, log, settings) as process:
            yield Target(f"http://127.0.0.1:{port}{PATH}", process.pid, ready[: -len("/readyz")])
