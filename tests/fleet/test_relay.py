"""Flights across replicas, wherever they meet: one asks, all hear it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from support.cranked import Clock, entry
from support.grounds import GROUNDS, Ground
from support.grounds import ground as ground_of
from support.replicas import SECRET, Replica, replica, until

from proxy.fleet.base import OWNER_CHARACTERS, Holder, lock_name
from proxy.fleet.content import Wish, wish_as_bytes
from proxy.fleet.letter import NAME_BYTES, Kind, Sealing
from proxy.flight import Found
from proxy.ledger import SHARED
from proxy.model.decision import GiveUp, Share, Why
from proxy.model.entry import CacheKey
from proxy.model.errors import BrokenReply, ConnectFailed, FirstByteTimeout
from proxy.model.message import Head, Headers
from proxy.model.query import Form

NOBODY = Holder("0" * OWNER_CHARACTERS, bytes(NAME_BYTES))


@pytest.fixture(params=GROUNDS)
async def ground(request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    async with ground_of(request.param) as ground:
        yield ground


@pytest.fixture
async def one(ground: Ground) -> AsyncIterator[Replica]:
    async with replica(ground.place) as one:
        yield one


@pytest.fixture
async def other(ground: Ground) -> AsyncIterator[Replica]:
    async with replica(ground.place) as other:
        yield other


def lock_of(one: Replica) -> bytes:
    """The name of the lock of what it asks."""
    return lock_name(one.errand.key, one.errand.asked)


async def free(one: Replica, lock: bytes) -> None:
    """Let go of a lock, whosever it is."""
    holder = await one.locks.holder(lock)
    assert holder is not None
    assert await one.locks.leave(lock, holder)


async def no_lock(ground: Ground) -> None:
    async with asyncio.timeout(20):
        while await ground.locks():
            pass


# -- one call for all ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [Form(stream=True, usage=False), Form()])
async def test_what_is_asked_of_two_replicas_costs_one_call_and_both_hear_every_byte(
    one: Replica, other: Replica, form: Form
) -> None:
    one.errand.asked = other.errand.asked = form
    leader = one.listen()
    call = await one.call()
    followers = [other.listen() for _ in range(3)]
    await one.followed()
    call.answer(length=13)
    call.send(b"one ", b"two ", b"three")
    call.end()

    assert await leader.end() == b"one two three"
    for follower in followers:
        assert await follower.end() == b"one two three"
        assert follower.boarding.length == 13
    assert other.calls == []
    assert [kept.body for kept in other.errand.kept] == [b"one two three"]
    assert (one.relay.counts.led, other.relay.counts.followed) == (1, 1)


async def test_a_follower_hears_each_piece_while_the_upstream_holds_the_next_back(
    one: Replica, other: Replica
) -> None:
    leader = one.listen()
    call = await one.call()
    follower = other.listen()
    await one.followed()
    call.answer()
    heard = b""
    for piece in (b"a", b"b", b"c"):
        call.send(piece)
        heard += piece
        await leader.until(heard)
        await follower.until(heard)
    call.end()
    assert await follower.end() == b"abc"


async def test_who_joins_in_the_middle_hears_from_the_first_byte_and_then_live(
    one: Replica, other: Replica
) -> None:
    leader = one.listen()
    call = await one.call()
    call.answer()
    call.send(b"a", b"b")
    await leader.until(b"ab")
    follower = other.listen()
    await follower.until(b"ab")
    call.send(b"c")
    await follower.until(b"abc")
    call.end()
    assert await follower.end() == b"abc"


async def test_the_first_who_follows_is_told_so_and_hears_no_personal_header(
    one: Replica, other: Replica
) -> None:
    one.listen()
    call = await one.call()
    follower = other.listen()
    await one.followed()
    named = Headers(
        [("Content-Type", "text/event-stream"), ("X-Request-Id", "r1"), ("X-É", "é\udcff")]
    )
    call.answer(Head(200, "Très bien", named))
    call.send(b"a")
    call.end()
    await follower.end()
    assert follower.seat.why is Why.JOINED
    assert follower.boarding.head == Head(
        200, "Très bien", named.without(frozenset({"x-request-id"}))
    )


async def test_an_answer_is_as_old_where_it_is_followed_as_where_it_was_asked_for(
    one: Replica, other: Replica
) -> None:
    one.listen()
    call = await one.call()
    one.clock.turn(30.0)
    follower = other.listen()
    await one.followed()
    call.answer()
    call.send(b"a")
    call.end()
    await follower.end()
    assert 30.0 <= other.errand.took_s < 50.0


async def test_many_replicas_follow_one(ground: Ground, one: Replica) -> None:
    one.listen()
    call = await one.call()
    async with replica(ground.place) as second, replica(ground.place) as third:
        followers = [second.listen(), third.listen()]
        await one.followed(by=2)
        call.answer()
        call.send(b"x" * 300_000)
        call.end()
        for follower in followers:
            assert await follower.end() == b"x" * 300_000


async def test_other_keys_and_other_forms_are_asked_for_apart(
    ground: Ground, one: Replica, other: Replica
) -> None:
    one.listen()
    await one.call()
    other.listen(replace(other.errand, key=CacheKey("bob", b"b" * 32)))
    await other.call(0)
    other.listen(replace(other.errand, asked=Form()))
    await other.call(1)
    assert await ground.locks() == 3


async def test_the_same_digest_of_another_scope_is_never_followed(
    one: Replica, other: Replica
) -> None:
    one.listen()
    await one.call()
    theirs = other.listen(replace(other.errand, key=CacheKey("bob", one.errand.key.digest)))
    call = await other.call()
    call.answer()
    call.send(b"bob's")
    call.end()
    assert await theirs.end() == b"bob's"


async def test_who_has_another_secret_is_not_answered(ground: Ground, one: Replica) -> None:
    one.listen()
    await one.call()
    async with replica(ground.place, secret=b"made up", answer_s=0.05) as stranger:
        stranger.listen()
        await stranger.call()
        await until(lambda: one.relay.counts.odd > 0)
        assert len(one.relay._leader._guests) == 0


# -- what comes of it ------------------------------------------------------------------------------


async def test_what_is_for_one_only_releases_all_who_follow_to_ask_for_themselves(
    one: Replica, other: Replica
) -> None:
    one.errand.verdict = other.errand.verdict = GiveUp(Why.SET_COOKIE)
    first = one.board()
    call = await one.call()
    follower, beside = other.board(), other.listen()
    await one.followed()
    call.answer()
    assert (await first.boarded()).why is Why.SET_COOKIE
    own = await other.call()
    await beside.end()
    assert beside.boarding.why is Why.GIVE_UP  # before the other's own answer began
    own.answer()
    assert (await follower.boarded()).arrival is own
    assert other.board().why is Why.HIT_FOR_MISS
    first.leave()
    follower.leave()


async def test_a_failure_before_the_head_is_told_once_for_all(one: Replica, other: Replica) -> None:
    leader = one.listen()
    call = await one.call()
    follower = other.listen()
    await one.followed()
    call.fail(FirstByteTimeout("no answer in 3 s"))
    for listener in (leader, follower):
        with pytest.raises(FirstByteTimeout, match="no answer in 3 s"):
            await listener.end()
    assert other.calls == []


async def test_who_follows_a_replica_that_cannot_reach_the_backend_asks_for_himself(
    one: Replica, other: Replica
) -> None:
    one.listen()
    call = await one.call()
    follower = other.listen()
    await one.followed()
    call.fail(ConnectFailed("no route from here"))
    (await one.call(1)).fail(ConnectFailed("no route from here"))
    own = await other.call()
    own.answer()
    own.send(b"there is one from here")
    own.end()
    assert await follower.end() == b"there is one from here"


async def test_a_body_that_breaks_off_is_broken_for_those_who_follow_too(
    one: Replica, other: Replica
) -> None:
    leader = one.listen()
    call = await one.call()
    follower = other.listen()
    await one.followed()
    call.answer()
    call.send(b"half")
    await follower.until(b"half")
    call.fail(BrokenReply("cut"))
    for listener in (leader, follower):
        with pytest.raises(BrokenReply, match="cut"):
            await listener.end()
    assert other.errand.kept == []


async def test_an_answer_that_is_not_to_be_kept_is_heard_and_leaves_no_lock(
    ground: Ground, one: Replica, other: Replica
) -> None:
    one.errand.verdict = other.errand.verdict = Share(storable=False, why=Why.STATUS)
    leader = one.listen()
    call = await one.call()
    follower = other.listen()
    await one.followed()
    call.answer(Head(429, "Slow down", Headers()))
    call.send(b"later")
    call.end()
    assert await leader.end() == await follower.end() == b"later"
    await no_lock(ground)
    other.listen()
    await other.call()


async def test_who_leads_goes_on_for_those_who_follow_when_its_own_have_left(
    one: Replica, other: Replica
) -> None:
    one.errand.verdict = other.errand.verdict = Share(storable=False, why=Why.STATUS)
    leader = one.listen()
    call = await one.call()
    follower = other.listen()
    await one.followed()
    call.answer()
    call.send(b"a")
    await follower.until(b"a")
    await leader.hang_up()
    call.send(b"b")
    call.end()
    assert await follower.end() == b"ab"


@pytest.mark.parametrize("begun", [False, True])
async def test_who_follows_and_leaves_frees_his_seat(
    ground: Ground, one: Replica, begun: bool
) -> None:
    async with replica(ground.place, limits={"orphan_grace": 0.0, "orphans": 0}) as other:
        leader = one.listen()
        call = await one.call()
        follower = other.listen()
        await one.followed()
        if begun:
            call.answer()
            call.send(b"a")
            await follower.until(b"a")
        await follower.hang_up()
        await one.followed(by=0)
        if not begun:
            call.answer()
            call.send(b"a")
        call.end()
        assert await leader.end() == b"a"


# -- the gap after landing -------------------------------------------------------------------------


async def test_who_had_looked_in_vain_is_told_that_it_is_stored_once_it_can_be_found(
    ground: Ground, one: Replica, other: Replica
) -> None:
    one.written.clear()
    leader = one.listen()
    call = await one.call()
    call.answer()
    call.end()
    await leader.end()
    other.errand.elsewhere = entry(body=b"stored")
    follower = other.listen()
    await one.followed()
    assert follower.boarding is None
    one.written.set()
    await follower.end()
    assert follower.boarding == Found(other.errand.elsewhere)
    assert other.calls == []
    assert await ground.locks() == 1  # a little longer, for others


async def test_who_is_told_that_it_is_stored_and_does_not_find_it_asks(
    one: Replica, other: Replica
) -> None:
    leader = one.listen()
    call = await one.call()
    call.answer()
    call.end()
    await leader.end()
    other.listen()
    await other.call()


async def test_a_lock_is_gone_a_moment_after_the_answer_was_stored(ground: Ground) -> None:
    async with replica(ground.place, linger_s=0.05) as one:
        leader = one.listen()
        call = await one.call()
        call.answer()
        call.end()
        await leader.end()
        await no_lock(ground)
        await until(lambda: len(one.relay._leader) == 0)


async def test_a_replica_that_asks_again_is_not_hindered_by_the_lock_it_has_left(
    ground: Ground, one: Replica
) -> None:
    for number in range(2):
        listener = one.listen()
        call = await one.call(number)
        call.answer()
        call.end()
        await listener.end()
    assert one.relay.counts.led == 2


async def test_a_refresh_that_another_replica_has_just_done_is_not_done_again(
    one: Replica, other: Replica
) -> None:
    other.errand.elsewhere = entry()
    assert other.flights.refresh(other.errand)
    await until(lambda: len(other.flights) == 0)
    assert other.calls == []
    assert other.flights.counts.refreshes_failed == 0


async def test_who_follows_a_refresh_that_finds_it_done_is_told_to_look_too(
    one: Replica, other: Replica
) -> None:
    one.errand.searching.clear()
    one.flights.refresh(one.errand)
    await until(lambda: one.relay.counts.led)
    one.errand.elsewhere = other.errand.elsewhere = entry()
    follower = other.listen()
    await one.followed()
    one.errand.searching.set()
    await follower.end()
    assert follower.boarding == Found(other.errand.elsewhere)
    assert one.calls == other.calls == []


async def test_of_two_refreshes_at_once_one_asks(one: Replica, other: Replica) -> None:
    one.flights.refresh(one.errand)
    call = await one.call()
    other.flights.refresh(other.errand)
    await one.followed()
    call.answer()
    call.send(b"new")
    call.end()
    await until(lambda: len(other.flights) == 0)
    assert [kept.body for kept in other.errand.kept] == [b"new"]
    assert other.calls == []


# -- what is not followed --------------------------------------------------------------------------


async def test_a_flight_from_before_a_purge_is_not_followed_and_loses_its_lock(
    ground: Ground, one: Replica, other: Replica
) -> None:
    old = one.listen()
    before = await one.call()
    purged = replace(other.errand, generation=7 * SHARED)
    new = other.listen(purged)
    after = await other.call()
    async with replica(ground.place) as third:
        follower = third.listen(replace(third.errand, generation=7 * SHARED))
        await other.followed()
        for call, body in ((before, b"old"), (after, b"new")):
            call.answer()
            call.send(body)
            call.end()
        assert await old.end() == b"old"
        assert await new.end() == await follower.end() == b"new"


async def test_a_flight_from_after_a_purge_that_is_not_known_here_yet_is_followed(
    one: Replica, other: Replica
) -> None:
    one.listen(replace(one.errand, generation=7 * SHARED))
    call = await one.call()
    follower = other.listen()
    await one.followed()
    call.answer()
    call.end()
    assert await follower.end() == b""


async def test_a_purge_that_no_journal_knows_means_nothing_elsewhere(
    one: Replica, other: Replica
) -> None:
    one.listen(replace(one.errand, generation=7 * SHARED + 1))
    await one.call()
    other.listen(replace(other.errand, generation=7 * SHARED + 1))
    await other.call()


async def test_a_flight_from_before_a_reload_is_not_followed_and_loses_its_lock(
    one: Replica, other: Replica
) -> None:
    before = one.listen()
    old = await one.call()
    one.flights.adopt(one.flights.limits, 1)
    follower = other.listen()
    led = await other.call()
    after = one.listen(replace(one.errand, edition=1))  # follows the other, who asked after it
    await other.followed()
    for call, body in ((old, b"old"), (led, b"new")):
        call.answer()
        call.send(body)
        call.end()
    assert [await each.end() for each in (before, follower, after)] == [b"old", b"new", b"new"]
    assert len(one.calls) == 1


async def test_a_flight_from_after_a_reload_takes_the_lock_of_the_one_before(
    one: Replica, other: Replica
) -> None:
    before = one.listen()
    old = await one.call()
    one.flights.adopt(one.flights.limits, 1)
    after = one.listen(replace(one.errand, edition=1))
    new = await one.call(1)
    follower = other.listen()
    await one.followed()
    for call, body in ((old, b"old"), (new, b"new")):
        call.answer()
        call.send(body)
        call.end()
    assert [await each.end() for each in (before, follower, after)] == [b"old", b"new", b"new"]
    assert other.calls == []


async def test_no_cache_follows_only_what_has_not_begun(one: Replica, other: Replica) -> None:
    one.listen()
    call = await one.call()
    early = other.listen(fresh=True)
    await one.followed()
    call.answer()
    call.send(b"a")
    await early.until(b"a")
    other.listen(fresh=True)
    await other.call()
    call.end()
    assert await early.end() == b"a"


async def test_no_cache_is_not_content_with_what_was_stored_a_moment_ago(
    one: Replica, other: Replica
) -> None:
    leader = one.listen()
    call = await one.call()
    call.answer()
    call.end()
    await leader.end()
    other.errand.elsewhere = entry()
    other.listen(fresh=True)
    await other.call()


async def test_a_flight_that_is_too_long_to_be_kept_is_not_followed(
    ground: Ground, other: Replica
) -> None:
    async with replica(ground.place, limits={"flight_bytes": 4}) as one:
        leader = one.listen()
        call = await one.call()
        call.answer()
        call.send(b"12345")
        await leader.until(b"12345")
        other.listen()
        await other.call()


# -- leaders that are no more ----------------------------------------------------------------------


@pytest.mark.parametrize("head", [False, True])
async def test_a_leader_that_dies_before_the_body_is_succeeded(ground: Ground, head: bool) -> None:
    async with (
        replica(ground.place, beat_s=0.05) as one,
        replica(ground.place, silent_s=1.0) as other,
    ):
        one.listen()
        call = await one.call()
        follower = other.listen()
        await other.hears(1)
        if head:
            call.answer()
            await other.hears(2)
        await one.die()
        own = await other.call()
        own.answer()
        own.send(b"mine")
        own.end()
        assert await follower.end() == b"mine"
        assert other.relay.counts.led == 1


async def test_a_leader_that_dies_in_the_middle_breaks_the_answer_off(ground: Ground) -> None:
    async with (
        replica(ground.place, beat_s=0.05) as one,
        replica(ground.place, silent_s=1.0) as other,
    ):
        one.listen()
        call = await one.call()
        follower = other.listen()
        await one.followed()
        call.answer()
        call.send(b"half")
        await follower.until(b"half")
        await one.die()
        with pytest.raises(BrokenReply, match=r"silent|gone"):
            await follower.end()
        assert other.errand.kept == []
        other.relay._answer_s = 0.01
        other.listen()  # and its lock keeps nobody from asking
        await other.call()


async def test_a_leader_that_has_nothing_to_tell_is_not_taken_for_dead(ground: Ground) -> None:
    async with (
        replica(ground.place, beat_s=0.01) as one,
        replica(ground.place, silent_s=2.0) as other,
    ):
        one.listen()
        call = await one.call()
        follower = other.listen()
        await until(lambda: one.relay.post.sent >= 10)
        call.answer()
        call.send(b"thought")
        await follower.until(b"thought")
        sent = one.relay.post.sent
        await until(lambda: one.relay.post.sent >= sent + 10)
        call.end()
        assert await follower.end() == b"thought"


async def test_a_leader_that_closes_hands_over_to_those_who_have_heard_nothing(
    ground: Ground, other: Replica
) -> None:
    async with replica(ground.place) as one:
        one.listen()
        await one.call()
        follower = other.listen()
        await one.followed()
    call = await other.call()
    call.answer()
    call.end()
    assert await follower.end() == b""


async def test_a_lock_whose_replica_has_no_mailbox_is_taken_over_at_once(one: Replica) -> None:
    assert await one.locks.claim(lock_of(one), NOBODY)
    one.listen()
    await one.call()
    assert one.relay.counts.led == one.relay.counts.taken_over == 1


async def test_the_lock_of_a_flight_that_takes_long_is_renewed_while_it_is_its_own(
    ground: Ground, other: Replica
) -> None:
    async with replica(ground.place, lease_s=0.3) as one:
        one.listen()
        await one.call()
        lock = lock_of(one)
        await free(one, lock)  # as a failover may
        async with asyncio.timeout(20):
            while await one.locks.holder(lock) is None:  # noqa: ASYNC110 - in real time
                await asyncio.sleep(0)
        await free(one, lock)
        assert await other.locks.claim(lock, NOBODY)
        await until(lambda: all(led.lost for led in one.relay._leader._led.values()))
    assert await other.locks.holder(lock) == NOBODY


@pytest.mark.parametrize("seized", [False, True])
async def test_a_lock_that_may_have_run_out_is_let_go_only_if_it_is_still_its_own(
    ground: Ground, seized: bool
) -> None:
    clock = Clock()
    async with (
        replica(ground.place, lease_s=30.0, clock=clock) as one,
        replica(ground.place, lease_s=30.0, clock=clock) as other,
    ):
        one.errand.verdict = Share(storable=False, why=Why.STATUS)
        listener = one.listen()
        call = await one.call()
        lock = lock_of(one)
        clock.turn(29.0)
        if seized:
            await free(one, lock)
            assert await other.locks.claim(lock, NOBODY)
        call.answer()
        call.end()
        await listener.end()
        await one.close()
        assert await other.locks.holder(lock) == (NOBODY if seized else None)


# -- strangers -------------------------------------------------------------------------------------


async def test_a_letter_that_somebody_made_up_breaks_the_answer_off_and_is_heard_by_nobody(
    ground: Ground, one: Replica, other: Replica
) -> None:
    one.listen()
    call = await one.call()
    follower = other.listen()
    await one.followed()
    call.answer()
    call.send(b"true")
    await follower.until(b"true")
    (name,) = other.relay._followed
    (flight,) = one.relay._leader._led
    forged = bytes([1, 9]) + flight + name + (3).to_bytes(8) + b"false" + bytes(16)
    assert await one.relay.post.send(other.relay.post.owner, forged)
    with pytest.raises(BrokenReply, match="damaged"):
        await follower.end()
    assert follower.heard == b"true"
    assert other.relay.counts.odd == 1


async def test_a_wish_that_somebody_puts_there_again_is_not_heard_again(
    one: Replica, other: Replica
) -> None:
    one.listen()
    await one.call()
    (flight,) = one.relay._leader._led
    conversation = Sealing(SECRET).between(flight, b"o" * NAME_BYTES, None)
    wish = Wish(other.relay.post.owner, one.errand.key, one.errand.generation, fresh=False)
    wanted = conversation.write(Kind.WANT, 0, wish_as_bytes(wish))
    one.relay.receive(wanted)
    await until(lambda: one.relay.post.sent)
    one.relay.receive(conversation.write(Kind.LEAVE, 1))
    await one.followed(by=0)
    sent = one.relay.post.sent
    one.relay.receive(wanted)  # the numbers of what it would hear now begin anew
    await one.followed(by=0)
    assert one.relay.post.sent == sent
