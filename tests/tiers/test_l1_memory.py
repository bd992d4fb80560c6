"""The memory tier: the contract of all tiers, its budget, and who has to leave."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.cranked import Clock
from support.properties import unhurried
from support.tier_contract import TierContract, entry

from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Usage
from proxy.tiers.base import Tier
from proxy.tiers.eviction import SPOKES, TICK_S, Slot
from proxy.tiers.l1_memory import L1Memory

SIZE = entry().size


class TestContract(TierContract):
    @pytest.fixture
    def tier(self, clock: Clock) -> Tier:
        return L1Memory(max_bytes=2**20, max_entry_bytes=self.max_entry_bytes, clock=clock)


def key(number: int, scope: str = "scope") -> CacheKey:
    return CacheKey(scope, hashlib.blake2b(number.to_bytes(8), digest_size=32).digest())


def room_for(entries: int, clock: Clock | None = None, **options: float) -> L1Memory:
    return L1Memory(
        max_bytes=entries * SIZE, max_entry_bytes=4 * SIZE, clock=clock or Clock(1000.0), **options
    )


def put(tier: L1Memory, numbers: range, lifetime: float = 1e6, scope: str = "scope") -> None:
    for number in numbers:
        tier.put_now(entry(key(number, scope), lifetime=Lifetime(lifetime)))


def held(tier: L1Memory, numbers: range, scope: str = "scope") -> int:
    return sum(tier.get_now(key(number, scope)) is not None for number in numbers)


def slots(tier: L1Memory) -> Iterator[Slot]:
    yield from tier._order._newcomers.values()
    yield from tier._order._main.values()


def test_all_that_fits_is_kept() -> None:
    tier = room_for(100)
    put(tier, range(100))
    assert held(tier, range(100)) == tier.entries == 100
    assert tier.bytes == 100 * SIZE
    assert tier.evicted == 0


def test_one_more_makes_one_leave() -> None:
    tier = room_for(100)
    put(tier, range(101))
    assert tier.entries == 100
    assert tier.evicted == 1
    assert tier.get_now(key(100)) is not None


def test_what_was_used_outlasts_any_number_of_one_offs() -> None:
    tier = room_for(100)
    put(tier, range(50))
    assert held(tier, range(50)) == 50
    put(tier, range(1000, 6000))
    assert held(tier, range(50)) == 50


def test_what_is_asked_for_again_soon_after_it_left_comes_to_stay() -> None:
    tier = room_for(100)
    put(tier, range(50))
    held(tier, range(50))
    put(tier, range(100, 151))
    assert tier.get_now(key(100)) is None
    put(tier, range(100, 101))
    put(tier, range(1000, 1200))
    assert tier.get_now(key(100)) is not None


def test_a_popularity_that_has_passed_is_forgotten() -> None:
    tier = room_for(100)
    put(tier, range(100))
    for _ in range(5):
        held(tier, range(100))
    for start in range(1000, 3000, 50):
        put(tier, range(start, start + 50))
        held(tier, range(start, start + 50))
    assert held(tier, range(100)) == 0


def test_what_has_come_to_stay_can_be_deleted() -> None:
    tier = room_for(100)
    put(tier, range(50))
    held(tier, range(50))
    put(tier, range(100, 200))
    tier.delete_now(key(0))
    assert tier.get_now(key(0)) is None
    assert held(tier, range(1, 50)) == 49
    assert tier.bytes == tier.entries * SIZE


def test_a_large_entry_takes_the_room_of_several() -> None:
    tier = room_for(100)
    put(tier, range(100))
    tier.put_now(entry(key(100), bytes(3 * SIZE)))  # and its own overhead
    assert tier.evicted == 4
    assert tier.bytes <= 100 * SIZE


def test_an_entry_that_grows_makes_others_leave() -> None:
    tier = room_for(100)
    put(tier, range(100))
    tier.put_now(entry(key(99), bytes(2 * SIZE)))
    assert tier.replaced == 1
    assert tier.evicted == 2
    assert tier.bytes <= 100 * SIZE


def test_an_entry_larger_than_the_budget_is_declined() -> None:
    tier = L1Memory(max_bytes=SIZE - 1, max_entry_bytes=2**20, clock=Clock())
    tier.put_now(entry())
    assert (tier.entries, tier.bytes, tier.declined) == (0, 0, 1)


def test_the_dead_leave_before_anyone_alive() -> None:
    clock = Clock(1000.0)
    tier = room_for(100, clock)
    put(tier, range(50))
    put(tier, range(50, 100), lifetime=10.0)
    clock.turn(10.0 + TICK_S)
    put(tier, range(100, 150))
    assert (tier.evicted, tier.expired, tier.entries) == (0, 50, 100)
    assert held(tier, range(50)) == 50


def test_a_large_entry_takes_the_room_of_as_many_dead_as_it_needs() -> None:
    clock = Clock(1000.0)
    tier = room_for(100, clock)
    put(tier, range(50))
    put(tier, range(50, 100), lifetime=10.0)
    clock.turn(10.0 + TICK_S)
    tier.put_now(entry(key(100), bytes(3 * SIZE)))
    assert (tier.evicted, tier.expired) == (0, 4)


def test_the_dead_are_swept_without_need_and_a_few_at_a_time() -> None:
    clock = Clock(1000.0)
    tier = room_for(100, clock)
    put(tier, range(40), lifetime=10.0)
    clock.turn(10.0 + TICK_S)
    put(tier, range(100, 105))
    assert 5 < tier.expired < 40
    put(tier, range(105, 140))
    assert tier.expired == 40


def test_the_dead_are_found_after_a_long_pause() -> None:
    clock = Clock(1000.0)
    tier = room_for(100, clock)
    put(tier, range(50), lifetime=3 * SPOKES * TICK_S)
    clock.turn(10 * SPOKES * TICK_S)
    put(tier, range(100, 100 + 100))
    assert (tier.expired, tier.evicted) == (50, 0)


def test_one_scope_beyond_its_share_cannot_push_out_what_others_use() -> None:
    tier = room_for(100, scope_share=0.25)
    put(tier, range(20), scope="quiet")
    held(tier, range(20), "quiet")
    for start in range(1000, 3000, 5):
        put(tier, range(start, start + 5), scope="loud")
        held(tier, range(start, start + 5), "loud")  # each is used, so each would have to stay
        held(tier, range(20), "quiet")
    assert held(tier, range(20), "quiet") == 20
    assert held(tier, range(2950, 3000), "loud") > 25  # what nobody else needs is theirs


def test_a_scope_that_is_alone_has_all_for_itself() -> None:
    tier = room_for(100, scope_share=0.25)
    put(tier, range(60))
    held(tier, range(60))
    put(tier, range(1000, 2000))
    assert held(tier, range(60)) == 60


def test_counters_tell_what_became_of_each_entry() -> None:
    clock = Clock(1000.0)
    tier = room_for(10, clock)
    put(tier, range(12), lifetime=10.0)
    tier.put_now(entry(key(11)))
    tier.delete_now(key(11))
    tier.delete_now(key(11))
    tier.get_now(key(10))
    clock.turn(11.0)
    tier.get_now(key(10))
    tier.clear_now()
    assert (tier.evicted, tier.replaced, tier.deleted, tier.expired) == (2, 1, 9, 1)
    assert (tier.hits, tier.misses, tier.entries, tier.bytes) == (1, 1, 0, 0)


def test_what_is_accounted_is_what_is_allocated() -> None:
    count = 2_000
    tier = L1Memory(max_bytes=2**30, max_entry_bytes=2**20, clock=Clock(1000.0))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            stored = Entry(
                key(number, f"scope-{number:034}"),
                "openai_chat",
                f"model-{number}",
                Head(200, "OK", Headers((f"x-{i}-{number}", f"{number}-{i}") for i in range(8))),
                Form(),
                bytes(2048),
                1000.0 + number / 7,
                Lifetime(3600.0 + number),
                usage=Usage(1000 + number, 2000 + number),
            )
            stored.head.headers.index()  # built by the first hit, and kept
            tier.put_now(stored)
        allocated = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.8 < allocated / tier.bytes < 1.25


class Machine(RuleBasedStateMachine):
    """The tier beside a dictionary that forgets nothing."""

    digests = st.integers(0, 11).map(lambda number: key(number).digest)
    scopes = st.sampled_from(["a", "b"])

    @initialize(share=st.sampled_from([1.0, 0.3]), most=st.sampled_from([3, 6]))
    def build(self, share: float, most: int) -> None:
        self.clock = Clock(1000.0)
        self.budget = 6 * SIZE
        self.most = most * SIZE
        self.tier = L1Memory(
            max_bytes=self.budget, max_entry_bytes=self.most, clock=self.clock, scope_share=share
        )
        self.put: dict[bytes, tuple[Entry, int]] = {}  # and how many had been evicted before

    @rule(
        digest=digests,
        scope=scopes,
        length=st.integers(0, 7 * SIZE) | st.just(0),
        lifetime=st.builds(
            Lifetime,
            st.sampled_from([0.0, 3.0, 50.0, 1e5, float("inf")]),
            st.sampled_from([0.0, 20.0]),
        ),
        age=st.sampled_from([0.0, 2.0]),
    )
    def put_one(
        self, digest: bytes, scope: str, length: int, lifetime: Lifetime, *, age: float
    ) -> None:
        stored = entry(
            CacheKey(scope, digest),
            bytes(length),
            stored_at=self.clock(),
            lifetime=lifetime,
            initial_age=age,
        )
        evicted = self.tier.evicted  # an entry that grows may have to leave itself
        self.tier.put_now(stored)
        if stored.size > self.most or stored.age(self.clock()) >= stored.lifetime.keep:
            self.put.pop(digest, None)
            assert self.tier.get_now(stored.key) is None
        else:
            self.put[digest] = stored, evicted

    @rule(digest=digests, scope=scopes, times=st.integers(1, 4))
    def get_one(self, digest: bytes, scope: str, times: int) -> None:
        for _ in range(times):
            found = self.tier.get_now(CacheKey(scope, digest))
            last, evicted = self.put.get(digest, (None, 0))
            if last is None or last.key.scope != scope or self.is_dead(last):
                assert found is None
            elif found is None:
                assert self.tier.evicted > evicted
            else:
                assert found is last

    @rule(digest=digests)
    def delete_one(self, digest: bytes) -> None:
        self.tier.delete_now(CacheKey("a", digest))
        self.put.pop(digest, None)

    @rule()
    def clear_all(self) -> None:
        self.tier.clear_now()
        self.put.clear()

    @rule(seconds=st.sampled_from([0.5, 3.0, 30.0, 1e4]))
    def wait(self, seconds: float) -> None:
        self.clock.turn(seconds)

    def is_dead(self, stored: Entry) -> bool:
        return stored.age(self.clock()) >= stored.lifetime.keep

    @invariant()
    def the_budget_is_kept_and_the_accounts_are_exact(self) -> None:
        found = list(slots(self.tier))
        assert self.tier.entries == len(found) == len({slot.digest for slot in found})
        assert self.tier.bytes == sum(slot.entry.size for slot in found) <= self.budget
        newcomers = self.tier._order._newcomers.values()
        assert self.tier._order._newcomer_bytes == sum(slot.size for slot in newcomers)
        assert sum(self.tier._order._scopes.values()) in {0, self.tier.bytes}

    @invariant()
    def each_entry_is_watched_once(self) -> None:
        watched = []
        for spoke in (*self.tier._wheel._spokes, self.tier._wheel._spared):
            link = spoke.after
            while isinstance(link, Slot):
                watched.append(link.digest)
                assert link.before.after is link.after.before is link
                link = link.after
            assert link is spoke
        assert sorted(watched) == sorted(slot.digest for slot in slots(self.tier))


TestMachine = Machine.TestCase
TestMachine.settings = settings(unhurried, max_examples=60, stateful_step_count=40)


async def test_a_sweep_forgets_what_is_gone_and_nothing_that_came_meanwhile() -> None:
    clock = Clock(1000.0)
    tier = L1Memory(max_bytes=2**22, max_entry_bytes=2**16, clock=clock)
    keys = [CacheKey("anon", number.to_bytes(32)) for number in range(1200)]
    for number, key in enumerate(keys):
        tier.put_now(replace(entry(key), generation=number % 2))
    seen = 0

    def gone(each: Entry) -> bool:
        nonlocal seen
        seen += 1
        if seen == 1:  # others go on meanwhile
            tier.put_now(replace(entry(keys[0]), generation=1))
            tier.delete_now(keys[2])
        return each.generation == 0

    await tier.sweep(gone)
    left = [number for number, key in enumerate(keys) if tier.get_now(key) is not None]
    assert left == [0, *range(1, 1200, 2)]


# -- other bounds ------------------------------------------------------------------------------


async def test_a_smaller_budget_is_kept_from_then_on_and_a_larger_one_used() -> None:
    tier = room_for(2000)
    put(tier, range(2000))
    await tier.limit(max_bytes=10 * SIZE, max_entry_bytes=4 * SIZE, scope_share=1.0)
    assert tier.bytes <= 10 * SIZE
    assert tier.evicted == 2000 - tier.entries
    put(tier, range(100))
    assert tier.bytes <= 10 * SIZE
    await tier.limit(max_bytes=100 * SIZE, max_entry_bytes=SIZE - 1, scope_share=1.0)
    assert not tier.put_now(entry(key(7)))
    await tier.limit(max_bytes=100 * SIZE, max_entry_bytes=SIZE, scope_share=1.0)
    put(tier, range(1000, 1100))
    assert tier.entries == 100


async def test_a_budget_that_shrinks_does_so_bit_by_bit() -> None:
    tier = room_for(2000)
    put(tier, range(2000))
    shrinking = tier.limit(max_bytes=SIZE, max_entry_bytes=SIZE, scope_share=1.0)
    assert shrinking.send(None) is None
    assert 1000 < tier.entries < 2000
    assert tier.bytes <= 2000 * SIZE
    put(tier, range(5000, 5010))  # what comes meanwhile makes it no longer
    assert tier.entries < 2000
    rounds = 0
    with suppress(StopIteration):
        while rounds < 10:
            shrinking.send(None)
            rounds += 1
    assert rounds == 3
    assert tier.bytes <= SIZE


async def test_a_share_holds_for_what_is_here_already() -> None:
    tier = room_for(100)
    put(tier, range(50), scope="greedy")
    put(tier, range(50), scope="modest")
    await tier.limit(max_bytes=100 * SIZE, max_entry_bytes=SIZE, scope_share=0.2)
    put(tier, range(100, 120), scope="other")
    assert sum(tier._order._scopes.values()) == tier.bytes
    await tier.limit(max_bytes=100 * SIZE, max_entry_bytes=SIZE, scope_share=1.0)
    put(tier, range(200, 300), scope="other")
    assert tier.entries == 100
