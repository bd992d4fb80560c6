"""Which eviction policy hits most, and what the memory tier costs: the numbers behind the choice.

Hit ratios are simulated: the product's own ``L1Memory`` beside FIFO, LRU, W-TinyLFU and Belady's
look into the future, on the same traces, with entries of equal and of heavy-tailed sizes, at
several budgets. All seeds are fixed, so the ratios are the same wherever this runs.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import heapq
import random
import time
import tracemalloc
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import accumulate, count, islice

from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Usage
from proxy.tiers.l1_memory import L1Memory

KEYS = 10_000  # that are asked again and again
LOOP = 2_000
MEAN_BYTES = 4096
LARGEST_BYTES = 65_536
BUDGETS = (100, 1_000, 4_000)  # in entries of MEAN_BYTES
ONE_OFFS = 1_000_000  # keys from here on are asked once


class Lru:
    """Each policy's ``use`` tells whether a key was there; if not, it may be from now on."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.held: OrderedDict[int, int] = OrderedDict()
        self.bytes = 0

    def use(self, key: int, size: int) -> bool:
        if key in self.held:
            self.hit(key)
            return True
        self.held[key] = size
        self.bytes += size
        while self.bytes > self.budget:
            self.bytes -= self.held.popitem(last=False)[1]
        return False

    def hit(self, key: int) -> None:
        self.held.move_to_end(key)


class Fifo(Lru):
    def hit(self, key: int) -> None:
        """Nothing moves."""


class TinyLfu:
    """W-TinyLFU: a window of 1 %, then probation and protection, guarded by a frequency sketch.

    Einziger, Friedman and Manes, ACM TOS 2017. A candidate larger than its victim has to be asked
    for more often than all victims it takes together.
    """

    def __init__(self, budget: int) -> None:
        self.window_budget = max(budget // 100, LARGEST_BYTES // 8)
        self.main_budget = budget - self.window_budget
        self.protected_budget = self.main_budget * 8 // 10
        self.window: OrderedDict[int, int] = OrderedDict()
        self.probation: OrderedDict[int, int] = OrderedDict()
        self.protected: OrderedDict[int, int] = OrderedDict()
        self.window_bytes = self.probation_bytes = self.protected_bytes = 0
        self.entries = budget // MEAN_BYTES
        self.width = 1 << (4 * self.entries).bit_length()
        self.rows = [bytearray(self.width) for _ in range(4)]
        self.counted = 0

    def use(self, key: int, size: int) -> bool:
        self.count(key)
        if key in self.window:
            self.window.move_to_end(key)
            return True
        if key in self.protected:
            self.protected.move_to_end(key)
            return True
        if key in self.probation:
            self.protect(key)
            return True
        self.window[key] = size
        self.window_bytes += size
        while self.window_bytes > self.window_budget:
            candidate, its_size = self.window.popitem(last=False)
            self.window_bytes -= its_size
            self.admit(candidate, its_size)
        return False

    def protect(self, key: int) -> None:
        size = self.probation.pop(key)
        self.probation_bytes -= size
        self.protected[key] = size
        self.protected_bytes += size
        while self.protected_bytes > self.protected_budget:
            demoted, its_size = self.protected.popitem(last=False)
            self.protected_bytes -= its_size
            self.probation[demoted] = its_size
            self.probation_bytes += its_size

    def admit(self, candidate: int, size: int) -> None:
        short = self.probation_bytes + self.protected_bytes + size - self.main_budget
        victims, frequency = [], 0
        rest = iter(self.probation.items())
        while short > 0 and (oldest := next(rest, None)):
            victims.append(oldest[0])
            frequency += self.frequency(oldest[0])
            short -= oldest[1]
        if short > 0 or (victims and self.frequency(candidate) <= frequency):
            return
        for victim in victims:
            self.probation_bytes -= self.probation.pop(victim)
        self.probation[candidate] = size
        self.probation_bytes += size

    def frequency(self, key: int) -> int:
        rows = zip(self.rows, _places(key), strict=True)
        return min(row[place % self.width] for row, place in rows)

    def count(self, key: int) -> None:
        for row, place in zip(self.rows, _places(key), strict=True):
            row[place % self.width] = min(row[place % self.width] + 1, 15)
        self.counted += 1
        if self.counted == 10 * self.entries:
            self.counted //= 2
            self.rows = [bytearray(row.translate(_HALVED)) for row in self.rows]


_HALVED = bytes(count >> 1 for count in range(256))


@cache
def _places(key: int) -> tuple[int, ...]:
    digest = hashlib.blake2b(key.to_bytes(8), digest_size=16).digest()
    return tuple(int.from_bytes(digest[i : i + 4]) for i in range(0, 16, 4))


class Belady:
    """Drops what is needed last: the optimum for equal sizes, a yardstick for others."""

    def __init__(self, budget: int, trace: list[int]) -> None:
        self.budget = budget
        self.held: dict[int, tuple[int, int]] = {}  # key: when it is needed next, size
        self.bytes = 0
        self.order: list[tuple[int, int]] = []
        self.now = 0
        self.following = [0] * len(trace)
        later: dict[int, int] = {}
        for position in range(len(trace) - 1, -1, -1):
            self.following[position] = later.get(trace[position], len(trace))
            later[trace[position]] = position

    def use(self, key: int, size: int) -> bool:
        following = self.following[self.now]
        self.now += 1
        hit = key in self.held
        if not hit:
            self.bytes += size
        self.held[key] = following, size
        heapq.heappush(self.order, (-following, key))
        while self.bytes > self.budget:
            needed, last = heapq.heappop(self.order)
            if self.held.get(last, (0, 0))[0] == -needed:
                self.bytes -= self.held.pop(last)[1]
        return hit


class Product:
    """The memory tier itself; keys from ONE_OFFS on are another scope's."""

    def __init__(self, budget: int, scope_share: float = 1.0) -> None:
        self.tier = L1Memory(
            max_bytes=budget,
            max_entry_bytes=LARGEST_BYTES,
            clock=lambda: 0.0,
            scope_share=scope_share,
            sized=lambda entry: len(entry.body),
        )

    def use(self, key: int, size: int) -> bool:
        if self.tier.get_now(_key(key)) is not None:
            return True
        self.tier.put_now(replace(_EMPTY, key=_key(key), body=_body(size)))
        return False


@cache
def _key(key: int) -> CacheKey:
    scope = "quiet" if key < ONE_OFFS else "loud"
    return CacheKey(scope, hashlib.blake2b(key.to_bytes(8), digest_size=32).digest())


_EMPTY = Entry(_key(0), "", "", Head(200, "OK", Headers()), Form(), b"", 0.0, Lifetime(1.0))
_body = cache(bytes)  # entries of one size share it


Policy = Lru | TinyLfu | Belady | Product
Ratios = dict[str, float]  # of each policy, from 0 to 1


# Traces


def zipf(rng: random.Random, length: int, alpha: float, keys: int = KEYS) -> list[int]:
    """Keys drawn with a probability proportional to 1 / rank ** alpha."""
    weights = list(accumulate(1 / rank**alpha for rank in range(1, keys + 1)))
    names = rng.sample(range(keys), keys)
    total = weights[-1]
    return [names[bisect_left(weights, rng.random() * total)] for _ in range(length)]


def traces(length: int, seed: int) -> Iterator[tuple[str, list[int]]]:
    for alpha in (0.7, 0.9, 1.1):
        yield f"zipf {alpha}", zipf(random.Random(seed), length, alpha)

    rng = random.Random(seed + 1)
    new = count(ONE_OFFS)
    steady = zipf(rng, length, 0.9)
    yield "half one-offs", [key if rng.random() < 0.5 else next(new) for key in steady]

    new = count(ONE_OFFS)
    yield "scans", [key if at // 2_000 % 2 else next(new) for at, key in enumerate(steady)]

    yield "loop", [at % LOOP for at in range(length)]

    epoch = length // 8  # after each of them a fifth of the keys gives way to new ones
    drift = enumerate(zipf(random.Random(seed + 2), length, 0.9))
    yield "shifting", [key + KEYS * ((at // epoch + key) // 5 - key // 5) for at, key in drift]


def equal(_key: int) -> int:
    return MEAN_BYTES


@cache
def heavy(key: int) -> int:
    """Bytes: most entries small, some very large (Pareto with exponent 1.3), in steps of 64."""
    return min(int(random.Random(key).paretovariate(1.3) * 24), LARGEST_BYTES // 64) * 64


@dataclass(frozen=True, slots=True)
class Row:
    """Hit ratios of all policies for one trace, by requests and by bytes."""

    sizes: str
    budget: int  # in entries of mean size
    trace: str
    hits: Ratios
    bytes: Ratios


def run(length: int = 50_000, seed: int = 1) -> list[Row]:
    """Every policy on every trace."""
    rows = []
    for name, trace in traces(length, seed):
        policies: dict[str, Callable[[int], Policy]] = {
            "fifo": Fifo,
            "lru": Lru,
            "w-tinylfu": TinyLfu,
            "l1": Product,
            "belady": partial(Belady, trace=trace),
        }
        for sizes in (equal, heavy):
            weights = [sizes(key) for key in trace]
            for entries in BUDGETS:
                hits, shares = {}, {}
                for policy, build in policies.items():
                    use = build(entries * MEAN_BYTES).use
                    found = [use(key, size) for key, size in zip(trace, weights, strict=True)]
                    hits[policy] = sum(found) / length
                    served = sum(s for s, hit in zip(weights, found, strict=True) if hit)
                    shares[policy] = served / sum(weights)
                rows.append(Row(sizes.__name__, entries, name, hits, shares))
    return rows


def flood(length: int = 50_000, seed: int = 1) -> list[tuple[str, Ratios]]:
    """What a quiet scope still hits while another asks thrice as much, all of it new."""
    quiet = zipf(random.Random(seed), length // 4, 0.9, KEYS // 2)
    policies: dict[str, Callable[[int], Policy]] = {
        "lru": Lru,
        "w-tinylfu": TinyLfu,
        "l1": Product,
        "l1, share 0.25": partial(Product, scope_share=0.25),
    }
    rows = []
    for name, new, repeats in (("alone", 0, 0), ("all new", 3, 1), ("each asked thrice", 1, 3)):
        hits: Ratios = {}
        for policy, build in policies.items():
            use = build(BUDGETS[1] * MEAN_BYTES).use
            names = count(ONE_OFFS)
            found = 0
            for key in quiet:
                found += use(key, MEAN_BYTES)
                for noise in list(islice(names, new)) * repeats:
                    use(noise, MEAN_BYTES)
            hits[policy] = found / len(quiet)
        rows.append((name, hits))
    return rows


# What it costs


def costs(entries: int = 20_000, rounds: int = 7) -> dict[str, float]:
    """Microseconds a call, the best of several rounds; hits on warm keys, puts that evict."""
    stored = [_sample(number) for number in range(entries)]
    half = sum(entry.stored_size for entry in stored) // 2
    plain = {entry.key.digest: entry for entry in stored}
    roomy = L1Memory(max_bytes=2**40, max_entry_bytes=2**30, clock=time.monotonic)
    tight = L1Memory(max_bytes=half, max_entry_bytes=half, clock=time.monotonic)
    lru, lfu = Lru(half), TinyLfu(2**32)
    calls: dict[str, Callable[[Entry], object]] = {
        "dict get": lambda entry: plain.get(entry.key.digest),
        "l1 get": lambda entry: roomy.get_now(entry.key),
        "w-tinylfu get": lambda entry: lfu.use(entry.usage.prompt_tokens, 1),  # type: ignore[union-attr] # all have it
        "lru put": lambda entry: lru.use(id(entry), entry.size),
        "l1 put": tight.put_now,
    }
    best = dict.fromkeys(calls, float("inf"))
    for entry in stored:
        roomy.put_now(entry)
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.process_time()
            for entry in stored:
                call(entry)
            best[name] = min(best[name], (time.process_time() - began) / entries * 1e6)
    return best


def footprint(entries: int = 100_000) -> tuple[int, int]:
    """Bytes accounted for, and bytes really allocated, by entries with bodies of 2 KB."""
    tier = L1Memory(max_bytes=2**32, max_entry_bytes=2**20, clock=time.monotonic)
    gc.collect()
    tracemalloc.start()
    for number in range(entries):
        entry = _sample(number)
        entry.head.headers.index()  # which the first hit builds, and the entry keeps
        tier.put_now(entry)
    allocated = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return tier.bytes, allocated


def _sample(number: int) -> Entry:
    """An entry that shares nothing with any other."""
    digest = hashlib.blake2b(number.to_bytes(8), digest_size=32).digest()
    fields = [(f"x-field-{name}-{number}", f"{number} of {name}") for name in range(8)]
    return Entry(
        CacheKey(f"scope-{number:034}", digest),
        "openai_chat",
        f"model-{number}",
        Head(200, f"OK {number}", Headers(fields)),
        Form(stream=number % 2 == 0),
        bytes(2048),
        time.monotonic(),
        Lifetime(3600.0 + number),
        usage=Usage(1000 + number, 2000 + number),
        upstream_s=number / 7,
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="eviction")
    parser.add_argument("--length", type=int, default=50_000, help="requests in a trace")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    rows = sorted(run(args.length, args.seed), key=lambda row: (row.sizes, row.budget))
    print(f"hit ratio, % of requests; budgets in entries of {MEAN_BYTES} bytes")
    table(("sizes", "budget", "trace"), [((r.sizes, r.budget, r.trace), r.hits) for r in rows])
    print("\nhit ratio, % of bytes")
    uneven = [((r.sizes, r.budget, r.trace), r.bytes) for r in rows if r.sizes == "heavy"]
    table(("sizes", "budget", "trace"), uneven)
    print("\nhit ratio of a quiet scope beside a loud one, % of requests")
    table(("loud",), [((name,), hits) for name, hits in flood(args.length, args.seed)])
    print("\nmicroseconds, the loop included")
    print(", ".join(f"{name} {us:.2f}" for name, us in costs().items()))
    accounted, allocated = footprint()
    ratio = allocated / accounted
    print(f"100,000 entries: {accounted:,} bytes accounted, {allocated:,} allocated ({ratio:.2f})")
    return 0


def table(titles: tuple[str, ...], rows: Sequence[tuple[tuple[object, ...], Ratios]]) -> None:
    policies = list(rows[0][1])
    print("".join(f"{t:15}" for t in titles) + "".join(f"{name:>16}" for name in policies))
    for labels, hits in rows:
        cells = "".join(f"{100 * hits[name]:16.1f}" for name in policies)
        print("".join(f"{label!s:15}" for label in labels) + cells)
