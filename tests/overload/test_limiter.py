"""Who is let through to the backends, who waits, and who is turned away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cranked import Clock, settle

from proxy.model.errors import Overloaded, ShareExceeded
from proxy.overload import Gradient, Limiter, Limits, Place, Shed


class _Alarm:
    def __init__(self, due: float, ring: Callable[[], None]) -> None:
        self.due = due
        self.ring = ring
        self.off = False

    def cancel(self) -> None:
        self.off = True


class Scene:
    """A limiter, with time that passes when told to."""

    def __init__(
        self, adaptive: Gradient | None = None, clock: Clock | None = None, **limits: float
    ) -> None:
        self.clock = clock or Clock()
        self.alarms: list[_Alarm] = []
        self.limits = Limits(**limits)  # type: ignore[arg-type] # as each says
        self.limiter = Limiter(
            self.limits, clock=self.clock, adaptive=adaptive, call_later=self._call_later
        )
        self.asking: list[asyncio.Task[Place]] = []

    def _call_later(self, seconds: float, ring: Callable[[], None]) -> _Alarm:
        alarm = _Alarm(self.clock() + seconds, ring)
        self.alarms.append(alarm)
        return alarm

    def turn(self, seconds: float) -> None:
        self.clock.turn(seconds)
        due = [alarm for alarm in self.alarms if alarm.due <= self.clock()]
        self.alarms = [alarm for alarm in self.alarms if alarm not in due]
        for alarm in due:
            if not alarm.off:
                alarm.ring()

    async def ask(self, caller: str, *, waits: bool = True) -> asyncio.Task[Place]:
        """One who asks, as far as he gets."""
        task = asyncio.create_task(self.limiter.enter(caller, waits=waits))  # noqa: TID251 - awaited
        self.asking.append(task)
        await settle()
        return task

    async def enter(self, *callers: str) -> list[Place]:
        return [await self.limiter.enter(caller) for caller in callers]

    async def known_to_take(self, seconds: float, calls: int = 16) -> None:
        """Let so many calls take so long."""
        for _ in range(calls):
            place = await self.limiter.enter("before")
            self.clock.turn(seconds)
            place.leave()


def refused(asking: asyncio.Task[Place]) -> type[BaseException] | None:
    """How one who asked was turned away."""
    error = asking.exception()
    return None if error is None else type(error)


async def test_as_many_are_let_in_as_may_be_and_the_next_when_one_has_left() -> None:
    scene = Scene(calls=2)
    first, second = await scene.enter("a", "a")
    third, fourth = await scene.ask("a"), await scene.ask("a")
    assert (scene.limiter.under_way, scene.limiter.queued) == (2, 2)
    second.leave()
    second.leave()  # once is enough
    await settle()
    assert third.done()
    assert not fourth.done()
    first.leave()
    await settle()
    assert fourth.done()
    for place in (third.result(), fourth.result()):
        place.leave()
    assert (scene.limiter.under_way, scene.limiter.queued) == (0, 0)


async def test_a_free_place_is_had_at_once_and_for_any_other_one_has_to_wait() -> None:
    scene = Scene(calls=1)
    place = scene.limiter.at_once("a")
    assert place is not None
    assert scene.limiter.at_once("b") is None
    waiting = await scene.ask("b")
    place.leave()
    await settle()
    waiting.result().leave()
    assert (scene.limiter.under_way, scene.limiter.queued) == (0, 0)


async def test_who_has_waited_as_long_as_he_may_is_turned_away() -> None:
    scene = Scene(calls=1, queue_s=2.0)
    await scene.enter("a")
    asking = await scene.ask("a")
    scene.turn(1.9)
    await settle()
    assert not asking.done()
    scene.turn(0.2)
    await settle()
    assert refused(asking) is Overloaded
    assert scene.limiter.shed[Shed.LATE] == 1
    assert scene.limiter.queued == 0


async def test_who_was_let_in_is_not_turned_away_later() -> None:
    scene = Scene(calls=1, queue_s=2.0)
    (place,) = await scene.enter("a")
    asking = await scene.ask("a")
    place.leave()
    scene.turn(5.0)  # before the task has run again
    assert (await asking).since == 1000.0
    assert scene.limiter.shed[Shed.LATE] == 0


# -- callers --------------------------------------------------------------------------------------


async def test_who_asks_alone_may_have_all_places() -> None:
    scene = Scene(calls=4, share=0.5)
    assert len(await scene.enter(*"aaaa")) == 4


async def test_who_asks_little_goes_before_who_asks_much() -> None:
    scene = Scene(calls=4, share=0.5)
    flood = await scene.enter(*"aaaa")
    queued = [await scene.ask("a") for _ in range(4)]
    other = await scene.ask("b")
    flood[0].leave()
    await settle()
    assert other.done()
    assert not any(asking.done() for asking in queued)


async def test_nobody_has_more_than_his_share_while_others_ask() -> None:
    scene = Scene(calls=4, share=0.5)
    (other,) = await scene.enter("b")
    await scene.enter("a", "a")
    more = [await scene.ask("a"), await scene.ask("a")]
    assert not any(asking.done() for asking in more)  # a place is free, and stays so
    assert scene.limiter.under_way == 3
    (third,) = await scene.enter("c")
    third.leave()
    await settle()
    assert not any(asking.done() for asking in more)
    other.leave()
    await settle()
    assert all(asking.done() for asking in more)  # he is alone now


async def test_a_place_goes_to_whoever_has_the_fewest_calls_and_in_turn() -> None:
    scene = Scene(calls=2, share=1.0)
    places = await scene.enter("x", "x")
    asked = [(name, await scene.ask(name)) for name in ("a", "a", "b", "c", "b")]
    order = []
    while places:
        places.pop(0).leave()
        await settle()
        for name, asking in list(asked):
            if asking.done():
                order.append(name)
                asked.remove((name, asking))
                places.append(asking.result())
    assert order == ["a", "b", "c", "a", "b"]


async def test_a_caller_who_waits_for_his_share_is_told_that_it_is_his() -> None:
    scene = Scene(calls=4, share=0.5, queue_s=1.0)
    await scene.enter("b", "a", "a")
    asking = await scene.ask("a")
    scene.turn(1.0)
    await settle()
    assert refused(asking) is ShareExceeded


async def test_where_callers_do_not_matter_one_may_have_all() -> None:
    scene = Scene(calls=4, share=1.0, queued=1)
    await scene.enter("b", "a", "a", "a")
    waiting = await scene.ask("a")
    assert refused(await scene.ask("b")) is Overloaded  # nobody gives way
    assert not waiting.done()


# -- the row --------------------------------------------------------------------------------------


async def test_who_asks_alone_fills_the_row_and_hears_that_it_is_full() -> None:
    scene = Scene(calls=1, queued=2)
    await scene.enter("a")
    waiting = [await scene.ask("a"), await scene.ask("a")]
    assert refused(await scene.ask("a")) is Overloaded
    assert scene.limiter.shed[Shed.FULL] == 1
    assert not any(asking.done() for asking in waiting)


async def test_nobody_has_more_than_his_share_of_the_row_while_others_ask() -> None:
    scene = Scene(calls=2, queued=4, share=0.5)
    await scene.enter("a", "b")
    waiting = [await scene.ask("a"), await scene.ask("a")]
    assert refused(await scene.ask("a")) is ShareExceeded
    assert scene.limiter.shed[Shed.SHARE] == 1
    assert not any(asking.done() for asking in waiting)


async def test_the_last_of_the_longest_row_gives_way() -> None:
    scene = Scene(calls=1, queued=3, share=0.5)
    (place,) = await scene.enter("a")
    rows = [await scene.ask("a") for _ in range(3)]
    other = await scene.ask("b")
    assert refused(rows[2]) is ShareExceeded
    assert not any(asking.done() for asking in (*rows[:2], other))
    third = await scene.ask("c")
    assert refused(rows[1]) is ShareExceeded
    assert scene.limiter.shed[Shed.SHARE] == 2
    place.leave()
    await settle()
    assert [asking.done() for asking in (rows[0], other, third)] == [True, False, False]


async def test_nobody_gives_way_to_a_row_as_long_as_his_own() -> None:
    scene = Scene(calls=1, queued=2, share=0.5)
    await scene.enter("x")
    rows = [await scene.ask("a"), await scene.ask("b")]
    assert refused(await scene.ask("c")) is Overloaded
    assert not any(asking.done() for asking in rows)


async def test_without_a_row_nobody_waits() -> None:
    scene = Scene(calls=1, queued=0)
    await scene.enter("a")
    with pytest.raises(Overloaded):
        await scene.limiter.enter("b")
    assert scene.limiter.queued == 0


async def test_who_would_not_make_it_is_turned_away_at_once() -> None:
    scene = Scene(calls=4, queued=100, queue_s=1.0)
    await scene.known_to_take(10.0)
    await scene.enter(*"aaaa")
    # 4 places, 10 s each: in the second that one waits 0.4 come free, by ill luck 0, by good 2.
    waiting = [await scene.ask("a"), await scene.ask("a")]
    assert refused(await scene.ask("a")) is Overloaded
    assert scene.limiter.shed[Shed.HOPELESS] == 1
    other = await scene.ask("b")  # goes before them
    assert not any(asking.done() for asking in (*waiting, other))


async def test_who_has_his_share_can_only_wait_for_his_own_calls() -> None:
    scene = Scene(calls=100, queued=100, queue_s=1.0, share=0.02)
    await scene.known_to_take(10.0)
    await scene.enter("b", "a", "a")
    waiting = [await scene.ask("a"), await scene.ask("a")]
    assert not any(asking.done() for asking in waiting)
    assert refused(await scene.ask("a")) is ShareExceeded


async def test_nothing_is_foretold_until_enough_calls_have_ended() -> None:
    scene = Scene(calls=1, queued=50)
    await scene.known_to_take(60.0, calls=15)
    await scene.enter("a")
    waiting = [await scene.ask("a") for _ in range(50)]
    assert not any(asking.done() for asking in waiting)


async def test_calls_that_take_less_time_now_are_soon_believed() -> None:
    scene = Scene(calls=1, queued=50)
    await scene.known_to_take(60.0)
    await scene.known_to_take(0.001, calls=600)
    await scene.enter("a")
    waiting = [await scene.ask("a") for _ in range(10)]
    assert not any(asking.done() for asking in waiting)


async def test_a_tunnel_says_nothing_of_how_long_calls_take() -> None:
    scene = Scene(calls=1, queued=50)
    for _ in range(20):
        (place,) = await scene.enter("a")
        place.last()
        place.last()
        assert scene.limiter.lasting == 1
        scene.clock.turn(3600.0)
        place.leave()
        place.last()  # too late to matter
    assert scene.limiter.lasting == 0
    await scene.enter("a")
    waiting = [await scene.ask("a") for _ in range(50)]
    assert not any(asking.done() for asking in waiting)


# -- what nobody waits for ------------------------------------------------------------------------


async def test_what_no_client_waits_for_takes_a_free_place_and_never_waits() -> None:
    scene = Scene(calls=2)
    (place,) = await scene.enter("a")
    assert (await scene.ask("a", waits=False)).done()
    assert refused(await scene.ask("a", waits=False)) is Overloaded
    assert scene.limiter.shed[Shed.BACKGROUND] == 1
    waiting = await scene.ask("a")
    assert refused(await scene.ask("b", waits=False)) is Overloaded
    place.leave()
    await settle()
    assert waiting.done()


# -- leaving and changing -------------------------------------------------------------------------


async def test_who_stops_waiting_leaves_the_row() -> None:
    scene = Scene(calls=1)
    (place,) = await scene.enter("a")
    gone, waiting = await scene.ask("a"), await scene.ask("a")
    gone.cancel()
    await settle()
    assert gone.cancelled()
    assert scene.limiter.queued == 1
    place.leave()
    await settle()
    assert waiting.done()


async def test_a_place_given_to_one_who_has_just_left_is_given_back() -> None:
    scene = Scene(calls=1)
    (place,) = await scene.enter("a")
    gone, next_one = await scene.ask("a"), await scene.ask("a")
    place.leave()  # to the first who waits,
    gone.cancel()  # who does not know it yet
    await settle()
    assert gone.cancelled()
    assert next_one.done()
    next_one.result().leave()
    assert scene.limiter.under_way == 0


async def test_one_turned_away_at_the_moment_he_leaves_is_gone_all_the_same() -> None:
    scene = Scene(calls=1, queue_s=1.0)
    await scene.enter("a")
    gone = await scene.ask("a")
    scene.turn(1.0)
    gone.cancel()
    await settle()
    assert gone.cancelled()
    assert scene.limiter.queued == 0


async def test_other_bounds_count_calls_under_way_on() -> None:
    scene = Scene(calls=1)
    places = await scene.enter("a")
    waiting = [await scene.ask("a") for _ in range(3)]
    scene.limiter.adopt(Limits(calls=3), None)
    await settle()
    assert [asking.done() for asking in waiting] == [True, True, False]
    scene.limiter.adopt(Limits(calls=1), None)
    places += [asking.result() for asking in waiting[:2]]
    for place in places[:2]:
        place.leave()
    await settle()
    assert not waiting[2].done()
    places[2].leave()
    await settle()
    assert waiting[2].done()


async def test_the_gate_opens_as_far_as_the_backends_are_found_to_bear() -> None:
    clock = Clock()
    adaptive = Gradient(2, 100, clock=clock)
    scene = Scene(adaptive, clock, calls=50)
    assert scene.limiter.limit == 2
    for _ in range(200):
        places = await scene.enter(*"a" * scene.limiter.limit)
        clock.turn(0.1)
        for place in places:
            place.answered("main")
            place.leave()
            place.answered("main")  # it is over: says nothing more
    assert scene.limiter.limit == 50


# -- whatever happens -----------------------------------------------------------------------------

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "leave", "cancel", "late", "background", "limit"]),
        st.integers(0, 9),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(
    steps=_STEPS, calls=st.integers(1, 6), queued=st.integers(0, 6),
    share=st.sampled_from([0.2, 0.5, 0.7, 1.0]),
)  # fmt: skip
def test_no_bound_is_broken_nobody_is_lost_and_no_place_is_wasted(
    steps: list[tuple[str, int]], calls: int, queued: int, share: float
) -> None:
    asyncio.run(_live(steps, calls, queued, share))


async def _live(steps: list[tuple[str, int]], calls: int, queued: int, share: float) -> None:
    scene = Scene(calls=calls, queued=queued, share=share, queue_s=1.0)
    limiter = scene.limiter
    whose: dict[asyncio.Task[Place], str] = {}
    left: set[asyncio.Task[Place]] = set()
    highest = calls

    def within() -> list[asyncio.Task[Place]]:
        return [
            each for each in whose
            if each not in left and each.done() and not each.cancelled() and not each.exception()
        ]  # fmt: skip

    for step, number in steps:
        waiting = [each for each in whose if not each.done()]
        if step in {"ask", "background"}:
            name = "abc"[number % 3]
            whose[await scene.ask(name, waits=step == "ask")] = name
        elif step == "leave" and (inside := within()):
            chosen = inside[number % len(inside)]
            left.add(chosen)
            chosen.result().leave()
        elif step == "cancel" and waiting:
            waiting[number % len(waiting)].cancel()
        elif step == "late":
            scene.turn(0.4)
        elif step == "limit":
            calls = 1 + number % 6
            highest = max(calls, len(within()))
            limiter.adopt(Limits(calls, queued, 1.0, share), None)
        await settle()

        inside, waiting = within(), [each for each in whose if not each.done()]
        assert limiter.under_way == len(inside) <= highest
        assert limiter.queued == len(waiting) <= queued
        callers = {whose[each] for each in (*inside, *waiting)}
        most = calls if len(callers) == 1 or share == 1.0 else max(1, int(calls * share))
        if limiter.under_way < calls:  # then all who wait have what they may
            for each in waiting:
                assert sum(whose[other] == whose[each] for other in inside) >= most

    for each in whose:
        each.cancel()
    await settle()
    for each in within():
        each.result().leave()
    assert (limiter.under_way, limiter.queued) == (0, 0)
    assert not limiter._callers


async def test_without_memory_for_one_more_answer_nobody_is_let_in_and_calls_go_on() -> None:
    may_call = True
    limiter = Limiter(Limits(), clock=Clock(), may_call=lambda: may_call)
    place = await limiter.enter("one")
    may_call = False
    with pytest.raises(Overloaded, match="short of memory"):
        await limiter.enter("one")
    assert limiter.shed[Shed.MEMORY] == 1
    assert limiter.under_way == 1
    place.leave()
    may_call = True
    (await limiter.enter("two")).leave()
