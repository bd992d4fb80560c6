"""Flights across the processes of one host: what is better there than in Redis, and what is not."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.cranked import entry
from support.replicas import Replica, replica, until

from proxy.fleet.base import lock_name
from proxy.model.entry import CacheKey
from proxy.model.errors import BrokenReply


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fleet-") as directory:
        yield Path(directory)


@pytest.fixture
async def one(folder: Path) -> AsyncIterator[Replica]:
    async with replica(folder) as one:
        yield one


@pytest.fixture
async def other(folder: Path) -> AsyncIterator[Replica]:
    async with replica(folder) as other:
        yield other


@pytest.mark.parametrize("head", [False, True])
async def test_a_leader_that_dies_before_the_body_is_succeeded_at_once(
    one: Replica, other: Replica, head: bool
) -> None:
    one.listen()
    call = await one.call()
    follower = other.listen()
    await one.followed()
    if head:
        call.answer()
        await other.hears(2)
    await one.die()
    own = await other.call()  # with all the patience there is, it waits for no time to pass
    own.answer()
    own.send(b"mine")
    own.end()
    assert await follower.end() == b"mine"
    assert (other.relay.counts.taken_over, other.relay.counts.led) == (1, 1)


async def test_a_leader_that_dies_in_the_middle_breaks_off_at_once_what_it_told(
    folder: Path, one: Replica, other: Replica
) -> None:
    one.listen()
    call = await one.call()
    follower = other.listen()
    await one.followed()
    call.answer()
    call.send(b"half")
    await follower.until(b"half")
    await one.die()
    with pytest.raises(BrokenReply, match="gone"):
        await follower.end()
    assert follower.heard == b"half"
    assert other.errand.kept == []
    assert other.relay.counts.broken == 1

    async with replica(folder) as third:
        third.listen()  # the lock of the dead keeps nobody waiting
        await third.call()
        again = other.listen()
        await third.followed()
        (call,) = third.calls
        call.answer()
        call.send(b"whole")
        call.end()
        assert await again.end() == b"whole"


async def test_what_the_dead_had_told_to_the_end_is_whole(one: Replica, other: Replica) -> None:
    one.listen()
    call = await one.call()
    follower = other.listen()
    await one.followed()
    call.answer()
    call.send(b"x" * 3_000_000)
    call.end()
    await until(lambda: one.relay.post.sent > 3 and not one.relay._leader._guests)
    await one.die()
    assert await follower.end() == b"x" * 3_000_000


async def test_a_follower_that_dies_is_told_no_more(one: Replica, other: Replica) -> None:
    leader = one.listen()
    call = await one.call()
    other.listen()
    await one.followed()
    call.answer()
    call.send(b"a")
    await leader.until(b"a")
    await other.die()
    call.send(b"b")
    await one.followed(by=0)
    call.end()
    assert await leader.end() == b"ab"


async def test_where_nothing_stored_is_shared_it_is_heard_to_the_end_and_nobody_told_to_look(
    folder: Path,
) -> None:
    async with replica(folder, lost=True) as one, replica(folder, lost=True) as other:
        leader = one.listen()
        call = await one.call()
        follower = other.listen()
        await one.followed()
        call.answer()
        call.send(b"whole")
        call.end()
        assert await leader.end() == await follower.end() == b"whole"
        assert [kept.body for kept in other.errand.kept] == [b"whole"]
        # Nobody is kept waiting for what is nowhere to be found.
        name = lock_name(one.errand.key, one.errand.asked)
        while await one.locks.holder(name) is not None:
            await one.followed(by=0)
        other.listen()
        await other.call()
        assert other.relay.counts.taken_over == 0


async def test_where_nothing_stored_is_shared_a_refresh_done_before_is_no_answer_for_others(
    folder: Path,
) -> None:
    async with replica(folder, lost=True) as one, replica(folder, lost=True) as other:
        one.errand.elsewhere = entry()  # found once it leads
        one.errand.searching.clear()
        assert one.flights.refresh(one.errand)
        await until(lambda: len(one.relay._leader) == 1)
        other.listen()
        await one.followed()
        one.errand.searching.set()
        await other.call()


async def test_without_a_directory_a_flight_asks_at_once_and_alone(folder: Path) -> None:
    async with replica(folder / "not" / "there") as one:
        assert not one.relay.post.is_open
        one.listen()
        await one.call()
        assert (one.relay.counts.alone, one.relay.counts.led) == (1, 0)
        assert [is_open for is_open, _ in one.told] == [False]


async def test_a_lock_file_that_cannot_be_used_costs_calls_and_nothing_else(folder: Path) -> None:
    (folder / "locks").mkdir()
    async with replica(folder) as one:
        assert one.relay.post.is_open
        one.listen()
        await one.call()
        assert one.relay.counts.alone == 1


async def test_two_processes_that_follow_each_other_at_once_do_not_mix_what_they_hear(
    one: Replica, other: Replica
) -> None:
    theirs = other.listen()
    of_other = await other.call()
    key = CacheKey("bob", b"b" * 32)
    mine = one.listen(replace(one.errand, key=key))
    of_one = await one.call()
    heard_here, heard_there = one.listen(), other.listen(replace(other.errand, key=key))
    await one.followed()
    await other.followed()
    for call, body in ((of_one, b"one's"), (of_other, b"other's")):
        call.answer()
        call.send(*(body for _ in range(100)))
        call.end()
    assert await mine.end() == await heard_there.end() == b"one's" * 100
    assert await theirs.end() == await heard_here.end() == b"other's" * 100
