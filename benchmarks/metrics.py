"""What counting costs a request: on its way, and in the batches that follow.

Hits of one kind, as a busy proxy has them; then of many kinds; then lines that stand for several
hits each. Nanoseconds for each request, the least of several runs: whatever else the machine does
only adds to them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.message import Headers, Request
from proxy.model.outcome import Delivery, Laps, Outcome, Record, Verdict
from proxy.model.query import Usage
from proxy.observe.gather import Gathering, Reader
from proxy.observe.history import History
from proxy.observe.live import Live
from proxy.observe.tally import Tally
from proxy.prices import Price, Prices

BATCH = 256
BATCHES = 200
REPEATS = (0, 9, 99)  # besides the one that a line is of
WALL = time.time  # noqa: TID251 # a benchmark composes for itself, as app.py does


class _NoBody:
    length = 0

    async def whole(self, limit: int) -> bytes | None:
        raise NotImplementedError

    def pieces(self) -> object:
        raise NotImplementedError


def record(number: int, kinds: int) -> Record:
    """A hit; of ``kinds`` models."""
    laps = Laps(100.0)
    laps.came, laps.read, laps.looked = 100.000004, 100.000011, 100.000013
    outcome = Outcome(
        Verdict.HIT, Why.FRESH, dialect="openai_chat", model=f"model-{number % kinds}",
        tier="l1_memory", key=CacheKey("scope", b"k" * 32), age_s=12.0, ttl_s=3000.0, laps=laps,
        usage=Usage(1200, 340), spared_s=2.5,
    )  # fmt: skip
    request = Request("POST", "/v1/chat/completions", "", Headers([]), _NoBody(), "127.0.0.1")  # type: ignore[arg-type] # nobody reads it
    return Record(
        request, outcome, Delivery(200, 2048, complete=True, duration_s=0.000087 + number * 1e-7)
    )


def measure(
    readers: Sequence[Reader], records: Sequence[Record], more: int = 0
) -> tuple[float, float]:
    """Nanoseconds a request: on its way, and afterwards.

    Args:
        more: requests that are told together with each.
    """
    gathering = Gathering(readers, wall=WALL, call_later=lambda _s, _call: None)
    best_on_way = best_after = float("inf")
    few = records[: BATCH - 1]  # the last would have them all read
    requests = len(few) * (1 + more)
    took = [0.000_008 + number % 97 * 1e-7 for number in range(more)]
    for _ in range(BATCHES):
        began = time.perf_counter_ns()
        for each in few:
            gathering.write(each, took)
        written = time.perf_counter_ns()
        gathering.flush()
        read = time.perf_counter_ns()
        best_on_way = min(best_on_way, (written - began) / requests)
        best_after = min(best_after, (read - written) / requests)
    return best_on_way, best_after


def main(argv: list[str]) -> int:
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    prices = Prices([Price("model-*", 2.5, 10.0)])

    def tally() -> list[Reader]:
        return [Tally(prices)]

    def everything() -> list[Reader]:
        counts = Tally(prices)
        history = History(
            counts, shed=lambda: 0, upstream=lambda: [0], wall=WALL, clock=time.monotonic
        )
        return [history, counts, Live()]

    settings: list[tuple[str, Callable[[], Sequence[Reader]]]] = [
        ("nobody reads", list),
        ("the tally", tally),
        ("the tally, the history, live", everything),
    ]
    print(f"{'':46}{'on the way':>12}{'afterwards':>12}   nanoseconds a request")
    for kinds in (1, 40):
        records = [record(number, kinds) for number in range(BATCH)]
        for name, readers in settings:
            on_way, after = measure(readers(), records)
            print(f"{f'{name}, {kinds} model(s)':46}{on_way:12.0f}{after:12.0f}")
    records = [record(number, 1) for number in range(BATCH)]
    for more in REPEATS:
        on_way, after = measure(everything(), records, more)
        name = f"{settings[-1][0]}, {more + 1} a line"
        print(f"{name:46}{on_way:12.1f}{after:12.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
