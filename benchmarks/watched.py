"""The proxy on asyncio's own loop, each step of which is timed: what the case ``blocking`` runs.

It is run as ``sidecache`` is, but for a file that is named first: SIGUSR2 has it write there, as
JSON, how many seconds each step took since the last time, by the processor's time and by the clock.
uvloop tells nothing of its steps; the code in them is the same there, and takes a little less.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from time import perf_counter, thread_time


def main() -> None:
    file, sys.argv[1:] = Path(sys.argv[1]), sys.argv[2:]
    cpu, clock = list[float](), list[float]()
    run = asyncio.Handle._run  # noqa: SLF001 - steps are what is to be timed

    def timed(step: asyncio.Handle) -> None:
        began, used = perf_counter(), thread_time()
        run(step)
        cpu.append(thread_time() - used)
        clock.append(perf_counter() - began)

    def tell(*_: object) -> None:
        part = file.with_suffix(".part")
        part.write_text(json.dumps({"cpu": cpu, "clock": clock}))
        part.replace(file)
        cpu.clear()
        clock.clear()

    asyncio.Handle._run = timed  # type: ignore[method-assign] # noqa: SLF001
    sys.modules["uvloop"] = None  # type: ignore[assignment] # as if it were not installed
    signal.signal(signal.SIGUSR2, tell)
    from proxy.cli import main as sidecache

    sidecache()


if __name__ == "__main__":
    main()
