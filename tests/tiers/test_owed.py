"""What the ladder owes to its further tiers between a landing and the handing on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cranked import Clock, CrankedTier
from support.properties import unhurried
from support.tier_contract import entry

from proxy.ledger import SHARED, Ledger
from proxy.model.entry import CacheKey, Entry
from proxy.model.purge import Kind, Purge
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.ladder import NOTHING, Found, Ladder

KEYS = tuple(CacheKey("scope", bytes([number]) * 32) for number in range(3))
KEY = KEYS[0]


class Steps:
    """A tier at hand, one that is not, and the ladder over both."""

    def __init__(self, *, largest: int = 2**20) -> None:
        self.memory = L1Memory(
            max_bytes=2**22, max_entry_bytes=largest, clock=Clock(1000.0), scope_share=1.0
        )
        self.far = CrankedTier("far")
        self.ledger = Ledger()
        self.ladder = Ladder([self.memory, self.far], self.ledger, lambda *_: None)

    def forget_near(self) -> None:
        self.memory.clear_now()


@pytest.fixture
def steps() -> Steps:
    return Steps()


def made(body: bytes = b"{}", key: CacheKey = KEY) -> Entry:
    return entry(key, body, stored_at=1000.0)


async def test_what_is_put_near_is_there_at_once_and_further_off_when_it_is_handed_on(
    steps: Steps,
) -> None:
    stored = made()
    assert await steps.ladder.put_near(stored)
    assert steps.ladder.at_hand(KEY) == Found(stored, "l1_memory")
    assert steps.far.calls == []
    await steps.ladder.hand_on(KEY)
    assert steps.far.kept == {KEY.digest: stored}


@pytest.mark.parametrize("how", ["hand_on", "put", "delete", "clear"])
async def test_who_waits_for_that_waits_until_nothing_is_owed(steps: Steps, how: str) -> None:
    await steps.ladder.put_near(made())
    await asyncio.wait_for(steps.ladder.handed_on(KEYS[1]), 1.0)
    async with asyncio.timeout(1.0), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(steps.ladder.handed_on(KEY))
        await steps.ladder.put_near(made(b"[]"))  # still owed
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        match how:
            case "hand_on":
                await steps.ladder.hand_on(KEY)
                assert steps.far.kept[KEY.digest].body == b"[]"
            case "put":
                await steps.ladder.put(made(b"{ }"))
            case "delete":
                await steps.ladder.delete(KEY)
            case _:
                await steps.ladder.clear()


async def test_it_is_handed_on_once(steps: Steps) -> None:
    await steps.ladder.put_near(made())
    await steps.ladder.hand_on(KEY)
    await steps.ladder.hand_on(KEY)
    await steps.ladder.hand_on(KEYS[1])
    assert steps.far.calls == ["far.put"]


async def test_what_memory_will_not_take_goes_further_at_once() -> None:
    steps = Steps(largest=100)
    assert await steps.ladder.put_near(made())
    assert list(steps.far.kept) == [KEY.digest]
    await steps.ladder.hand_on(KEY)
    assert steps.far.calls == ["far.put"]


async def test_where_no_tier_is_at_hand_all_have_it_at_once() -> None:
    near, far = CrankedTier("near"), CrankedTier("far")
    ladder = Ladder([near, far], Ledger(), lambda *_: None)
    assert await ladder.put_near(made())
    assert list(near.kept) == list(far.kept) == [KEY.digest]


async def test_what_was_asked_before_a_purge_is_owed_to_nobody(steps: Steps) -> None:
    steps.ledger.enter(Purge(Kind.ALL), SHARED, 1000.0)
    assert not await steps.ladder.put_near(made())
    await steps.ladder.hand_on(KEY)
    assert steps.far.calls == []


async def test_what_is_owed_is_found_though_memory_has_lost_it_and_what_it_replaces_is_not(
    steps: Steps,
) -> None:
    steps.far.kept[KEY.digest] = made(b"old")
    await steps.ladder.put_near(new := made(b"new"))
    steps.forget_near()
    assert (await steps.ladder.get(KEY)).entry == new
    assert (await steps.ladder.glance(KEY)).entry == new, "it is near again"


async def test_what_is_owed_is_found_by_nobody_of_another_scope(steps: Steps) -> None:
    await steps.ladder.put_near(made())
    assert await steps.ladder.get(KEY._replace(scope="other")) is NOTHING


async def test_the_newest_is_handed_on_whoever_does(steps: Steps) -> None:
    await steps.ladder.put_near(made(b"old"))
    await steps.ladder.put_near(made(b"new"))
    await steps.ladder.hand_on(KEY)
    await steps.ladder.hand_on(KEY)
    assert [kept.body for kept in steps.far.kept.values()] == [b"new"]
    assert steps.far.calls == ["far.put"]


async def test_what_is_put_everywhere_meanwhile_stays(steps: Steps) -> None:
    await steps.ladder.put_near(made(b"old"))
    await steps.ladder.put(made(b"new"))
    await steps.ladder.hand_on(KEY)
    assert [kept.body for kept in steps.far.kept.values()] == [b"new"]


async def test_a_deletion_meanwhile_holds(steps: Steps) -> None:
    await steps.ladder.put_near(made())
    await steps.ladder.delete(KEY)
    await steps.ladder.hand_on(KEY)
    assert steps.far.kept == {}
    assert await steps.ladder.get(KEY) is NOTHING


async def test_a_clearing_meanwhile_holds(steps: Steps) -> None:
    await steps.ladder.put_near(made())
    await steps.ladder.clear()
    await steps.ladder.hand_on(KEY)
    assert steps.far.kept == {}


async def test_a_purge_meanwhile_brings_back_nothing_older(steps: Steps) -> None:
    """The older one has not the tag that is purged: it must have been replaced."""
    steps.far.kept[KEY.digest] = made(b"old")
    await steps.ladder.put_near(replace(made(b"new"), tags=("doc",)))
    steps.ledger.enter(Purge(Kind.TAG, "doc"), SHARED, 1000.0)
    assert await steps.ladder.get(KEY) is NOTHING
    await steps.ladder.hand_on(KEY)
    assert await steps.ladder.get(KEY) is NOTHING


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put_near", "put", "hand_on", "delete", "clear", "get", "forget"]),
            st.integers(0, len(KEYS) - 1),
        ),
        max_size=30,
    )
)
@unhurried
async def test_in_whatever_order_the_last_word_is_what_is_found(
    steps_taken: list[tuple[str, int]],
) -> None:
    steps, expected = Steps(), dict[CacheKey, bytes]()
    for count, (what, number) in enumerate(steps_taken):
        key, body = KEYS[number], str(count).encode()
        match what:
            case "put_near":
                assert await steps.ladder.put_near(made(body, key))
                expected[key] = body
            case "put":
                assert await steps.ladder.put(made(body, key))
                expected[key] = body
            case "hand_on":
                await steps.ladder.hand_on(key)
            case "delete":
                await steps.ladder.delete(key)
                expected.pop(key, None)
            case "clear":
                await steps.ladder.clear()
                expected.clear()
            case "forget":
                steps.forget_near()
            case _:
                found = (await steps.ladder.get(key)).entry
                assert (None if found is None else found.body) == expected.get(key)
    for key in KEYS:
        await steps.ladder.hand_on(key)
    assert {digest: kept.body for digest, kept in steps.far.kept.items()} == {
        key.digest: body for key, body in expected.items()
    }


async def test_memory_alone_owes_nothing_to_anybody() -> None:
    memory = L1Memory(max_bytes=2**22, max_entry_bytes=2**20, clock=Clock(1000.0))
    ladder = Ladder([memory], Ledger(), lambda *_: None)
    assert await ladder.put_near(made())
    memory.clear_now()
    assert await ladder.get(KEY) is NOTHING
    await ladder.hand_on(KEY)
