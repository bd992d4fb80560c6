"""What an entry takes in the memory tier beside its body, as the system and as the tier count it.

Entries are made as an answer of OpenAI's makes them: sealed by the dialect, under a head less what
is personal, with a time of its own, for one of a hundred callers. Each case is a process of its
own, that holds the entries and nothing else.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from proxy.dialects.openai_chat import OpenAIChat
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Refusal
from proxy.policy import impersonal
from proxy.tiers.l1_memory import L1Memory

ALLOWED: Final = 1.25  # times the bytes of the bodies
_CALLERS: Final = 100
_HEAD: Final = (
    "Date\nSun, 22 Nov 2026 {hour:02}:{minute:02}:{second:02} GMT\nContent-Type\napplication/json\n"
    "access-control-expose-headers\nX-Request-ID\nopenai-organization\nacme-{number}\n"
    "openai-processing-ms\n{number}\nopenai-version\n2020-10-01\nx-request-id\nreq_{number:032x}\n"
    "x-ratelimit-remaining-requests\n{number}\nstrict-transport-security\n"
    "max-age=31536000; includeSubDomains; preload\ncf-cache-status\nDYNAMIC\n"
    "X-Content-Type-Options\nnosniff\nServer\ncloudflare\nCF-RAY\n{number:016x}-FRA\n"
    "x-openai-proxy-wasm\nv0.1"
)


class Found(NamedTuple):
    """What one process found."""

    resident: int  # bytes by which it grew
    allocated: int  # of which Python has asked for so many; 0 if that was not counted
    accounted: int  # by the tier
    warm_us: float  # a hit on what was asked for a moment ago, the least of some rounds
    cold_us: float  # a hit on what was not
    put_us: float
    collect_ms: float  # a full garbage collection


def entry(number: int, size: int, dialect: OpenAIChat) -> Entry:
    """The entry of one answer; nothing of it is shared with another but what interning shares."""
    dice = random.Random(number)
    caller = blake2b((number % _CALLERS).to_bytes(8), digest_size=16).hexdigest()
    digest = blake2b(number.to_bytes(8), digest_size=32).digest()
    clock = {"hour": number // 3600 % 24, "minute": number // 60 % 60, "second": number % 60}
    parts = _HEAD.format(number=number, **clock).encode().decode().split("\n")
    head = Head(200, "OK", impersonal(Headers(zip(parts[::2], parts[1::2], strict=True))))
    sealed = dialect.seal(head, _body(number, size), Form())
    if isinstance(sealed, Refusal):
        raise TypeError(f"the answer was refused: {sealed}")
    model, path = b"gpt-4o-mini".decode(), b"/v1/chat/completions".decode()
    return Entry(
        CacheKey(f"key:{caller}", digest), "openai_chat", model, head, sealed.form, sealed.body,
        time.monotonic(), Lifetime(3600.0 * (1.0 - 0.1 * dice.random()), 60.0, 600.0), 0.0,
        sealed.usage, Form(), dice.expovariate(1.0), 2**20 * 7, path,
    )  # fmt: skip


def _body(number: int, size: int) -> bytes:
    told = {
        "id": f"chatcmpl-{number:024}", "object": "chat.completion",
        "created": 1_790_000_000 + number,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0, "message": {"role": "assistant", "content": "", "refusal": None},
                "logprobs": None, "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 300 + number % 900, "completion_tokens": 400 + number % 70,
            "total_tokens": 700 + number % 900 + number % 70,
        },
    }  # fmt: skip
    bare = json.dumps(told)
    content = f"answer {number} "
    filled = (content * size)[: size - len(bare)]
    return bare.replace('"content": ""', f'"content": "{filled}"').encode()


def measure(entries: int, size: int, *, traced: bool) -> Found:
    """Fill a tier in this process, and find out."""
    dialect = OpenAIChat()
    tier = L1Memory(max_bytes=2**33, max_entry_bytes=2**22, clock=time.monotonic)
    entry(0, size, dialect)
    gc.collect()
    if traced:
        tracemalloc.start()
    before = _resident()
    for number in range(entries):
        tier.put_now(entry(number, size, dialect))
    allocated = tracemalloc.get_traced_memory()[0] if traced else 0
    tracemalloc.stop()
    resident, accounted = _resident() - before, tier.bytes
    keys = [
        entry(number, size, dialect).key for number in range(0, entries, max(1, entries // 5000))
    ]
    warm = _least(lambda: _asked(tier, keys[:100]), 50)
    cold = _least(lambda: _asked(tier, keys), 1)
    again = [entry(number, size, dialect) for number in range(500)]
    put = _least(lambda: [tier.put_now(each) for each in again], 5) / len(again)
    collect = _least(gc.collect, 3)
    return Found(
        resident, allocated, accounted, warm / 100 * 1e6, cold / len(keys) * 1e6, put * 1e6,
        collect * 1e3,
    )  # fmt: skip


def _asked(tier: L1Memory, keys: list[CacheKey]) -> None:
    for key in keys:
        tier.get_now(key)


def _least(call: Callable[[], object], rounds: int) -> float:
    """Seconds of processor time."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return min(taken)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _elsewhere(entries: int, size: int, *options: str) -> Found:
    words = [sys.executable, "-m", "benchmarks.memory", "--here", str(entries), str(size), *options]
    said = subprocess.run(words, capture_output=True, check=True, text=True)
    return Found(*json.loads(said.stdout))


def cases(entries: int) -> Iterator[tuple[int, Found, Found]]:
    """For each size of a body in bytes: what was found, and found while Python counted."""
    for size in (1024, 2048, 8192):
        yield size, _elsewhere(entries, size), _elsewhere(entries, size, "--traced")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="memory")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--here", nargs=2, type=int, metavar=("ENTRIES", "BYTES"))
    parser.add_argument("--traced", action="store_true")
    args = parser.parse_args(argv)
    if args.here:
        print(json.dumps(measure(*args.here, traced=args.traced)))
        return 0
    print(f"{args.entries:,} entries; bytes beside the body of each, and times the body")
    titles = ("body", "resident", "allocated", "accounted")
    print("".join(f"{title:>18}" for title in titles), "   us: warm, cold, put; ms: collection")
    for size, found, traced in cases(args.entries):
        counts = (found.resident, traced.allocated, found.accounted)
        each = [f"{n / args.entries - size:.0f}  {n / args.entries / size:.3f}" for n in counts]
        costs = f"{found.warm_us:.2f} {found.cold_us:.2f} {found.put_us:.2f} {found.collect_ms:.0f}"
        print(f"{size:>18}" + "".join(f"{told:>18}" for told in each), "  ", costs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
