"""Flights, driven by hand: who joins, what each hears, what is kept, what ends when."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support.cranked import Clock, Crank, Errand, entry, settle

from proxy.flight import (
    Boarded,
    Flights,
    Found,
    Handed,
    Lagged,
    Limits,
    Released,
    Seat,
)
from proxy.model.decision import GiveUp, Share, Why
from proxy.model.entry import CacheKey
from proxy.model.errors import (
    BrokenReply,
    ConnectFailed,
    FirstByteTimeout,
    Overloaded,
    UpstreamError,
)
from proxy.model.pieces import pour
from proxy.model.query import Form, Refusal


class Field:
    """The airfield of a test: one clock, one upstream, one board."""

    def __init__(self, limits: Limits) -> None:
        self.clock = Clock()
        self.crank = Crank()
        self.bugs: list[BaseException] = []
        self.flights = Flights(limits, clock=self.clock, report=self.bugs.append)
        self.errand = Errand(self.crank, self.clock)

    def board(self, errand: Errand | None = None, *, fresh: bool = False) -> Seat:
        seat = self.flights.board(errand or self.errand, lambda _form: True, fresh=fresh)
        assert isinstance(seat, Seat)
        return seat

    @property
    def calls(self) -> list:
        return self.crank.calls


@asynccontextmanager
async def airfield(**limits: float) -> AsyncIterator[Field]:
    field = Field(replace(Limits(), **limits))
    tasks = asyncio.all_tasks()
    yield field
    await field.flights.close()
    await settle()
    assert len(field.flights) == 0
    assert asyncio.all_tasks() <= tasks, "a task was left behind"


async def heard(seat: Seat) -> bytes:
    """All that the seat hears, to its end."""
    try:
        boarding = await seat.boarded()
        assert isinstance(boarding, Boarded)
        return b"".join([piece async for piece in seat.pieces()])
    finally:
        seat.leave()


def listen(*seats: Seat) -> list[asyncio.Task[bytes]]:
    return [asyncio.ensure_future(heard(seat)) for seat in seats]  # noqa: TID251 - a test's own


async def test_a_thousand_who_ask_at_once_cost_one_call_and_all_hear_every_byte():
    async with airfield() as field:
        listeners = listen(*[field.board() for _ in range(1000)])
        await settle()
        (call,) = field.calls
        call.answer()
        call.send(b"one ", b"two ", b"three")
        call.end()
        assert set(await asyncio.gather(*listeners)) == {b"one two three"}
        assert len(field.calls) == 1
        assert [kept.body for kept in field.errand.kept] == [b"one two three"]


async def test_who_joins_in_the_middle_hears_from_the_first_byte_and_then_live():
    async with airfield() as field:
        (first,) = listen(field.board())
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"a", b"b")
        await settle()
        late = field.board()
        assert late.joined
        pieces = late.pieces()
        assert await anext(pieces) == b"ab"
        field.calls[0].send(b"c")
        assert await anext(pieces) == b"c"
        field.calls[0].end()
        with pytest.raises(StopAsyncIteration):
            await anext(pieces)
        late.leave()
        assert await first == b"abc"


async def test_the_first_who_hangs_up_ends_nothing_for_the_rest():
    async with airfield() as field:
        first, second = listen(field.board(), field.board())
        await settle()
        first.cancel()
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"x")
        field.calls[0].end()
        assert await second == b"x"


@given(
    leavers=st.sets(st.integers(0, 7), max_size=7),
    moment=st.sampled_from(["before the head", "between pieces", "before the end"]),
)
@hypothesis_settings(deadline=None, max_examples=60)
def test_any_subset_that_leaves_at_any_moment_changes_nothing_for_the_others(leavers, moment):
    async def scene() -> None:
        async with airfield() as field:
            listeners = listen(*[field.board() for _ in range(8)])

            async def leave() -> None:
                for number in leavers:
                    listeners[number].cancel()
                await settle()

            await settle()
            (call,) = field.calls
            if moment == "before the head":
                await leave()
            call.answer()
            call.send(b"1", b"2")
            await settle()
            if moment == "between pieces":
                await leave()
            call.send(b"3")
            await settle()
            if moment == "before the end":
                await leave()
            call.end()
            for number, listener in enumerate(listeners):
                if number not in leavers:
                    assert await listener == b"123"
            assert len(field.calls) == 1
            assert [kept.body for kept in field.errand.kept] == [b"123"]

    asyncio.run(scene())


async def test_a_body_that_breaks_off_is_broken_for_all_and_kept_by_none():
    async with airfield() as field:
        listeners = listen(field.board(), field.board())
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"half")
        field.calls[0].fail(BrokenReply("cut"))
        for result in await asyncio.gather(*listeners, return_exceptions=True):
            assert isinstance(result, BrokenReply)
        assert field.errand.kept == []


async def test_a_failure_before_the_head_is_told_once_to_all_who_wait():
    async with airfield() as field:
        listeners = listen(*[field.board() for _ in range(5)])
        await settle()
        field.calls[0].fail(FirstByteTimeout("no answer"))
        results = await asyncio.gather(*listeners, return_exceptions=True)
        assert [type(result) for result in results] == [FirstByteTimeout] * 5
        assert len({id(result) for result in results}) == 5
        assert len(field.calls) == 1


async def test_where_no_connection_was_made_one_successor_asks_again_for_all():
    async with airfield() as field:
        listeners = listen(field.board(), field.board())
        await settle()
        field.calls[0].fail(ConnectFailed("refused"))
        await settle()
        assert len(field.calls) == 2
        field.calls[1].answer()
        field.calls[1].end()
        assert await asyncio.gather(*listeners) == [b"", b""]


async def test_a_successor_that_fails_too_ends_it_for_all():
    async with airfield() as field:
        listeners = listen(field.board(), field.board())
        for number in range(2):
            await settle()
            field.calls[number].fail(ConnectFailed("refused"))
        results = await asyncio.gather(*listeners, return_exceptions=True)
        assert [type(result) for result in results] == [ConnectFailed] * 2
        assert len(field.calls) == 2


async def test_what_is_given_up_goes_to_the_first_alone_and_the_others_are_released_at_once():
    async with airfield() as field:
        field.errand.verdict = GiveUp(Why.SET_COOKIE)
        first, *others = [field.board() for _ in range(4)]
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"mine")
        field.calls[0].end()
        for other in others:
            assert await other.boarded() == Released(Why.GIVE_UP)
            other.leave()
        boarding = await first.boarded()
        assert isinstance(boarding, Handed)
        assert [piece async for piece in boarding.arrival.chunks()] == [b"mine"]
        first.leave()
        assert field.calls[0].closed


async def test_after_giving_up_nobody_waits_for_another_until_the_mark_expires():
    async with airfield(hit_for_miss_ttl=120.0) as field:
        field.errand.verdict = GiveUp(Why.PRIVATE)
        first = field.board()
        await settle()
        field.calls[0].answer()
        await settle()
        first.leave()

        alone = [field.board() for _ in range(3)]
        assert [seat.why for seat in alone] == [Why.HIT_FOR_MISS] * 3
        await settle()
        assert len(field.calls) == 4
        for seat in alone:
            seat.leave()
        field.clock.turn(121.0)
        assert field.board().why is Why.UNSEEN


async def test_a_storable_answer_takes_the_mark_away():
    async with airfield() as field:
        field.errand.verdict = GiveUp(Why.PRIVATE)
        first = field.board()
        await settle()
        field.calls[0].answer()
        await settle()
        first.leave()

        field.errand.verdict = Share(storable=True)
        (marked,) = listen(field.board())
        await settle()
        field.calls[1].answer()
        field.calls[1].send(b"now")
        field.calls[1].end()
        assert await marked == b"now"
        assert field.board().why is Why.UNSEEN


async def test_an_arrival_handed_to_somebody_who_has_left_is_closed():
    async with airfield() as field:
        field.errand.verdict = GiveUp(Why.PRIVATE)
        first, second = field.board(), field.board()
        await settle()
        first.leave()
        field.calls[0].answer()
        assert await second.boarded() == Released(Why.GIVE_UP)
        assert field.calls[0].closed


async def test_errors_are_heard_by_all_who_wait_and_never_kept():
    async with airfield() as field:
        field.errand.verdict = Share(storable=False, why=Why.STATUS)
        listeners = listen(field.board(), field.board())
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"slow down")
        field.calls[0].end()
        assert await asyncio.gather(*listeners) == [b"slow down"] * 2
        assert field.errand.kept == []


async def test_nobody_can_join_a_flight_that_has_landed():
    async with airfield() as field:
        (first,) = listen(field.board())
        await settle()
        field.calls[0].answer()
        field.calls[0].end()
        await first
        seat = field.board()
        assert seat.first
        await settle()
        assert len(field.calls) == 2


async def test_a_last_look_that_finds_the_answer_asks_nobody():
    async with airfield() as field:
        field.errand.found = entry()
        seats = [field.board(), field.board()]
        for seat in seats:
            assert await seat.boarded() == Found(field.errand.found)
            seat.leave()
        assert field.calls == []


async def test_a_follower_who_waits_too_long_is_released_to_ask_alone():
    async with airfield(wait_timeout=0.001) as field:
        first, second = field.board(), field.board()
        assert await second.boarded() == Released(Why.WAIT_TIMEOUT)
        second.leave()
        (listener,) = listen(first)
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"late")
        field.calls[0].end()
        assert await listener == b"late"


async def test_a_flight_without_progress_is_left_behind_and_only_the_newest_is_kept():
    async with airfield(stall_timeout=100.0) as field:
        (old,) = listen(field.board())
        await settle()
        field.clock.turn(101.0)
        newer = replace(field.errand, kept=[])
        (new,) = listen(field.board(newer))
        await settle()
        assert len(field.calls) == 2
        for call, text in zip(field.calls, (b"old", b"new"), strict=True):
            call.answer()
            call.send(text)
            call.end()
        assert await asyncio.gather(old, new) == [b"old", b"new"]
        assert field.errand.kept == []
        assert [kept.body for kept in newer.kept] == [b"new"]


async def test_flights_of_different_generations_do_not_mix():
    async with airfield() as field:
        field.board()
        seat = field.board(replace(field.errand, generation=1))
        assert seat.first


async def test_no_cache_joins_only_an_answer_that_has_not_begun():
    async with airfield() as field:
        first = field.board()
        await settle()
        assert not field.board(fresh=True).first
        field.calls[0].answer()
        await settle()
        assert field.board(fresh=True).first
        assert first.first


async def test_no_cache_does_not_join_a_flight_that_may_yet_find_a_stored_answer():
    async with airfield() as field:
        field.board()
        assert field.board(fresh=True).first


async def test_a_form_that_does_not_suit_is_not_joined():
    async with airfield() as field:
        field.board()
        seat = field.flights.board(field.errand, lambda form: form == Form())
        assert isinstance(seat, Seat)
        assert seat.first


async def test_an_orphan_that_nobody_adopts_is_called_off():
    async with airfield(orphan_grace=0.0) as field:
        seat = field.board()
        await settle()
        seat.leave()
        await settle()
        assert len(field.flights) == 0
        assert field.flights.counts.cancelled_orphans == 1


async def test_an_orphan_is_adopted_by_the_next_who_asks():
    async with airfield(orphan_grace=60.0) as field:
        seat = field.board()
        await settle()
        seat.leave()
        (listener,) = listen(field.board())
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"adopted")
        field.calls[0].end()
        assert await listener == b"adopted"
        assert len(field.calls) == 1


async def test_an_orphan_whose_answer_can_be_kept_may_finish():
    async with airfield() as field:
        seat = field.board()
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"who")
        await settle()
        seat.leave()
        field.calls[0].send(b"le")
        field.calls[0].end()
        await settle()
        assert [kept.body for kept in field.errand.kept] == [b"whole"]


async def test_an_orphan_whose_answer_cannot_be_kept_is_called_off_at_once():
    async with airfield() as field:
        field.errand.verdict = Share(storable=False, why=Why.STATUS)
        seat = field.board()
        await settle()
        field.calls[0].answer()
        await settle()
        seat.leave()
        await settle()
        assert field.calls[0].closed
        assert len(field.flights) == 0


async def test_orphans_beyond_their_number_are_called_off():
    async with airfield(orphans=1) as field:
        for number in range(2):
            errand = replace(field.errand, key=CacheKey("anon", bytes([number]) * 32))
            seat = field.board(errand)
            await settle()
            field.calls[number].answer()
            await settle()
            seat.leave()
        await settle()
        assert [call.closed for call in field.calls] == [False, True]


async def test_a_reader_far_behind_a_long_answer_is_dropped_and_the_others_hear_it_all():
    async with airfield(flight_bytes=10, window_bytes=5) as field:
        slow = field.board()
        (fast,) = listen(field.board())
        await settle()
        field.calls[0].answer()
        for _ in range(10):
            field.calls[0].send(b"12345")
            await settle()
        field.calls[0].end()
        assert await fast == b"12345" * 10
        with pytest.raises(Lagged):
            await anext(slow.pieces())
        slow.leave()
        assert field.errand.kept == []
        assert field.flights.counts.laggards == 1


async def test_who_lags_by_less_than_half_a_window_stays_however_much_has_gathered():
    async with airfield(flight_bytes=400_000, window_bytes=200_000) as field:
        quick, other = field.board(), field.board()
        await settle()
        field.calls[0].answer()
        field.calls[0].send(*[b"x" * 70_000] * 6)
        await settle()
        pieces = quick.pieces()
        assert len(await anext(pieces)) == 70_000
        await settle()
        assert len(await anext(other.pieces())) == 70_000
        for _ in range(3):
            await anext(pieces)
        await settle()
        with pytest.raises(Lagged):
            await anext(other.pieces())
        quick.leave()
        other.leave()


async def test_the_upstream_waits_when_every_reader_is_slow():
    async with airfield(flight_bytes=10, window_bytes=5) as field:
        seat = field.board()
        await settle()
        field.calls[0].answer()
        field.calls[0].send(*[b"12345"] * 10)
        field.calls[0].end()
        await settle()
        assert field.calls[0].unread > 5
        assert len(b"".join([piece async for piece in seat.pieces()])) == 50
        seat.leave()


async def test_a_long_answer_is_joined_by_nobody():
    async with airfield(flight_bytes=10) as field:
        (first,) = listen(field.board())
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"x" * 11)
        await settle()
        assert field.board().first
        field.calls[0].end()
        assert await first == b"x" * 11


async def test_all_logs_together_are_bounded():
    async with airfield(total_bytes=10, window_bytes=100) as field:
        seat = field.board()
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"x" * 11)
        await settle()
        assert await seat.landing() is None
        seat.leave()


async def test_a_log_counts_until_its_last_reader_has_left():
    async with airfield(total_bytes=10, window_bytes=100) as field:
        slow, last = field.board(), field.board()
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"x" * 8)
        field.calls[0].end()
        await settle()
        slow.leave()
        assert await _is_kept_whole(field) is False
        last.leave()
        assert await _is_kept_whole(field) is True


async def _is_kept_whole(field: Field) -> bool:
    """Whether another flight finds room for all of a log of 8 bytes."""
    seat = field.board(replace(field.errand, key=CacheKey("anon", b"o" * 32)))
    await settle()
    field.calls[-1].answer()
    field.calls[-1].send(b"x" * 8)
    field.calls[-1].end()
    await settle()
    landed = await seat.landing()
    seat.leave()
    await settle()
    return landed is not None


async def test_more_followers_than_allowed_ask_alone():
    async with airfield(followers=2) as field:
        for _ in range(3):
            field.board()
        assert field.flights.board(field.errand, lambda _: True) == Released(Why.CROWDED)


async def test_more_flights_than_allowed_are_not_sent():
    async with airfield(flights=1) as field:
        field.board()
        other = replace(field.errand, key=CacheKey("anon", b"o" * 32))
        assert field.flights.board(other, lambda _: True) == Released(Why.CROWDED)


async def test_a_store_that_fails_is_not_the_clients_trouble():
    async with airfield() as field:
        field.errand.takes = False
        seat = field.board()
        (listener,) = listen(field.board())
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"fine")
        field.calls[0].end()
        assert await listener == b"fine"
        landed = await seat.landing()
        assert landed is not None
        assert not landed.stored
        seat.leave()


async def land(field: Field) -> Seat:
    """A seat on a flight that has landed this moment, so that who waits has just been told."""
    seat = field.board()
    await settle()
    field.calls[-1].answer()
    field.calls[-1].send(b"kept")
    field.calls[-1].end()
    landed = await seat.landing()
    assert landed is not None
    assert landed.stored
    return seat


async def test_who_waits_is_told_before_what_was_kept_is_handed_on():
    async with airfield() as field:
        seat = await land(field)
        assert (len(field.errand.kept), field.errand.handed_on) == (1, [])
        await settle()
        assert field.errand.handed_on == field.errand.kept
        seat.leave()
        assert len(field.flights) == 0


async def test_what_was_kept_is_handed_on_though_all_is_called_off():
    async with airfield() as field:
        seat = await land(field)
        assert field.errand.handed_on == []
        await field.flights.close()
        assert field.errand.handed_on == field.errand.kept
        assert (await seat.landing()) is not None, "what has landed has"
        seat.leave()


async def test_a_bug_while_it_is_handed_on_is_reported_and_takes_nothing_back():
    async with airfield() as field:
        field.errand.late_bug = RuntimeError("never seen before")
        seat = await land(field)
        await settle()
        assert field.bugs == [field.errand.late_bug]
        assert b"".join([piece async for piece in seat.pieces()]) == b"kept"
        seat.leave()


async def test_what_is_not_kept_is_not_handed_on():
    async with airfield() as field:
        field.errand.takes = False
        (listener,) = listen(field.board())
        await settle()
        field.calls[0].answer()
        field.calls[0].end()
        await listener
        await settle()
        assert field.errand.hand_ons == 0


async def test_an_answer_that_is_not_whole_is_heard_and_not_kept():
    async with airfield() as field:
        field.errand.refusal = Refusal(Why.INCOMPLETE)
        seat = field.board()
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"data: {}")
        field.calls[0].end()
        landed = await seat.landing()
        assert landed is not None
        assert (landed.stored, landed.why) == (False, Why.INCOMPLETE)
        seat.leave()


async def test_a_bug_is_reported_and_everybody_aboard_is_told():
    async with airfield() as field:
        field.errand.bug = RuntimeError("never seen before")
        listeners = listen(field.board(), field.board())
        await settle()
        field.calls[0].answer()
        for result in await asyncio.gather(*listeners, return_exceptions=True):
            assert isinstance(result, UpstreamError)
        assert field.bugs == [field.errand.bug]
        assert field.calls[0].closed


async def test_one_refresh_for_a_key_is_up_at_a_time_and_needs_no_seat():
    async with airfield(orphan_grace=0.0) as field:
        assert field.flights.refresh(field.errand)
        assert not field.flights.refresh(field.errand)
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"new")
        field.calls[0].end()
        await settle()
        assert [kept.body for kept in field.errand.kept] == [b"new"]


async def test_a_refresh_that_fails_is_not_tried_again_at_once_and_ever_more_seldom():
    async with airfield(elections=0) as field:
        for number, pause in enumerate([1.0, 2.0, 4.0]):
            assert field.flights.refresh(field.errand)
            await settle()
            field.calls[number].fail(FirstByteTimeout("silent"))
            await settle()
            field.clock.turn(pause - 0.01)
            assert not field.flights.refresh(field.errand)
            field.clock.turn(0.01)


async def test_who_joined_a_refresh_that_finds_no_place_may_ask_for_himself():
    async with airfield() as field:
        assert field.flights.refresh(field.errand)
        await settle()
        seat = field.board()
        assert seat.why is Why.JOINED
        field.calls[0].fail(Overloaded("no place for what nobody waits for"))
        assert await seat.boarded() == Released(Why.GIVE_UP)
        seat.leave()


async def test_all_who_wait_for_a_flight_that_finds_no_place_are_told_so_once():
    async with airfield() as field:
        seats = [field.board(), field.board()]
        await settle()
        field.calls[0].fail(Overloaded("no place"))
        for seat in seats:
            with pytest.raises(Overloaded):
                await seat.boarded()
            seat.leave()
        assert len(field.calls) == 1


async def test_refreshes_beyond_their_number_are_dropped():
    async with airfield(refreshes=1) as field:
        assert field.flights.refresh(field.errand)
        other = replace(field.errand, key=CacheKey("anon", b"o" * 32))
        assert not field.flights.refresh(other)
        assert field.flights.counts.refreshes_dropped == 1


async def test_who_asks_while_a_refresh_is_up_joins_it():
    async with airfield() as field:
        field.flights.refresh(field.errand)
        (listener,) = listen(field.board())
        await settle()
        field.calls[0].answer()
        field.calls[0].send(b"fresh")
        field.calls[0].end()
        assert await listener == b"fresh"
        assert len(field.calls) == 1


def test_waiting_longer_than_a_flight_may_stall_is_refused():
    with pytest.raises(ValueError, match="wait_timeout"):
        Limits(wait_timeout=10.0, stall_timeout=5.0)


async def test_closing_ends_every_flight_and_tells_who_is_aboard():
    async with airfield() as field:
        (listener,) = listen(field.board())
        await settle()
        await field.flights.close()
        with pytest.raises(BrokenReply):
            await listener


async def test_a_refresh_does_not_wait_for_a_flight_that_stalls():
    async with airfield(stall_timeout=100.0) as field:
        field.board()
        await settle()
        assert not field.flights.refresh(field.errand)
        field.clock.turn(101.0)
        assert field.flights.refresh(field.errand)


async def test_what_is_heard_may_end_before_all_is_called_off():
    async with airfield() as field:
        (listener,) = listen(field.board())
        await settle()
        field.calls[0].answer()
        draining = asyncio.ensure_future(field.flights.drain(20))  # noqa: TID251 - awaited below
        await settle()
        assert not draining.done()
        field.calls[0].send(b"all")
        field.calls[0].end()
        await draining
        assert await listener == b"all"


async def test_what_never_ends_is_waited_for_no_longer_than_it_may():
    async with airfield() as field:
        (listener,) = listen(field.board())
        await settle()
        await field.flights.drain(0.01)
        await field.flights.drain(0)
        await field.flights.close()
        with pytest.raises(UpstreamError):
            await listener


# -- other settings ----------------------------------------------------------------------------


async def test_nobody_joins_a_flight_that_was_sent_under_other_settings():
    async with airfield() as field:
        before, after = field.errand, replace(field.errand, edition=1)
        early = listen(field.board(before))
        await settle()
        field.flights.adopt(field.flights.limits, 1)
        late = listen(field.board(after), field.board(after))
        await settle()
        old, new = field.calls
        assert field.flights.fly_for(0)
        assert field.flights.fly_for(1)
        for call, body in ((old, b"old"), (new, b"new")):
            call.answer()
            call.send(body)
            call.end()
        assert await asyncio.gather(*early, *late) == [b"old", b"new", b"new"]
        assert [kept.body for kept in field.errand.kept] == [b"new"]
        await settle()
        assert not field.flights.fly_for(0)


async def test_a_refresh_under_way_is_no_refresh_by_other_settings():
    async with airfield() as field:
        assert field.flights.refresh(field.errand)
        assert not field.flights.refresh(field.errand)
        assert field.flights.refresh(replace(field.errand, edition=1))


async def test_other_limits_count_from_then_on():
    async with airfield(flights=1) as field:
        listeners = listen(field.board())
        other = replace(field.errand, key=CacheKey("anon", b"o" * 32))
        assert field.flights.board(other, lambda _form: True) == Released(Why.CROWDED)
        field.flights.adopt(replace(field.flights.limits, flights=2, orphans=0), 0)
        listeners += listen(field.board(other))
        await settle()
        for call in field.calls:
            call.answer()
            call.end()
        await asyncio.gather(*listeners)


# -- poured --------------------------------------------------------------------------------------


class Cup:
    """Takes what is poured, so many pieces at a time, or fails."""

    def __init__(self, holds: int = 1000, fault: Exception | None = None) -> None:
        self.taken: list[bytes] = []
        self._holds = holds
        self._fault = fault

    def __call__(self, piece: bytes) -> bool:
        if self._fault is not None:
            raise self._fault
        self.taken.append(piece)
        return len(self.taken) % self._holds != 0


async def poured(seat: Seat, cup: Cup) -> bool:
    await seat.boarded()
    return await pour(seat.pieces(), cup)


async def test_what_comes_is_handed_to_all_who_have_it_poured() -> None:
    async with airfield() as field:
        seats, cups = [field.board() for _ in range(3)], [Cup() for _ in range(3)]
        pouring = [
            asyncio.ensure_future(poured(*pair))  # noqa: TID251 - a test's own
            for pair in zip(seats, cups, strict=True)
        ]
        await settle()
        (call,) = field.calls
        call.answer()
        for piece in (b"a", b"b"):
            call.send(piece)
            await settle()
            assert {cup.taken[-1] for cup in cups} == {piece}
        call.end()
        assert await asyncio.gather(*pouring) == [False] * 3
        assert [cup.taken for cup in cups] == [[b"a", b"b"]] * 3


async def test_who_takes_no_more_for_now_has_what_has_gathered_as_one_piece() -> None:
    async with airfield() as field:
        slow, quick = Cup(holds=1), Cup()
        seat, other = field.board(), field.board()
        first = asyncio.ensure_future(poured(seat, slow))  # noqa: TID251 - a test's own
        second = asyncio.ensure_future(poured(other, quick))  # noqa: TID251 - a test's own
        await settle()
        (call,) = field.calls
        call.answer()
        await settle()
        for piece in (b"a", b"b", b"c"):
            call.send(piece)
            await settle()
        assert await first
        assert (slow.taken, quick.taken) == ([b"a"], [b"a", b"b", b"c"])
        assert await pour(seat.pieces(), slow)
        assert slow.taken == [b"a", b"bc"]
        call.end()
        assert not await second
        assert not await pour(seat.pieces(), slow)


async def test_one_whose_client_is_gone_ends_nothing_for_the_others() -> None:
    async with airfield() as field:
        gone, cup = Cup(fault=ConnectionResetError("gone")), Cup()
        first, second = field.board(), field.board()
        failing = asyncio.ensure_future(poured(first, gone))  # noqa: TID251 - a test's own
        pouring = asyncio.ensure_future(poured(second, cup))  # noqa: TID251 - a test's own
        await settle()
        (call,) = field.calls
        call.answer()
        await settle()
        call.send(b"a", b"b")
        call.end()
        assert not await pouring
        with pytest.raises(ConnectionResetError):
            await failing
        assert b"".join(cup.taken) == b"ab"
        assert field.bugs == []


async def test_what_is_poured_and_breaks_off_is_broken_for_all() -> None:
    async with airfield() as field:
        cups = [Cup(), Cup()]
        pouring = [
            asyncio.ensure_future(poured(field.board(), cup))  # noqa: TID251 - a test's own
            for cup in cups
        ]
        await settle()
        (call,) = field.calls
        call.answer()
        call.send(b"a")
        await settle()
        call.fail(BrokenReply("cut"))
        for each in pouring:
            with pytest.raises(BrokenReply, match="cut"):
                await each
        assert [cup.taken for cup in cups] == [[b"a"], [b"a"]]


async def test_of_what_breaks_off_nothing_is_left_for_a_collection_to_find() -> None:
    async with airfield() as field:
        errand, cup = Errand(field.crank, field.clock), Cup()
        left = weakref.ref(errand)
        gc.collect()
        gc.disable()
        try:
            seat = field.board(errand)
            pouring = asyncio.ensure_future(poured(seat, cup))  # noqa: TID251 - a test's own
            del errand
            await settle()
            call = field.calls.pop()
            call.answer()
            call.send(b"a")
            await settle()
            call.fail(BrokenReply("cut"))
            with pytest.raises(BrokenReply):
                await pouring
            seat.leave()
            await settle()
            del call, pouring, seat
            assert left() is None
        finally:
            gc.enable()


async def test_who_has_left_hears_nothing_any_more() -> None:
    async with airfield() as field:
        cup, stays = Cup(), Cup()
        seat, other = field.board(), field.board()
        pouring = asyncio.ensure_future(poured(seat, cup))  # noqa: TID251 - a test's own
        staying = asyncio.ensure_future(poured(other, stays))  # noqa: TID251 - a test's own
        await settle()
        (call,) = field.calls
        call.answer()
        call.send(b"a")
        await settle()
        pouring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pouring
        call.send(b"b")
        call.end()
        assert not await staying
        assert (cup.taken, stays.taken) == ([b"a"], [b"a", b"b"])


async def test_one_who_is_cut_off_for_being_slow_is_told_so_when_poured() -> None:
    async with airfield(flight_bytes=4, window_bytes=4) as field:
        slow, quick = Cup(holds=1), Cup()
        seat, other = field.board(), field.board()
        first = asyncio.ensure_future(poured(seat, slow))  # noqa: TID251 - a test's own
        second = asyncio.ensure_future(poured(other, quick))  # noqa: TID251 - a test's own
        await settle()
        (call,) = field.calls
        call.answer()
        await settle()
        for piece in (b"aaa", b"bbb", b"ccc", b"ddd"):
            call.send(piece)
            await settle()
        assert await first
        with pytest.raises(Lagged):
            await pour(seat.pieces(), slow)
        call.end()
        assert not await second
        assert b"".join(quick.taken) == b"aaabbbcccddd"
        assert field.flights.counts.laggards == 1


# -- foretold ------------------------------------------------------------------------------------


async def test_what_boarding_would_come_to_is_told_without_boarding() -> None:
    clock, crank = Clock(), Crank()
    limits = Limits(flights=1, followers=1, wait_timeout=5.0, stall_timeout=5.0)
    flights = Flights(limits, clock=clock, report=lambda _: None)
    errand = Errand(crank, clock)
    other = Errand(crank, clock, key=CacheKey("anon", b"o" * 32))

    def told(asked: Errand = errand, *, fresh: bool = False) -> tuple[Why, bool]:
        return tuple(flights.foretell(asked, lambda _: True, fresh=fresh))

    assert told() == (Why.UNSEEN, False)
    seat = flights.board(errand, lambda _: True)
    await settle()
    assert told() == told(fresh=True) == (Why.JOINED, False)
    assert told(other) == (Why.CROWDED, False)
    crank.calls[0].answer()
    await settle()
    assert told() == (Why.JOINED, True)
    assert told(fresh=True) == (Why.CROWDED, False)
    follower = flights.board(errand, lambda _: True)
    assert told() == (Why.CROWDED, False)
    clock.turn(6.0)
    aged = flights.counts.aged
    assert told() == (Why.CROWDED, False)
    assert flights.counts.aged == aged
    assert (flights.counts.started, flights.counts.crowded) == (1, 0)
    for each in (seat, follower):
        assert isinstance(each, Seat)
        each.leave()
    await flights.close()
