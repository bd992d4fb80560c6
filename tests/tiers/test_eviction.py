"""The order in which entries leave, the memory of who left, and the search for the dead."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried
from support.tier_contract import entry

from proxy.model.entry import CacheKey, Lifetime
from proxy.tiers.eviction import SPOKES, TICK_S, Ghost, S3Fifo, Slot, Wheel
from proxy.tiers.packing import Packing

LAP_S = SPOKES * TICK_S
PACKING = Packing(sized=lambda _: 1)


def digest(number: int) -> bytes:
    return hashlib.blake2b(number.to_bytes(8), digest_size=32).digest()


def slot(number: int, dead_at: float = 1e9) -> Slot:
    stored = entry(
        CacheKey("scope", digest(number)),
        number.to_bytes(8),
        stored_at=0.0,
        lifetime=Lifetime(dead_at),
    )
    return Slot(stored.key.digest, PACKING.pack(stored))


def filled(order: S3Fifo, numbers: range) -> S3Fifo:
    for number in numbers:
        order.add(slot(number), 1)
    return order


def use(order: S3Fifo, number: int, times: int) -> None:
    found = order.find(digest(number))
    assert found is not None
    found.uses = times


def numbers(slots: list[Slot]) -> list[int]:
    return [int.from_bytes(slot.body) for slot in slots]


def test_newcomers_leave_in_the_order_they_came() -> None:
    order = filled(S3Fifo(small=1, ghosts=64), range(5))
    assert numbers([order.evict(1) for _ in range(5)]) == [0, 1, 2, 3, 4]


def test_a_used_newcomer_moves_to_the_main_queue_and_starts_anew_there() -> None:
    order = filled(S3Fifo(small=1, ghosts=64), range(3))
    use(order, 0, 3)
    assert numbers([order.evict(1) for _ in range(3)]) == [1, 2, 0]


def test_the_main_queue_gives_up_its_oldest_while_newcomers_are_few() -> None:
    order = filled(S3Fifo(small=2, ghosts=64), range(4))
    for number in range(4):
        use(order, number, 1)
    assert numbers([order.evict(1)]) == [0]
    order.add(slot(9), 1)
    assert numbers([order.evict(1)]) == [1]


def test_each_use_of_an_entry_in_the_main_queue_spares_it_once() -> None:
    order = filled(S3Fifo(small=1, ghosts=64), range(3))
    for number in range(3):
        use(order, number, 1)
    assert numbers([order.evict(1)]) == [0]  # all have moved to the main queue
    order.add(slot(0), 1)
    use(order, 1, 2)
    use(order, 2, 1)
    assert numbers([order.evict(0) for _ in range(3)]) == [2, 1, 0]


def test_a_queue_in_which_all_are_used_still_gives_one_up() -> None:
    order = filled(S3Fifo(small=1, ghosts=4096), range(1000))
    for number in range(1000):
        use(order, number, 3)
    order.evict(1)
    assert len(order) == order.bytes == 999


def test_there_is_nobody_to_evict_from_nothing() -> None:
    with pytest.raises(KeyError):
        S3Fifo(small=1, ghosts=64).evict(1)


def test_a_ghost_recalls_the_last_that_left() -> None:
    ghost = Ghost(4096)
    for number in range(100):
        ghost.remember(digest(number))
    assert [n for n in range(200) if ghost.recalls(digest(n), 10)] == list(range(90, 100))


def test_a_ghost_of_few_places_forgets_the_older() -> None:
    ghost = Ghost(16)
    for number in range(1000):
        ghost.remember(digest(number))
    recalled = [n for n in range(1000) if ghost.recalls(digest(n), 1000)]
    assert len(recalled) <= 16
    assert 999 in recalled


def test_what_lives_longer_than_a_lap_is_passed_and_found_later() -> None:
    wheel = Wheel(0.0)
    late = slot(1, dead_at=1.5 * LAP_S)
    wheel.add(late, late.dead_at)
    assert taken(wheel, 1.4 * LAP_S) == []
    assert taken(wheel, 1.6 * LAP_S) == [late]


def test_what_has_no_end_is_never_found() -> None:
    wheel = Wheel(0.0)
    wheel.add(slot(1, dead_at=float("inf")), float("inf"))
    assert taken(wheel, 1e9) == []


def test_many_dead_at_once_are_handed_out_one_by_one() -> None:
    wheel = Wheel(0.0)
    for number in range(1000):
        wheel.add(slot(number, dead_at=10.0), 10.0)
    assert wheel.take(10.0 + TICK_S) is not None
    assert len(taken(wheel, 10.0 + TICK_S)) == 999


def taken(wheel: Wheel, now: float) -> list[Slot]:
    """All that are found dead, however many calls it takes."""
    found: list[Slot] = []
    in_vain = 0
    while in_vain < 200:  # two laps of spokes, and as many living, at 32 a call
        dead = wheel.take(now)
        if dead is None:
            in_vain += 1
        else:
            found.append(dead)
    return found


times = st.floats(0, 5 * LAP_S) | st.just(float("inf"))


@unhurried
@given(st.lists(times, max_size=60), st.lists(st.floats(0, 2 * LAP_S), max_size=6), st.data())
def test_the_wheel_finds_all_the_dead_and_only_them(
    deaths: list[float], pauses: list[float], data: st.DataObject
) -> None:
    now = 0.0
    wheel = Wheel(now)
    watched = {number: slot(number, dead_at=death) for number, death in enumerate(deaths)}
    for one in watched.values():
        wheel.add(one, one.dead_at)
    for pause in pauses:
        now += pause
        for number in data.draw(st.sets(st.sampled_from(sorted(watched)))) if watched else ():
            watched.pop(number).take_out()
        for _ in range(data.draw(st.integers(0, 5))):  # a turn that is broken off midway
            if dead := wheel.take(now):
                assert watched.pop(numbers([dead])[0]).dead_at <= now
        for dead in taken(wheel, now) if data.draw(st.booleans()) else ():
            assert watched.pop(numbers([dead])[0]).dead_at <= now
    for dead in taken(wheel, now):
        assert watched.pop(numbers([dead])[0]).dead_at <= now
    assert all(one.dead_at > now - TICK_S for one in watched.values())
