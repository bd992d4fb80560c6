"""What a get and a put cost in each tier, beside the bare library call it is made of.

The codec's parts are timed too. Times are medians of rounds, in microseconds a call; the disk's are
with the file in the page cache. ``get, read on the loop`` is the road not taken: the same read
without the lane, which would stop the loop whenever the disk hangs.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import lmdb

from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Usage
from proxy.tiers.codec import Codec, EncryptionKey
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.l2_disk import L2Disk

KEYS = 500
ROUNDS = 5
WALL = time.time  # noqa: TID251 # a benchmark composes for itself, as app.py does
WORDS = b"the answer of a language model is made of words that come again and again in it ".split()


def sample(number: int, size: int) -> Entry:
    """An answer of ``size`` bytes that compresses as text does."""
    dice = random.Random(number)
    body = b" ".join(dice.choices(WORDS, k=size // 4))[:size]
    head = Head(200, "OK", Headers([("Content-Type", "application/json"), ("X-Request-Id", "a1")]))
    key = CacheKey("scope", blake2b(number.to_bytes(8), digest_size=32).digest())
    at = time.monotonic()
    return Entry(
        key, "openai_chat", "model", head, Form(), body, at, Lifetime(3600.0), usage=Usage(9, 90)
    )


def timed(call: Callable[[int], object]) -> float:
    """Microseconds a call, with each of the keys in turn."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for number in range(KEYS):
            call(number)
        rounds.append((time.perf_counter() - start) / KEYS * 1e6)
    return statistics.median(rounds)


async def awaited(
    call: Callable[[int], Awaitable[object]], after: Callable[[], Awaitable[object]] | None = None
) -> float:
    """As ``timed``; ``after`` ends each round and counts."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for number in range(KEYS):
            await call(number)
        if after is not None:
            await after()
        rounds.append((time.perf_counter() - start) / KEYS * 1e6)
    return statistics.median(rounds)


def row(name: str, micros: float) -> None:
    print(f"  {name:<44} {micros:8.2f} us")


def codec_rows(entries: Sequence[Entry]) -> None:
    now, wall = time.monotonic(), WALL()
    keys = [EncryptionKey(1, bytes(32))]
    for name, codec in (
        ("plain", Codec(compress_above=2**30)),
        ("compressed", Codec()),
        ("compressed and encrypted", Codec(keys=keys)),
    ):
        blobs = [codec.encode(entry, now, wall) for entry in entries]
        row(f"encode, {name}", timed(lambda n, c=codec: c.encode(entries[n], now, wall)))  # type: ignore[misc] # bound now
        row(
            f"decode, {name} ({len(blobs[0]):,} bytes)",
            timed(lambda n, c=codec, b=blobs: c.decode(entries[n].key, b[n], now, wall)),  # type: ignore[misc] # bound now
        )
    row("blake2b of the body alone", timed(lambda n: blake2b(entries[n].body, digest_size=16)))
    row("crc32 of the body alone", timed(lambda n: zlib.crc32(entries[n].body)))


async def memory_rows(entries: Sequence[Entry]) -> None:
    held: dict[bytes, Entry] = {}
    tier = L1Memory(max_bytes=2**30, max_entry_bytes=2**20, clock=time.monotonic)
    row("dict, put", timed(lambda n: held.__setitem__(entries[n].key.digest, entries[n])))
    row("l1_memory, put", await awaited(lambda n: tier.put(entries[n])))
    row("dict, get", timed(lambda n: held.get(entries[n].key.digest)))
    row("l1_memory, get", await awaited(lambda n: tier.get(entries[n].key)))


def bare_lmdb_rows(folder: Path, blobs: Sequence[bytes], keys: Sequence[bytes]) -> None:
    with lmdb.open(str(folder), map_size=2**28, sync=False, metasync=False) as env:

        def put(number: int) -> None:
            with env.begin(write=True) as txn:
                txn.put(keys[number], blobs[number])

        def get(number: int) -> bytes | None:
            with env.begin() as txn:
                return txn.get(keys[number])

        def put_all(_: int) -> None:
            with env.begin(write=True) as txn:
                for each in range(64):
                    txn.put(keys[each], blobs[each])

        row("lmdb, put in a transaction of its own", timed(put))
        row("lmdb, put as one of 64 in a transaction", timed(put_all) / 64)
        row("lmdb, get", timed(get))


async def disk_rows(folder: Path, entries: Sequence[Entry], misses: Sequence[Entry]) -> None:
    disk = L2Disk(
        folder,
        codec=Codec(),
        max_bytes=2**28,
        max_entry_bytes=2**20,
        clock=time.monotonic,
        wall=WALL,
        read_timeout_s=5.0,
    )
    await disk.start()
    row("l2_disk, put (as its caller waits)", await awaited(lambda n: disk.put(entries[n])))
    await disk.flush()
    row("l2_disk, put until written", await awaited(lambda n: disk.put(entries[n]), disk.flush))

    codec = Codec()

    async def on_the_loop(number: int) -> object:
        key = entries[number].key
        blob = disk._file.read(key.digest)  # noqa: SLF001 # the road not taken has no door
        return codec.decode(key, blob or b"", time.monotonic(), WALL())

    row("l2_disk, get", await awaited(lambda n: disk.get(entries[n].key)))
    row("l2_disk, get of what is not there", await awaited(lambda n: disk.get(misses[n].key)))
    row("l2_disk, get, read on the loop", await awaited(on_the_loop))
    many = KEYS // 50

    async def at_once(number: int) -> None:
        if number % 50 == 0:
            await asyncio.gather(*(disk.get(entries[number + i].key) for i in range(50)))

    row(f"l2_disk, get, {KEYS // many} at once", await awaited(at_once))
    await disk.close()


def main(argv: list[str]) -> int:
    options = argparse.ArgumentParser(prog="tiers", description=__doc__)
    options.add_argument("--bytes", type=int, nargs="+", default=[500, 4096, 65_536])
    for size in options.parse_args(argv).bytes:
        entries = [sample(number, size) for number in range(KEYS)]
        misses = [sample(number, 1) for number in range(KEYS, 2 * KEYS)]
        print(f"\n{size:,} bytes of body")
        codec_rows(entries)
        asyncio.run(memory_rows(entries))
        with tempfile.TemporaryDirectory() as folder:
            now, wall, codec = time.monotonic(), WALL(), Codec()
            blobs = [codec.encode(entry, now, wall) for entry in entries]
            bare_lmdb_rows(Path(folder), blobs, [entry.key.digest for entry in entries])
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(disk_rows(Path(folder) / "disk", entries, misses))
    return 0
