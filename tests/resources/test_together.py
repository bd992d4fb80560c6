"""Requests that arrive together."""

from __future__ import annotations

import asyncio

import pytest
from support.cranked import CrankedTier, settle
from support.resources import Answer, Origin, World

from proxy.flight import Limits
from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import NoReply

FRESH = ("Cache-Control", "max-age=60")
ETAG = ("ETag", '"v1"')
KEY = ("Authorization", "Bearer one")
OTHER_KEY = ("Authorization", "Bearer two")


# -- together ----------------------------------------------------------------------------------


def gated(world: World, answer: Answer) -> asyncio.Event:
    """Have the origin answer so once the event is set."""
    world.origin.waits = asyncio.Event()
    world.origin.says = lambda _: answer
    return world.origin.waits


async def test_who_asks_meanwhile_waits_for_what_may_be_stored() -> None:
    world = World()
    gate = gated(world, Answer(fields=[FRESH, ("Set-Cookie", "a"), ("Cache-Control", "public")]))
    waiting = [await world.asking() for _ in range(3)]
    gate.set()
    got = await asyncio.gather(*waiting)
    assert [each.cache for each in got] == ["MISS uri-miss", "COALESCED joined", "COALESCED joined"]
    assert len(world.origin.asked) == 1


@pytest.mark.parametrize(
    "fields",
    [
        [],  # not to be stored
        [("Cache-Control", "no-cache"), ETAG],  # to be asked about by each
        [("Cache-Control", "max-age=60"), ("Vary", "User-Agent")],  # chosen by what they say
    ],
)
async def test_who_may_not_have_that_response_asks_for_himself(
    fields: list[tuple[str, str]],
) -> None:
    world = World()
    gate = gated(world, Answer(fields=fields))
    waiting = [await world.asking(("User-Agent", str(number))) for number in range(3)]
    gate.set()
    await asyncio.gather(*waiting)
    assert len(world.origin.asked) == 3


async def test_those_who_wait_together_are_validated_together() -> None:
    world = World()
    world.says(FRESH, ETAG)
    await world.get()
    world.clock.turn(61.0)
    gate = gated(world, Answer(304, [FRESH]))
    waiting = [await world.asking() for _ in range(3)]
    gate.set()
    assert {each.cache for each in await asyncio.gather(*waiting)} == {"HIT validated"}
    assert len(world.origin.asked) == 2


async def test_where_each_use_must_be_validated_each_is() -> None:
    world = World()
    world.says(("Cache-Control", "no-cache"), ETAG)
    await world.get()
    gate = gated(world, Answer(304, []))
    waiting = [await world.asking() for _ in range(3)]
    gate.set()
    got = await asyncio.gather(*waiting)
    assert [each.status for each in got] == [200, 304, 304]  # as each asked: unconditionally
    assert len(world.origin.asked) == 4


async def test_who_waited_for_somebody_elses_public_response_has_it() -> None:
    world = World()
    world.says(("Cache-Control", "public, max-age=60"), body=b"old")
    await world.get(KEY)
    world.clock.turn(61.0)
    gate = gated(world, Answer(fields=[("Cache-Control", "public, max-age=60")]))
    waiting = [await world.asking(each) for each in (KEY, OTHER_KEY)]
    gate.set()
    assert [each.cache for each in await asyncio.gather(*waiting)] == [
        "MISS expired", "COALESCED joined",
    ]  # fmt: skip


async def test_who_waited_for_what_became_his_alone_asks_for_himself() -> None:
    world = World()
    world.says(("Cache-Control", "public, max-age=60"))
    await world.get(KEY)
    world.clock.turn(61.0)
    gate = gated(world, Answer(fields=[FRESH]))
    waiting = [await world.asking(each) for each in (KEY, OTHER_KEY)]
    gate.set()
    assert [each.cache for each in await asyncio.gather(*waiting)] == [
        "MISS expired", "MISS expired",
    ]  # fmt: skip
    assert len(world.origin.asked) == 3


async def test_who_hangs_up_while_it_is_forgotten_leaves_no_response_behind() -> None:
    far = CrankedTier("far")
    world = World(further=(far,))
    answer = Answer()
    world.origin.says = lambda _: answer
    with far.holding("delete"):
        posting = asyncio.ensure_future(  # noqa: TID251 - a test's
            world.get(method="POST", content=b"x")
        )
        await settle()
        posting.cancel()
        await settle()
    assert answer.closed


async def test_who_hangs_up_while_the_answer_to_head_is_kept_leaves_none_behind() -> None:
    far = CrankedTier("far")
    world = World(further=(far,))
    world.says(FRESH)
    await world.get()
    answer = Answer(fields=[FRESH])
    world.origin.says = lambda _: answer
    with far.holding("put"):
        asking = asyncio.ensure_future(  # noqa: TID251 - a test's
            world.get(("Cache-Control", "no-cache"), method="HEAD")
        )
        await settle()
        asking.cancel()
        await settle()
    assert answer.closed


async def test_who_has_waited_too_long_asks_for_himself() -> None:
    world = World(limits=Limits(wait_timeout=0.0))
    gate = gated(world, Answer(fields=[FRESH]))
    first = await world.asking()
    world.origin.waits = None
    second = await world.get()
    assert second["cache-status"].endswith("collapsed=?0; detail=wait-timeout")
    gate.set()
    assert (await first).cache == "MISS uri-miss"


async def test_a_response_that_breaks_off_is_broken_for_all_and_not_stored() -> None:
    world = World()
    world.origin.says = lambda _: Answer(fields=[FRESH], breaks=True)
    with pytest.raises(NoReply):
        await world.get()
    world.says(FRESH)
    assert (await world.get()).cache == "MISS uri-miss"


async def test_with_no_room_for_a_flight_each_asks_for_himself() -> None:
    world = World(limits=Limits(flights=0))
    world.says(FRESH)
    got = await world.get()
    assert (got.body, got["cache-status"]) == (
        b"body", "sidecache; fwd=uri-miss; collapsed=?0; detail=crowded",
    )  # fmt: skip
    world.origin.says = lambda _: NoReply("gone")
    assert (await world.get()).status == 502


class LateOnce(CrankedTier):
    """A tier whose first look takes until ``gate`` is set."""

    def __init__(self) -> None:
        super().__init__("late")
        self.gate: asyncio.Event | None = asyncio.Event()

    async def get(self, key: CacheKey) -> Entry | None:
        gate, self.gate = self.gate, None
        if gate is not None:
            self.held = gate
            await gate.wait()
            return None
        return await super().get(key)


async def test_what_has_landed_meanwhile_is_not_asked_for_again() -> None:
    far = LateOnce()
    world = World(further=(far,))
    world.says(FRESH)
    late = await world.asking()  # it looks, and waits for the far tier
    await world.get()
    far.held.set()
    assert (await late).cache == "HIT fresh"
    assert len(world.origin.asked) == 1


async def test_what_has_landed_meanwhile_is_no_answer_to_who_wants_a_new_one() -> None:
    far = LateOnce()
    world = World(further=(far,))
    world.says(FRESH)
    late = await world.asking(("Cache-Control", "no-cache"))
    await world.get()
    far.held.set()
    assert (await late).cache == "MISS uri-miss"
    assert len(world.origin.asked) == 2


async def test_nothing_is_left_behind() -> None:
    world = World()
    world.says(FRESH)
    await world.get()
    await settle()
    assert (len(world.flights), world.bugs) == (0, [])
    assert isinstance(world.origin, Origin)
