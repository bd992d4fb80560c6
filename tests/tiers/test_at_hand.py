"""What is in memory, for who may not wait: looked at, kept, and beside what is lent."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cranked import Clock, CrankedTier
from support.properties import unhurried
from support.tier_contract import entry

from proxy.ledger import Ledger
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.purge import Kind, Purge
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.ladder import Found, Ladder
from proxy.tiers.packing import Packing, unpacked_size

KEY = CacheKey("scope", b"k" * 32)
KEPT = entry(KEY, stored_at=1000.0)
ONE = Packing().pack(KEPT)
SIZE = ONE.size
SHARED = ONE.alone - SIZE  # by all entries here
UNPACKED = unpacked_size(KEPT, ONE.rest)
LATELY = 64  # times what entries take unpacked is a budget that has room for them


def numbered(number: int) -> CacheKey:
    return CacheKey("scope", hashlib.blake2b(number.to_bytes(8), digest_size=32).digest())


def budget_for(entries: int) -> int:
    """Bytes that so many entries fit in, and not one more."""
    return -(-(entries * SIZE + SHARED) * LATELY // (LATELY - 1))  # the rest is for the unpacked


class Steps:
    """The memory tier, and the ladder over it. At least three may be unpacked unless told."""

    def __init__(
        self, *others: CrankedTier, budget: int = 3 * LATELY * UNPACKED, largest: int | None = None
    ) -> None:
        self.clock = Clock(1000.0)
        self.memory = L1Memory(
            max_bytes=budget, max_entry_bytes=largest or budget, clock=self.clock
        )
        self.ledger = Ledger()
        self.ladder = Ladder([self.memory, *others], self.ledger, lambda *_: None)

    def put(self, numbers: range) -> None:
        for number in numbers:
            assert self.memory.put_now(entry(numbered(number), stored_at=1000.0))

    def look(self, key: CacheKey = KEY) -> Entry:
        """What is at hand, which must be."""
        found = self.memory.at_hand(key)
        assert found is not None
        return found

    @property
    def counted(self) -> tuple[int, int]:
        return self.memory.hits, self.memory.misses


@pytest.fixture
def steps() -> Steps:
    return Steps()


# -- the tier -------------------------------------------------------------------------------------


def test_what_is_here_is_at_hand_and_counted_what_is_not_is_not(steps: Steps) -> None:
    kept = entry(KEY, stored_at=1000.0, lifetime=Lifetime(10.0, 5.0))
    another = CacheKey("another", KEY.digest)
    assert steps.memory.at_hand(KEY) is None
    assert steps.counted == (0, 0)
    steps.memory.put_now(kept)
    assert steps.memory.at_hand(another) is None  # neither packed
    found = steps.look()
    assert found == kept
    assert steps.memory.at_hand(KEY) is found
    assert steps.memory.keeps(found)
    assert steps.counted == (3, 0)
    assert steps.memory.at_hand(another) is None  # nor unpacked
    steps.clock.turn(14.0)  # stale, but still of use
    assert steps.memory.at_hand(KEY) is found
    assert steps.memory.keeps(found)
    steps.clock.turn(1.0)
    assert steps.memory.at_hand(KEY) is None
    assert not steps.memory.keeps(found)
    assert steps.counted == (5, 0)


def test_what_died_before_it_was_looked_at_is_not_at_hand(steps: Steps) -> None:
    steps.memory.put_now(entry(KEY, stored_at=1000.0, lifetime=Lifetime(10.0, 5.0)))
    steps.clock.turn(15.0)
    assert steps.memory.at_hand(KEY) is None
    assert (steps.counted, steps.memory.entries, steps.memory.expired) == ((0, 0), 1, 0)


def test_who_waits_is_given_what_is_at_hand(steps: Steps) -> None:
    steps.memory.put_now(KEPT)
    waited = steps.memory.get_now(KEY)
    assert waited is not None
    assert steps.memory.keeps(waited)
    assert steps.memory.at_hand(KEY) is waited
    assert steps.memory.get_now(KEY) is waited


def test_only_the_very_object_is_kept(steps: Steps) -> None:
    assert not steps.memory.keeps(KEPT)
    steps.memory.put_now(KEPT)
    assert not steps.memory.keeps(KEPT)  # which nobody was given
    found = steps.look()
    assert not steps.memory.keeps(KEPT)
    assert not steps.memory.keeps(replace(found))
    assert steps.memory.keeps(found)
    steps.memory.put_now(newer := replace(KEPT, stored_at=1001.0))
    assert not steps.memory.keeps(found)
    later = steps.look()
    assert later == newer
    assert not steps.memory.keeps(found)
    assert steps.memory.keeps(later)
    assert steps.counted == (4, 0)


@pytest.mark.parametrize("how", ["superseded", "declined", "deleted", "cleared", "crowded out"])
def test_what_has_left_is_kept_no_longer(steps: Steps, how: str) -> None:
    steps.memory.put_now(KEPT)
    found = steps.look()
    assert steps.memory.keeps(found)
    match how:
        case "superseded":
            steps.memory.put_now(replace(KEPT))  # by an equal one
        case "declined":
            assert not steps.memory.put_now(replace(KEPT, body=bytes(steps.memory.max_bytes)))
        case "deleted":
            steps.memory.delete_now(KEY)
        case "cleared":
            steps.memory.clear_now()
        case "crowded out":
            steps.memory.lend(steps.memory.max_bytes)
    assert not steps.memory.keeps(found)
    assert (steps.memory.at_hand(KEY) is None) is (how != "superseded")


async def test_what_is_swept_is_kept_no_longer(steps: Steps) -> None:
    steps.memory.put_now(KEPT)
    found = steps.look()
    await steps.memory.sweep(lambda each: each == KEPT)
    assert not steps.memory.keeps(found)


def test_what_is_let_go_of_unpacked_is_equal_but_another_object_from_then_on() -> None:
    steps = Steps(budget=LATELY * UNPACKED)  # room for one
    steps.put(range(2))
    first = steps.look(numbered(0))
    assert steps.look(numbered(0)) is first
    steps.look(numbered(1))  # finds the first asked for again
    steps.look(numbered(1))
    assert not steps.memory.keeps(first)
    hits = steps.memory.hits
    again = steps.look(numbered(0))
    assert again == first
    assert again is not first
    assert steps.memory.hits == hits + 1
    assert (steps.memory.entries, steps.memory.evicted) == (2, 0)


def test_where_there_is_no_room_to_unpack_all_is_at_hand_and_nothing_kept() -> None:
    steps = Steps(budget=LATELY * UNPACKED - 1)
    steps.memory.put_now(KEPT)
    found = steps.look()
    assert found == steps.look() == KEPT
    assert not steps.memory.keeps(found)
    assert (steps.counted, steps.memory.bytes) == ((2, 0), SIZE + SHARED)


def test_what_is_at_hand_or_kept_often_outlasts_what_was_so_once() -> None:
    steps = Steps(largest=SIZE)
    steps.put(range(3))
    looked_at, kept, _ = (steps.look(numbered(number)) for number in range(3))
    steps.look(looked_at.key)
    assert steps.memory.keeps(kept)
    for number in range(10, 2010):
        steps.put(range(number, number + 1))
        steps.look(numbered(number))  # so that none is a one-off
        assert steps.memory.at_hand(looked_at.key) is looked_at
        assert steps.memory.keeps(kept)
        assert steps.memory.bytes <= steps.memory.max_bytes
    assert steps.memory.evicted > 1000
    assert steps.memory.at_hand(numbered(2)) is None


def test_what_was_at_hand_once_outlasts_what_nobody_looked_at() -> None:
    steps = Steps(budget=budget_for(100), largest=SIZE)
    steps.put(range(2))
    looked_at = steps.look(numbered(0))
    steps.put(range(10, 1010))
    assert steps.memory.at_hand(numbered(0)) == looked_at
    assert steps.memory.at_hand(numbered(1)) is None


# -- lent -----------------------------------------------------------------------------------------


def test_what_is_lent_counts_and_makes_others_leave_and_comes_back() -> None:
    steps = Steps(budget=budget_for(10))
    steps.put(range(10))
    assert steps.memory.bytes == 10 * SIZE + SHARED
    steps.memory.lend(3 * SIZE - 1)
    assert (steps.memory.bytes, steps.memory.entries) == (10 * SIZE + SHARED - 1, 7)
    assert steps.memory.evicted == 3
    steps.put(range(99, 100))
    assert (steps.memory.bytes, steps.memory.entries) == (10 * SIZE + SHARED - 1, 7)
    steps.memory.lend(-(3 * SIZE - 1))
    assert (steps.memory.bytes, steps.memory.entries) == (7 * SIZE + SHARED, 7)
    steps.put(range(100, 103))
    assert (steps.memory.bytes, steps.memory.entries) == (10 * SIZE + SHARED, 10)


def test_nobody_leaves_for_what_is_lent_of_what_is_free() -> None:
    steps = Steps(budget=budget_for(10))
    steps.put(range(8))
    budget = steps.memory.max_bytes
    steps.memory.lend(budget - budget // LATELY - steps.memory.bytes)
    assert (steps.memory.bytes, steps.memory.entries) == (budget - budget // LATELY, 8)
    steps.memory.lend(1)
    assert steps.memory.entries == 7


def test_what_is_unpacked_is_counted_beside_what_is_lent(steps: Steps) -> None:
    steps.put(range(3))
    for number in range(3):
        steps.look(numbered(number))
    assert steps.memory.bytes == 3 * SIZE + SHARED + 3 * UNPACKED
    lent = steps.memory.max_bytes - 3 * UNPACKED - 2 * SIZE - SHARED
    steps.memory.lend(lent)  # what is for the unpacked alone is left to them
    assert (steps.memory.bytes, steps.memory.entries) == (steps.memory.max_bytes - UNPACKED, 2)
    steps.memory.lend(steps.memory.max_bytes - lent)
    assert (steps.memory.bytes, steps.memory.entries) == (steps.memory.max_bytes, 0)


def test_what_does_not_fit_beside_what_is_lent_is_declined() -> None:
    steps = Steps(budget=budget_for(10))
    steps.memory.lend(9 * SIZE)
    large = entry(KEY, b"0" * SIZE, stored_at=1000.0)
    assert not steps.memory.put_now(large)
    assert (steps.memory.declined, steps.memory.bytes) == (1, 9 * SIZE)
    assert steps.memory.put_now(KEPT)
    assert steps.memory.bytes == 10 * SIZE + SHARED
    steps.memory.lend(-5 * SIZE)
    assert steps.memory.put_now(large)


async def test_a_budget_shrinks_beside_what_is_lent() -> None:
    steps = Steps(budget=budget_for(10))
    steps.put(range(7))
    steps.memory.lend(3 * SIZE)
    assert (steps.memory.bytes, steps.memory.entries) == (10 * SIZE + SHARED, 7)
    await steps.memory.limit(max_bytes=budget_for(5), max_entry_bytes=SIZE, scope_share=1.0)
    assert (steps.memory.bytes, steps.memory.entries) == (5 * SIZE + SHARED, 2)


@pytest.mark.parametrize(("lent", "left"), [(100, 200), (-100, 400)])
def test_what_is_lent_while_a_budget_shrinks_is_taken_from_what_it_shrinks_to(
    lent: int, left: int
) -> None:
    steps = Steps(budget=budget_for(1100))
    steps.put(range(1000))
    steps.memory.lend(100 * SIZE)
    shrinking = steps.memory.limit(max_bytes=budget_for(400), max_entry_bytes=SIZE, scope_share=1.0)
    assert shrinking.send(None) is None
    assert steps.memory.entries > 700
    steps.memory.lend(lent * SIZE)
    with suppress(StopIteration):
        for _ in range(10):
            assert steps.memory.bytes <= steps.memory.max_bytes
            shrinking.send(None)
    assert steps.memory.max_bytes == budget_for(400)
    assert steps.memory.bytes <= steps.memory.max_bytes
    assert steps.memory.entries == left


BUDGET = 2 * LATELY * UNPACKED


@unhurried
@given(
    doings=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 20), st.integers(0, BUDGET // 2)),
            st.tuples(st.just("look"), st.integers(0, 20), st.just(0)),
            st.tuples(st.just("lend"), st.integers(0, BUDGET), st.just(0)),
            st.tuples(st.just("turn"), st.integers(0, 40), st.just(0)),
        ),
        max_size=60,
    )
)
def test_the_budget_is_never_exceeded_whatever_is_lent(doings: list[tuple[str, int, int]]) -> None:
    steps, lent = Steps(budget=BUDGET), 0
    room = BUDGET - BUDGET // LATELY
    last: dict[int, Entry] = {}
    for what, one, other in doings:
        if what == "put":
            last[one] = kept = entry(
                numbered(one), bytes(other), stored_at=steps.clock(), lifetime=Lifetime(30.0)
            )
            fits = Packing().pack(kept).alone <= room - lent
            assert steps.memory.put_now(kept) is fits
        elif what == "look":
            found = steps.memory.at_hand(numbered(one))
            assert found is None or found == last[one]
            assert found is None or steps.clock() < found.stored_at + 30.0
            assert found is None or not steps.memory.keeps(replace(found))
        elif what == "lend":
            steps.memory.lend(one - lent)
            lent = one
        else:
            steps.clock.turn(one)
        assert lent <= steps.memory.bytes <= BUDGET
    steps.memory.lend(-lent)
    steps.memory.clear_now()
    assert steps.memory.bytes == 0


# -- the ladder -----------------------------------------------------------------------------------


def test_the_ladder_tells_what_is_at_hand_and_where(steps: Steps) -> None:
    kept = entry(KEY, stored_at=1000.0)
    assert steps.ladder.at_hand(KEY) is None
    assert steps.ladder.nearest == "l1_memory"
    steps.memory.put_now(kept)
    found = steps.ladder.at_hand(KEY)
    assert found is not None
    assert found == Found(kept, "l1_memory")
    assert found.entry is not None
    assert steps.ladder.keeps(found.entry)
    assert not steps.ladder.keeps(kept)
    assert steps.memory.at_hand(KEY) is found.entry


def test_what_is_purged_is_not_at_hand_and_what_is_stale_by_a_purge_is_told_so(
    steps: Steps,
) -> None:
    kept = entry(KEY, stored_at=1000.0, lifetime=Lifetime(60.0, 60.0))
    steps.memory.put_now(kept)
    held = steps.look()
    steps.clock.turn(5.0)
    steps.ledger.enter(Purge(Kind.TAG, "another"), 1, steps.clock())
    found = steps.ladder.at_hand(KEY)
    assert found == Found(kept, "l1_memory")
    assert found.entry is held
    steps.ledger.enter(Purge(Kind.ALL, soft=True), 2, steps.clock())
    found = steps.ladder.at_hand(KEY)
    assert found is not None
    assert found.entry is not None
    assert found.entry.ttl_left(steps.clock()) == 0.0
    assert not steps.ladder.keeps(found.entry)  # the purge made it another
    steps.ledger.enter(Purge(Kind.ALL), 3, steps.clock())
    assert steps.ladder.at_hand(KEY) is None
    assert steps.ladder.keeps(held)  # which says nothing of purges


def test_where_the_nearest_tier_must_be_waited_for_nothing_is_at_hand() -> None:
    slow = CrankedTier("slow")
    kept = entry(KEY, stored_at=1000.0)
    slow.kept[KEY.digest] = kept
    ladder = Ladder([slow], Ledger(), lambda *_: None)
    assert (ladder.at_hand(KEY), ladder.nearest) == (None, "")
    assert not ladder.keeps(kept)


def test_what_is_further_off_is_not_at_hand() -> None:
    far = CrankedTier("far")
    far.kept[KEY.digest] = entry(KEY, stored_at=1000.0)
    assert Steps(far).ladder.at_hand(KEY) is None
