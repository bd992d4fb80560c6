"""How soon ``sidecache serve`` is ready and how much memory it holds when idle."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.frame.contest import contest, middle
from benchmarks.frame.drive import Figures
from benchmarks.frame.options import Options
from benchmarks.frame.report import Claim, Table
from benchmarks.serving import cpu_seconds, free_port, pinned, until_answers
from benchmarks.streams import resident

READY_WITHIN_S: Final = 1.0
IDLE_AT_MOST_MB: Final = 60
NAME: Final = "sidecache serve"
_SETTLES_S: Final = 1.0


def start_once() -> Figures:
    """Seconds until ready, and megabytes resident a second later."""
    listen, admin = free_port(), free_port()
    words = [*pinned(0), sys.executable, "-m", "proxy", "serve", "--upstream", "http://127.0.0.1:9"]
    words += ["--listen", f"127.0.0.1:{listen}", "--admin", f"127.0.0.1:{admin}"]
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "SIDECACHE_L2_DISK__DIRECTORY": folder}
        with subprocess.Popen(words, stderr=subprocess.DEVNULL, env=env) as process:
            try:
                ready_s = until_answers(f"http://127.0.0.1:{admin}/readyz")
                used = cpu_seconds(process.pid)
                time.sleep(_SETTLES_S)
                idle = resident(process.pid) / 2**20
                return {"ready_s": ready_s, "cpu_s": used, "idle_mb": idle}
            finally:
                process.terminate()
                process.wait(15)


def measure(given: Options) -> Iterator[Table]:
    if not Path("/proc/self/statm").exists():
        yield Table("footprint", "start-up and idle memory: needs /proc to tell it", (), ())
        return
    runs = contest({NAME: start_once}, max(given.rounds, 5))
    ready, idle = middle(runs, NAME, "ready_s"), middle(runs, NAME, "idle_mb")
    yield Table(
        "footprint",
        "start-up, and memory when idle",
        ("ready after, s", "CPU until then, s", "resident, MB"),
        [(NAME, [ready, middle(runs, NAME, "cpu_s"), idle])],
        [
            Claim("ready after", ready, READY_WITHIN_S, unit="s"),
            Claim("idle memory", idle, IDLE_AT_MOST_MB, unit="MB"),
        ],
    )
