"""What is stored at one moment does not die at one moment, in no tier: nobody asks all at once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from math import sqrt
from pathlib import Path

import lmdb
from support.cranked import Clock
from support.tier_contract import entry

from proxy.model.entry import CacheKey, Entry
from proxy.model.message import Head, Headers
from proxy.model.query import Controls
from proxy.policy import Terms, lifetime
from proxy.tiers.codec import Codec
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.l2_disk import L2Disk

NUMBER = 100_000
TERMS = Terms(ttl=3600.0, jitter=0.1)
NOW = 1000.0
EPOCH = 1_700_000_000.0  # seconds since 1970 when the hand-turned clock stands at 0
SHORTEST, LONGEST = 3240, 3600  # seconds: jitter takes off up to a tenth, and adds nothing
SHARE = NUMBER / (LONGEST - SHORTEST)  # of the entries, for each second, if chance were even
MOST = SHARE + 5 * sqrt(SHARE)


def stored_at_once() -> Iterator[Entry]:
    """Answers of one moment, with the lifetimes that the policy gives them."""
    dice = random.Random(7).random
    head = Head(200, "OK", Headers([("Content-Type", "application/json")]))
    for number in range(NUMBER):
        life = lifetime(head, Controls(), TERMS, dice())
        key = CacheKey("scope", number.to_bytes(32))
        yield entry(key, b"small", stored_at=NOW, lifetime=life)


def assert_spread(dying: Counter[int]) -> None:
    """``dying``: how many in which second after they were stored."""
    assert dying.total() == NUMBER
    assert min(dying) >= SHORTEST
    assert max(dying) < LONGEST
    assert max(dying.values()) <= MOST


def test_memory_loses_no_more_in_any_second_than_chance_would_have_it() -> None:
    clock = Clock(NOW)
    tier = L1Memory(max_bytes=2**30, max_entry_bytes=2**20, clock=clock)
    entries = sorted(stored_at_once(), key=lambda each: each.lifetime.keep)
    assert all(tier.put_now(each) for each in entries)
    dying: Counter[int] = Counter()
    for second, due in groupby(entries, key=lambda each: int(each.lifetime.keep)):
        keys = [each.key for each in due]
        clock.now = NOW + second
        assert all(tier.get_now(key) is not None for key in keys)  # at the second's beginning
        clock.now = NOW + second + 1
        dying[second] = sum(tier.get_now(key) is None for key in keys)
    assert_spread(dying)
    assert tier.entries == 0
    assert tier.evicted == 0


async def test_disk_loses_no_more_in_any_second_than_chance_would_have_it(tmp_path: Path) -> None:
    clock = Clock(NOW)
    disk = L2Disk(
        tmp_path / "disk",
        codec=Codec(),
        max_bytes=2**29,
        max_entry_bytes=2**20,
        clock=clock,
        wall=lambda: EPOCH + clock(),
        read_timeout_s=30.0,
        write_timeout_s=30.0,
    )
    await disk.start()
    for number, each in enumerate(stored_at_once(), 1):
        await disk.put(each)
        if number % 5000 == 0:
            await disk.flush()
    await disk.close()
    assert disk.written == NUMBER
    assert disk.evicted == 0
    assert_spread(Counter(int(at - EPOCH - NOW) for at in deaths(tmp_path / "disk/entries.mdb")))


def deaths(file: Path) -> list[float]:
    """When each entry in a file will be dropped, in seconds since 1970."""
    with lmdb.open(str(file), subdir=False, readonly=True, max_dbs=3) as env, env.begin() as txn:
        rows = txn.cursor(db=env.open_db(b"deaths", txn=txn, create=False)).iternext(values=False)
        return [int.from_bytes(row[:8]) / 1000 for row in rows]
