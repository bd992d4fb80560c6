"""The memory tier: the contract of all tiers, its budget, and who has to leave."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from sys import getrefcount

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.cranked import Clock
from support.properties import unhurried
from support.tier_contract import TierContract, entry

from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.meaning import Wording
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Usage
from proxy.tiers.base import Tier
from proxy.tiers.eviction import SPOKES, TICK_S, Queue, Slot
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.packing import Packing, unpacked

ONE = Packing().pack(entry())
SIZE = ONE.size
SHARED = ONE.alone - SIZE  # by all entries of a scope


class TestContract(TierContract):
    @pytest.fixture
    def tier(self, clock: Clock) -> Tier:
        return L1Memory(max_bytes=2**20, max_entry_bytes=self.max_entry_bytes, clock=clock)


def key(number: int, scope: str = "scope") -> CacheKey:
    return CacheKey(scope, hashlib.blake2b(number.to_bytes(8), digest_size=32).digest())


def budget_for(entries: int, scopes: int = 1) -> int:
    """Bytes that so many entries of some scopes fit in, and not one more."""
    return -(-(entries * SIZE + scopes * SHARED) * 64 // 63)  # the rest is for what is unpacked


def room_for(
    entries: int, clock: Clock | None = None, scope_share: float = 1.0, scopes: int = 1
) -> L1Memory:
    return L1Memory(
        max_bytes=budget_for(entries, scopes),
        max_entry_bytes=4 * SIZE,
        clock=clock or Clock(1000.0),
        scope_share=scope_share,
    )


def put(tier: L1Memory, numbers: range, lifetime: float = 1e6, scope: str = "scope") -> None:
    for number in numbers:
        tier.put_now(entry(key(number, scope), lifetime=Lifetime(lifetime)))


def held(tier: L1Memory, numbers: range, scope: str = "scope") -> int:
    return sum(tier.get_now(key(number, scope)) is not None for number in numbers)


def queued(queue: Queue) -> Iterator[Slot]:
    slot, before = queue.oldest, None
    while slot is not None:
        assert slot.queue is queue
        assert slot.older is before
        yield slot
        slot, before = slot.newer, slot
    assert queue.newest is before


def slots(tier: L1Memory) -> Iterator[Slot]:
    yield from queued(tier._order._newcomers)
    yield from queued(tier._order._main)


def test_all_that_fits_is_kept() -> None:
    tier = room_for(100)
    put(tier, range(100))
    assert held(tier, range(100)) == tier.entries == 100
    assert tier.bytes == 100 * SIZE + SHARED
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
    assert tier.bytes == tier.entries * SIZE + SHARED


def test_a_large_entry_takes_the_room_of_several() -> None:
    tier = room_for(100)
    put(tier, range(100))
    tier.put_now(entry(key(100), bytes(3 * SIZE)))  # and its own overhead
    assert tier.evicted == 4
    assert tier.bytes <= 100 * SIZE + SHARED


def test_an_entry_that_grows_makes_others_leave() -> None:
    tier = room_for(100)
    put(tier, range(100))
    tier.put_now(entry(key(99), bytes(2 * SIZE)))
    assert tier.replaced == 1
    assert tier.evicted == 2
    assert tier.bytes <= 100 * SIZE + SHARED


def test_an_entry_larger_than_the_budget_is_declined() -> None:
    tier = L1Memory(max_bytes=SIZE + SHARED - 1, max_entry_bytes=2**20, clock=Clock())
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
    tier = room_for(100, scope_share=0.25, scopes=2)
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


def alike(number: int) -> Entry:
    """An answer as a backend sends thousands: each has a time and numbers of its own."""
    fields = [("Date", f"Sun, 22 Nov 2026 10:{number // 60 % 60:02}:{number % 60:02} GMT")]
    fields += [(f"x-{i}", f"the value of {i}") for i in range(8)]
    return Entry(
        key(number, f"scope-{number % 10:034}"),
        "openai_chat",
        "model-" + str(number % 3),
        Head(200, "OK", Headers(fields)),
        Form(),
        bytes(2048),
        1000.0 + number / 7,
        Lifetime(3600.0 + number / 3),
        usage=Usage(1000 + number, 2000 + number),
        upstream_s=number / 11,
        path="/v1/chat/completions",
    )


def unlike(number: int) -> Entry:
    """An answer that has nothing in common with any other."""
    fields = ((f"x-{i}-{number}", f"{number}-{i}") for i in range(8))
    return replace(
        alike(number),
        key=key(number, f"scope-{number:034}"),
        model=f"model-{number}",
        head=Head(200, f"OK {number}", Headers(fields)),
        tags=(f"tag-{number}", "another"),
        wording=Wording(number.to_bytes(16), f"What is {number}?"),
    )


def use(tier: L1Memory, wanted: CacheKey) -> None:
    found = tier.get_now(wanted)
    assert found is not None
    found.head.headers.index()  # built by the first hit, and kept


@pytest.mark.parametrize(("made", "least"), [(alike, 0.9), (unlike, 0.75)])
@pytest.mark.parametrize("asked", [0, 1000])
def test_what_is_accounted_is_what_is_allocated(
    made: Callable[[int], Entry], least: float, asked: int
) -> None:
    tier = L1Memory(max_bytes=2**28, max_entry_bytes=2**20, clock=Clock(1000.0))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1000):
            tier.put_now(made(number))
        for number in range(asked):
            use(tier, made(number).key)
        allocated = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert tier.entries == 1000
    assert least < allocated / tier.bytes < 1.0


def test_ten_thousand_short_answers_fit_in_a_budget_a_quarter_larger_than_they() -> None:
    tier = L1Memory(max_bytes=10_000 * 2560, max_entry_bytes=2**20, clock=Clock(1000.0))
    for number in range(10_000):
        tier.put_now(alike(number))
    assert tier.evicted == 0


UNIT = 40_000  # so that there is room for two that are unpacked


class Machine(RuleBasedStateMachine):
    """The tier beside a dictionary that forgets nothing."""

    digests = st.integers(0, 11).map(lambda number: key(number).digest)
    scopes = st.sampled_from(["a", "b"])

    @initialize(share=st.sampled_from([1.0, 0.3]), most=st.sampled_from([3, 6]))
    def build(self, share: float, most: int) -> None:
        self.clock = Clock(1000.0)
        self.budget = 6 * UNIT
        self.most = most * UNIT
        self.tier = L1Memory(
            max_bytes=self.budget, max_entry_bytes=self.most, clock=self.clock, scope_share=share
        )
        self.put: dict[bytes, tuple[Entry, int]] = {}  # and how many had been evicted before

    @rule(
        digest=digests,
        scope=scopes,
        length=st.integers(0, 7 * UNIT) | st.just(0),
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
        packed = Packing().pack(stored)
        fits = packed.size <= self.most and packed.alone <= self.budget - self.budget // 64
        if not self.tier.put_now(stored):
            assert not fits or stored.age(self.clock()) >= stored.lifetime.keep
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
                assert found == last

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
        order, packing, lately = self.tier._order, self.tier._packing, self.tier._lately
        assert self.tier.entries == len(found) == len({slot.digest for slot in found})
        assert self.tier.bytes == order.bytes + packing.bytes + lately.bytes <= self.budget
        assert order.bytes == sum(slot.size for slot in found)
        for queue in (order._newcomers, order._main):
            assert queue.bytes == sum(slot.size for slot in queued(queue))
        assert sum(order._scopes.values()) in {0, order.bytes}

    @invariant()
    def what_is_shared_is_there_for_as_long_as_somebody_shares_it(self) -> None:
        kinds = Counter(slot.kind for slot in slots(self.tier))
        moulds = Counter(kind.mould for kind in kinds)
        assert {kind: kind.users for kind in self.tier._packing._kinds.values()} == kinds
        assert {mould: mould.users for mould in self.tier._packing._moulds.values()} == moulds
        assert self.tier._packing.bytes == sum(each.bytes for each in (*kinds, *moulds))

    @invariant()
    def what_is_unpacked_is_what_is_packed(self) -> None:
        lately = self.tier._lately
        assert lately.bytes == sum(each.bytes for each in lately._held.values()) <= lately.most
        for digest, each in lately._held.items():
            slot = self.tier._order.find(digest)
            assert each.slot is slot
            assert each.entry == unpacked(slot.digest, slot.kind, slot.rest, slot.body)

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


async def test_all_that_is_here_can_be_swept_out_and_what_comes_meanwhile_stays() -> None:
    tier = L1Memory(max_bytes=2**22, max_entry_bytes=2**16, clock=Clock(1000.0))
    put(tier, range(1000))
    sweeping = tier.sweep()
    assert sweeping.send(None) is None
    assert 0 < tier.entries < 1000
    put(tier, range(2000, 2010))
    with suppress(StopIteration):
        while tier.entries:
            sweeping.send(None)
    assert held(tier, range(2000, 2010)) == tier.entries == 10


# -- what is unpacked --------------------------------------------------------------------------


def test_what_is_asked_for_again_is_the_same_object_until_it_leaves() -> None:
    tier = L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=Clock(1000.0))
    put(tier, range(300))
    found = tier.get_now(key(0))
    for number in range(300):  # far more than are kept unpacked
        assert tier.get_now(key(number)) == entry(key(number), lifetime=Lifetime(1e6))
        assert tier.get_now(key(0)) is found
    assert 5 < len(tier._lately._held) < 20
    assert tier.get_now(key(0, "another scope")) is None


def test_what_replaces_an_entry_is_found_in_its_place_at_once() -> None:
    tier = L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=Clock(1000.0))
    tier.put_now(entry(body=b"old"))
    assert tier.get_now(entry().key) == entry(body=b"old")
    tier.put_now(entry(body=b"new"))
    assert tier.get_now(entry().key) == entry(body=b"new")
    tier.delete_now(entry().key)
    assert tier.get_now(entry().key) is None
    assert tier.bytes == 0


@pytest.mark.parametrize("way", ["deleted", "cleared", "evicted", "superseded", "expired"])
def test_nothing_is_held_on_to_that_leaves(way: str) -> None:
    clock = Clock(1000.0)
    tier = L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=clock)
    body = bytes(range(100))
    mine = getrefcount(body)
    tier.put_now(entry(key(0), body))
    assert tier.get_now(key(0)) is not None
    assert len(tier._lately._held) == 1
    assert getrefcount(body) > mine
    match way:
        case "deleted":
            tier.delete_now(key(0))
        case "cleared":
            tier.clear_now()
        case "evicted":
            for number in range(1, 60):  # too large for all to stay, though they are used, too
                tier.put_now(entry(key(number), bytes(60_000)))
                tier.get_now(key(number))
        case "superseded":
            tier.put_now(entry(key(0), stored_at=0.0))  # dead on arrival
        case "expired":
            clock.turn(60.0)
            assert tier.get_now(key(0)) is None
    assert getrefcount(body) == mine
    tier.clear_now()
    assert (tier.bytes, tier.entries) == (0, 0)


# -- other bounds ------------------------------------------------------------------------------


async def test_a_smaller_budget_is_kept_from_then_on_and_a_larger_one_used() -> None:
    tier = room_for(2000)
    put(tier, range(2000))
    await tier.limit(max_bytes=10 * SIZE, max_entry_bytes=4 * SIZE, scope_share=1.0)
    assert tier.bytes <= 10 * SIZE
    assert tier.evicted == 2000 - tier.entries
    put(tier, range(100))
    assert tier.bytes <= 10 * SIZE
    budget = budget_for(100)
    await tier.limit(max_bytes=budget, max_entry_bytes=SIZE - 1, scope_share=1.0)
    assert not tier.put_now(entry(key(7)))
    await tier.limit(max_bytes=budget, max_entry_bytes=SIZE, scope_share=1.0)
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
        while rounds < 20:
            shrinking.send(None)
            rounds += 1
    assert rounds == 7
    assert tier.bytes <= SIZE


async def test_a_share_holds_for_what_is_here_already() -> None:
    tier = room_for(100)
    put(tier, range(50), scope="greedy")
    put(tier, range(50), scope="modest")
    budget = budget_for(100, scopes=3)
    await tier.limit(max_bytes=budget, max_entry_bytes=SIZE, scope_share=0.2)
    put(tier, range(100, 120), scope="other")
    assert sum(tier._order._scopes.values()) == tier._order.bytes
    await tier.limit(max_bytes=budget, max_entry_bytes=SIZE, scope_share=1.0)
    put(tier, range(200, 310), scope="other")
    assert tier.entries >= 100
