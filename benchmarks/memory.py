"""What entries of 2 KB take in memory: 100,000 of them, by what the process grows.

The memory tier is filled and read once, in a process of its own: ``python -m benchmarks.memory
KIND`` prints one JSON object.
"""

from __future__ import annotations

import gc
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.eviction import _sample as unshared
from benchmarks.frame.options import Options
from benchmarks.frame.report import Claim, Table
from benchmarks.serving import pinned
from benchmarks.streams import resident
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Usage
from proxy.tiers.l1_memory import L1Memory

ENTRIES: Final = 100_000
BODY: Final = 2048
AT_MOST: Final = 1.25  # times the bytes of bodies
_BUDGET: Final = 1.3  # times the bytes of bodies
KINDS: Final = {
    "answers": "answers of one backend",
    "unshared": "answers that share nothing, 8 fields each",
}


_FIELDS: Final = (
    (b"Content-Type", b"application/json"),
    (b"openai-version", b"2020-10-01"),
    (b"openai-processing-ms", b"%d"),
    (b"openai-organization", b"bench-organization"),
)


def answer(number: int) -> Entry:
    """As a backend's answers are: alike in most fields, but read from the wire each time."""
    digest = hashlib.blake2b(number.to_bytes(8), digest_size=32).digest()
    values = (value % (300 + number) if b"%" in value else value for _, value in _FIELDS)
    fields = [
        (name.decode(), value.decode()) for (name, _), value in zip(_FIELDS, values, strict=True)
    ]
    return Entry(
        CacheKey((b"0" * 32).decode(), digest),
        "openai_chat",
        b"bench-model".decode(),
        Head(200, "OK", Headers(fields)),
        Form(),
        number.to_bytes(8) + bytes(BODY - 8),
        time.monotonic(),
        Lifetime(3600.0 + number % 360),
        usage=Usage(300, 200 + number % 500),
        upstream_s=number / 7e4,
        path=b"/v1/chat/completions".decode(),
    )


def fill(kind: str) -> dict[str, int]:
    """Bytes of bodies, bytes accounted for, and bytes that the process has grown by."""
    make = answer if kind == "answers" else unshared
    budget = int(_BUDGET * ENTRIES * BODY) if kind == "answers" else 2**30
    tier = L1Memory(max_bytes=budget, max_entry_bytes=2**20, clock=time.monotonic)
    tier.put_now(make(ENTRIES))  # whatever is made once
    gc.collect()
    before, payload = resident("self"), 0
    for number in range(ENTRIES):
        entry = make(number)
        payload += len(entry.body)
        tier.put_now(entry)
    for number in range(ENTRIES):
        found = tier.get_now(make(number).key)
        if found is None:
            raise RuntimeError(f"a budget of {budget:,} bytes is too small for {ENTRIES:,} entries")
        found.head.headers.index()  # which a hit looks at
    gc.collect()
    return {"payload": payload, "accounted": tier.bytes, "grown": resident("self") - before}


def measure(_given: Options) -> Iterator[Table]:
    if not Path("/proc/self/statm").exists():
        yield Table("memory", "memory of entries: needs /proc to tell it", (), ())
        return
    rows, shares = [], {}
    for kind, name in KINDS.items():
        command = [*pinned(0), sys.executable, "-m", "benchmarks.memory", kind]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        came = json.loads(said.stdout)
        megabytes = [came[each] / 1e6 for each in ("payload", "accounted", "grown")]
        shares[kind] = came["grown"] / came["payload"]
        rows.append((name, [*megabytes, shares[kind], came["grown"] / came["accounted"]]))
    yield Table(
        "memory",
        f"memory of {ENTRIES:,} entries with bodies of {BODY:,} bytes",
        ("bodies, MB", "accounted, MB", "resident, MB", "times theirs", "accounted's"),
        rows,
        [Claim("resident memory, times the bodies", shares["answers"], AT_MOST)],
    )


if __name__ == "__main__":
    print(json.dumps(fill(sys.argv[1])))
