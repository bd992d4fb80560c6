"""The ladder: tiers in order, failures that are misses, and purges that nothing outlives."""

from __future__ import annotations

import asyncio

import pytest
from support.cranked import CrankedTier, entry, settle

from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from proxy.tiers.ladder import NOTHING, Found, Ladder

KEY = CacheKey("anon", b"k" * 32)


class Steps:
    """Two tiers, the ladder over them, and what it reported."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.near = CrankedTier("near", self.calls)
        self.far = CrankedTier("far", self.calls)
        self.reports: list[str] = []
        self.ladder = Ladder([self.near, self.far], self._report)

    def _report(self, tier: str, error: TierError) -> None:
        assert str(error).startswith(tier)
        self.reports.append(str(error))


@pytest.fixture
def steps() -> Steps:
    return Steps()


# -- get ---------------------------------------------------------------------------------------


async def test_the_nearest_tier_that_has_it_answers_and_the_rest_are_not_asked(
    steps: Steps,
) -> None:
    near, far = entry(body=b"near"), entry(body=b"far")
    steps.near.kept[KEY.digest], steps.far.kept[KEY.digest] = near, far
    assert await steps.ladder.get(KEY) == Found(near, "near")
    assert steps.calls == ["near.get"]
    del steps.near.kept[KEY.digest]
    found = await steps.ladder.get(KEY)
    assert found.entry is far
    assert found.tier == "far"
    assert steps.calls == ["near.get", "near.get", "far.get", "near.put"]


async def test_what_is_found_further_off_is_near_from_then_on_with_the_life_it_has_left(
    steps: Steps,
) -> None:
    steps.far.kept[KEY.digest] = far = entry(stored_at=900.0)
    await steps.ladder.get(KEY)
    assert await steps.ladder.get(KEY) == Found(far, "near")
    assert steps.near.kept[KEY.digest].ttl_left(1000.0) == far.ttl_left(1000.0)


async def test_a_glance_goes_no_further_than_the_nearest_tier(steps: Steps) -> None:
    steps.far.kept[KEY.digest] = entry()
    assert await steps.ladder.glance(KEY) is NOTHING
    steps.near.kept[KEY.digest] = near = entry()
    assert await steps.ladder.glance(KEY) == Found(near, "near")
    assert "far.get" not in steps.calls


async def test_what_a_purge_overtakes_on_its_way_from_afar_is_neither_served_nor_kept(
    steps: Steps,
) -> None:
    steps.far.kept[KEY.digest] = entry()
    with steps.far.holding("get"):
        getting = asyncio.ensure_future(steps.ladder.get(KEY))  # noqa: TID251 - awaited below
        await settle()
        await steps.ladder.clear()
    assert await getting is NOTHING
    assert steps.near.kept == {}


async def test_nearer_tiers_that_fail_do_not_hide_what_was_found(steps: Steps) -> None:
    steps.far.kept[KEY.digest] = far = entry()
    steps.near.failing = {"get", "put"}
    assert await steps.ladder.get(KEY) == Found(far, "far")


async def test_what_no_tier_has_is_nothing(steps: Steps) -> None:
    assert await steps.ladder.get(KEY) is NOTHING
    assert await Ladder([], steps.reports.append).get(KEY) is NOTHING  # type: ignore[arg-type] # never called
    assert Found(None, "") == NOTHING
    assert steps.reports == []


async def test_a_tier_that_fails_is_a_miss_and_is_reported(steps: Steps) -> None:
    stored = entry()
    steps.near.failing = {"get"}
    assert await steps.ladder.get(KEY) is NOTHING
    steps.far.kept[KEY.digest] = stored
    assert await steps.ladder.get(KEY) == Found(stored, "far")
    assert steps.reports == ["near cannot get"] * 2
    steps.far.failing = {"get"}
    assert await steps.ladder.get(KEY) is NOTHING
    assert steps.reports[2:] == ["near cannot get", "far cannot get"]


# -- put ---------------------------------------------------------------------------------------


async def test_every_tier_keeps_what_is_put_the_nearest_first(steps: Steps) -> None:
    stored = entry()
    assert await steps.ladder.put(stored, steps.ladder.generation)
    assert steps.near.kept == steps.far.kept == {KEY.digest: stored}
    assert steps.calls == ["near.put", "far.put"]


@pytest.mark.parametrize("failing", ["near", "far"])
async def test_a_put_that_one_tier_took_was_taken(steps: Steps, failing: str) -> None:
    getattr(steps, failing).failing = {"put"}
    assert await steps.ladder.put(entry(), steps.ladder.generation)
    assert len(steps.near.kept) + len(steps.far.kept) == 1
    assert steps.reports == [f"{failing} cannot put"]


async def test_a_put_that_every_tier_failed_was_not_taken(steps: Steps) -> None:
    steps.near.failing = steps.far.failing = {"put"}
    assert not await steps.ladder.put(entry(), steps.ladder.generation)
    assert steps.reports == ["near cannot put", "far cannot put"]
    assert not await Ladder([], steps.reports.append).put(entry(), 0)  # type: ignore[arg-type] # never called


# -- purges ------------------------------------------------------------------------------------


async def test_a_purge_forgets_everything_and_counts_the_generation_up(steps: Steps) -> None:
    before = steps.ladder.generation
    await steps.ladder.put(entry(), before)
    await steps.ladder.clear()
    assert steps.near.kept == steps.far.kept == {}
    assert steps.ladder.generation == before + 1
    assert await steps.ladder.get(KEY) is NOTHING


async def test_what_was_asked_before_a_purge_is_not_stored(steps: Steps) -> None:
    before = steps.ladder.generation
    await steps.ladder.clear()
    steps.calls.clear()
    assert not await steps.ladder.put(entry(), before)
    assert steps.calls == []
    assert await steps.ladder.put(entry(), steps.ladder.generation)


@pytest.mark.parametrize("slow", ["near", "far"])
async def test_a_purge_that_overtakes_a_put_takes_it_back(steps: Steps, slow: str) -> None:
    tier = getattr(steps, slow)
    async with asyncio.TaskGroup() as group:
        with tier.holding("put"):
            putting = group.create_task(steps.ladder.put(entry(), steps.ladder.generation))
            await settle()
            await steps.ladder.clear()
            tier.kept[KEY.digest] = entry()  # the put took effect only after the purge
    assert not putting.result()
    assert steps.near.kept == steps.far.kept == {}
    assert f"{slow}.delete" in steps.calls
    assert ("far.put" in steps.calls) == (slow == "far")


async def test_a_purge_that_begins_while_a_tier_is_being_filled_is_not_outlived(
    steps: Steps,
) -> None:
    # The purge has cleared the near tier and waits for the far one when the put goes on.
    async with asyncio.TaskGroup() as group:
        with steps.far.holding("clear"):
            with steps.near.holding("put"):
                putting = group.create_task(steps.ladder.put(entry(), steps.ladder.generation))
                await settle()
                clearing = group.create_task(steps.ladder.clear())
                await settle()
            await settle()
            assert putting.done()
            assert not clearing.done()
    assert not putting.result()
    assert steps.near.kept == steps.far.kept == {}
    assert "far.put" not in steps.calls


async def test_a_put_that_fails_while_a_purge_overtakes_it_goes_no_further(steps: Steps) -> None:
    steps.near.failing = {"put"}
    async with asyncio.TaskGroup() as group:
        with steps.near.holding("put"):
            putting = group.create_task(steps.ladder.put(entry(), steps.ladder.generation))
            await settle()
            await steps.ladder.clear()
    assert not putting.result()
    # Once a purge is over, not even for a moment may a later request find what was before it.
    assert "far.put" not in steps.calls


async def test_what_cannot_be_taken_back_is_reported_and_not_claimed_to_be_stored(
    steps: Steps,
) -> None:
    steps.near.failing = {"delete"}
    async with asyncio.TaskGroup() as group:
        with steps.near.holding("put"):
            putting = group.create_task(steps.ladder.put(entry(), steps.ladder.generation))
            await settle()
            await steps.ladder.clear()
    assert not putting.result()
    assert steps.reports == ["near cannot delete"]


async def test_a_purge_clears_every_tier_though_one_fails_and_then_says_so(steps: Steps) -> None:
    before = steps.ladder.generation
    await steps.ladder.put(entry(), before)
    steps.near.failing = {"clear"}
    with pytest.raises(TierError, match="near cannot clear"):
        await steps.ladder.clear()
    assert steps.far.kept == {}
    assert steps.reports == ["near cannot clear"]
    # Nothing from before the purge is stored, though the purge could not keep its promise.
    assert steps.ladder.generation == before + 1
    assert not await steps.ladder.put(entry(), before)


async def test_a_purge_that_no_tier_could_promise_reports_each(steps: Steps) -> None:
    steps.near.failing = steps.far.failing = {"clear"}
    with pytest.raises(TierError):
        await steps.ladder.clear()
    assert steps.reports == ["near cannot clear", "far cannot clear"]


async def test_what_is_put_while_a_purge_runs_is_of_the_new_generation(steps: Steps) -> None:
    async with asyncio.TaskGroup() as group:
        with steps.near.holding("clear"):
            group.create_task(steps.ladder.clear())
            await settle()
            assert await steps.ladder.put(entry(), steps.ladder.generation)
    assert steps.near.kept != {}
