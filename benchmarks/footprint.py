"""How soon ``sidecache serve`` is ready and how much memory it holds when idle."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.serving import free_port, until_answers

READY_WITHIN_S = 1.0
IDLE_AT_MOST_MB = 60


def start_once() -> tuple[float, float]:
    """Seconds until ready, and megabytes resident a second later."""
    listen, admin = free_port(), free_port()
    words = ["-m", "proxy", "serve", "--upstream", "http://127.0.0.1:9"]
    words += ["--listen", f"127.0.0.1:{listen}", "--admin", f"127.0.0.1:{admin}"]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL) as process:
        try:
            ready_s = until_answers(f"http://127.0.0.1:{admin}/readyz")
            time.sleep(1)
            status = Path(f"/proc/{process.pid}/status").read_text()
            kilobytes = int(status.partition("VmRSS:")[2].split()[0])
            return ready_s, kilobytes / 1024
        finally:
            process.terminate()
            process.wait(15)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="footprint")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    if not Path("/proc/self/status").exists():
        print("needs /proc to tell the memory")
        return 0
    runs = [start_once() for _ in range(args.rounds)]
    ready_s, megabytes = (median(column) for column in zip(*runs, strict=True))
    print(f"ready after {ready_s:.2f} s (at most {READY_WITHIN_S})")
    print(f"idle memory {megabytes:.0f} MB resident (at most {IDLE_AT_MOST_MB})")
    return 0
