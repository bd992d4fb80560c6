"""The ladder: tiers in order, failures that are misses, and purges that nothing outlives."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.cranked import CrankedTier, entry, settle

from proxy.ledger import SHARED, Ledger
from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from proxy.model.purge import Kind, Purge
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.ladder import NOTHING, UNSURE, Found, Ladder

KEY = CacheKey("anon", b"k" * 32)
ALL = Purge(Kind.ALL)


class Steps:
    """Two tiers, the ladder over them, and what it reported."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.near = CrankedTier("near", self.calls)
        self.far = CrankedTier("far", self.calls)
        self.reports: list[str] = []
        self.ledger = Ledger()
        self.ladder = Ladder([self.near, self.far], self.ledger, self._report)

    def purge(self, purge: Purge = ALL) -> None:
        """Purge, at the time of 1000 s."""
        self.ledger.enter(purge, self.ledger.generation + SHARED, 1000.0)

    def _report(self, tier: str, error: TierError) -> None:
        assert str(error).startswith(tier)
        self.reports.append(str(error))


@pytest.fixture
def steps() -> Steps:
    return Steps()


# -- get ---------------------------------------------------------------------------------------


async def test_what_is_kept_for_a_moment_stays_where_it_was_put(steps: Steps) -> None:
    steps.far.kept[KEY.digest] = error = replace(entry(), negative=True)
    assert await steps.ladder.get(KEY) == Found(error, "far")
    assert steps.near.kept == {}
    assert await steps.ladder.put(error)
    assert steps.near.kept == steps.far.kept


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
    assert steps.calls == ["near.get", "near.get", "far.get", "near.get", "near.put"]


async def test_what_is_found_further_off_was_missed_in_memory_once(steps: Steps) -> None:
    memory = L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=lambda: 1000.0)
    ladder = Ladder([memory, steps.far], steps.ledger, steps._report)
    steps.far.kept[KEY.digest] = far = entry()
    assert ladder.at_hand(KEY) is None
    assert await ladder.get(KEY) == Found(far, "far")
    assert (memory.hits, memory.misses) == (0, 1)
    assert (await ladder.get(KEY)).tier == memory.name
    assert (memory.hits, memory.misses) == (1, 1)


async def test_what_landed_in_memory_meanwhile_is_not_replaced_by_what_is_older(
    steps: Steps,
) -> None:
    memory = L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=lambda: 1000.0)
    ladder = Ladder([memory, steps.far], steps.ledger, steps._report)
    steps.far.kept[KEY.digest] = entry(body=b"old", stored_at=900.0)
    async with asyncio.TaskGroup() as group:
        with steps.far.holding("get"):
            looking = group.create_task(ladder.get(KEY))
            await settle()
            assert memory.put_now(entry(body=b"new", stored_at=950.0))
    assert looking.result().tier == "far"
    found = await ladder.get(KEY)
    assert found.entry is not None
    assert found.entry.body == b"new"


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


async def test_who_seeks_what_fits_finds_it_behind_what_does_not_and_has_it_near_from_then_on(
    steps: Steps,
) -> None:
    old, new = entry(body=b"old"), entry(body=b"new")
    steps.near.kept[KEY.digest], steps.far.kept[KEY.digest] = old, new
    assert await steps.ladder.seek(KEY, lambda found: found.body == b"new") == Found(new, "far")
    assert steps.near.kept[KEY.digest] is new
    assert await steps.ladder.seek(KEY, lambda _found: False) == NOTHING


async def test_what_a_purge_overtakes_on_its_way_from_afar_is_neither_served_nor_kept(
    steps: Steps,
) -> None:
    steps.far.kept[KEY.digest] = entry()
    with steps.far.holding("get"):
        getting = asyncio.ensure_future(steps.ladder.get(KEY))  # noqa: TID251 - awaited below
        await settle()
        steps.purge()
    assert await getting is NOTHING
    assert steps.near.kept == {}


async def test_what_a_purge_overtakes_on_its_way_nearer_is_not_served(steps: Steps) -> None:
    steps.far.kept[KEY.digest] = entry()
    with steps.near.holding("put"):
        getting = asyncio.ensure_future(steps.ladder.get(KEY))  # noqa: TID251 - awaited below
        await settle()
        steps.purge()
    assert await getting is NOTHING
    assert await steps.ladder.get(KEY) is NOTHING


async def test_what_comes_from_afar_takes_the_place_of_nothing_newer(steps: Steps) -> None:
    steps.far.kept[KEY.digest] = old = entry(stored_at=900.0, body=b"old")
    new = entry(stored_at=950.0, body=b"new")
    with steps.far.holding("get"):
        getting = asyncio.ensure_future(steps.ladder.get(KEY))  # noqa: TID251 - awaited below
        await settle()
        steps.near.kept[KEY.digest] = new
    assert (await getting).entry is old
    assert await steps.ladder.get(KEY) == Found(new, "near")


async def test_nearer_tiers_that_fail_do_not_hide_what_was_found(steps: Steps) -> None:
    steps.far.kept[KEY.digest] = far = entry()
    steps.near.failing = {"get", "put"}
    assert await steps.ladder.get(KEY) == Found(far, "far")


async def test_what_no_tier_has_is_nothing(steps: Steps) -> None:
    assert await steps.ladder.get(KEY) is NOTHING
    assert await Ladder([], Ledger(), steps.reports.append).get(KEY) is NOTHING  # type: ignore[arg-type] # never called
    assert Found(None, "") == NOTHING
    assert steps.reports == []


async def test_a_tier_that_fails_is_a_miss_and_is_reported(steps: Steps) -> None:
    stored = entry()
    steps.near.failing = {"get"}
    assert await steps.ladder.get(KEY) == Found(None, "", sure=False)
    steps.far.kept[KEY.digest] = stored
    assert await steps.ladder.get(KEY) == Found(stored, "far")
    assert steps.reports == ["near cannot get"] * 3
    steps.far.failing = {"get"}
    assert await steps.ladder.get(KEY) == Found(None, "", sure=False)
    assert steps.reports[3:] == ["near cannot get", "far cannot get"]


async def test_what_is_in_tiers_that_are_not_trusted_yet_nobody_is_sure_of(steps: Steps) -> None:
    steps.ladder.trust(["near"])
    assert await steps.ladder.get(KEY) is UNSURE
    steps.ladder.trust(["near", "far"])
    assert await steps.ladder.get(KEY) is NOTHING


# -- put ---------------------------------------------------------------------------------------


async def test_every_tier_keeps_what_is_put_the_nearest_first(steps: Steps) -> None:
    stored = entry()
    assert await steps.ladder.put(stored)
    assert steps.near.kept == steps.far.kept == {KEY.digest: stored}
    assert steps.calls == ["near.put", "far.put"]


@pytest.mark.parametrize("failing", ["near", "far"])
async def test_a_put_that_one_tier_took_was_taken(steps: Steps, failing: str) -> None:
    getattr(steps, failing).failing = {"put"}
    assert await steps.ladder.put(entry())
    assert len(steps.near.kept) + len(steps.far.kept) == 1
    assert steps.reports == [f"{failing} cannot put"]


async def test_a_put_that_every_tier_failed_was_not_taken(steps: Steps) -> None:
    steps.near.failing = steps.far.failing = {"put"}
    assert not await steps.ladder.put(entry())
    assert steps.reports == ["near cannot put", "far cannot put"]
    assert not await Ladder([], Ledger(), steps.reports.append).put(entry())  # type: ignore[arg-type] # never called


# -- purges ------------------------------------------------------------------------------------


async def test_what_was_purged_is_found_in_no_tier(steps: Steps) -> None:
    await steps.ladder.put(entry())
    steps.purge()
    assert steps.near.kept != {}
    assert await steps.ladder.get(KEY) is NOTHING
    assert await steps.ladder.glance(KEY) is NOTHING


async def test_a_tier_that_holds_what_was_purged_hides_nothing_newer_further_off(
    steps: Steps,
) -> None:
    steps.near.kept[KEY.digest] = entry()
    steps.purge()
    steps.far.kept[KEY.digest] = newer = replace(entry(), generation=steps.ladder.generation)
    assert await steps.ladder.get(KEY) == Found(newer, "far")


async def test_what_was_asked_before_a_purge_is_not_stored(steps: Steps) -> None:
    steps.purge()
    assert not await steps.ladder.put(entry())
    assert steps.calls == []
    assert await steps.ladder.put(replace(entry(), generation=steps.ladder.generation))


async def test_what_is_being_stored_while_it_is_purged_is_not_served(steps: Steps) -> None:
    async with asyncio.TaskGroup() as group:
        with steps.near.holding("put"):
            putting = group.create_task(steps.ladder.put(entry()))
            await settle()
            steps.purge()
    assert putting.done()
    assert await steps.ladder.get(KEY) is NOTHING


async def test_a_purge_of_something_else_changes_nothing(steps: Steps) -> None:
    stored = entry()
    steps.purge(Purge(Kind.MODEL, "another"))
    assert await steps.ladder.put(stored)
    steps.purge(Purge(Kind.TAG, "another"))
    assert await steps.ladder.get(KEY) == Found(stored, "near")


async def test_a_soft_purge_leaves_what_was_stored_stale_and_stores_nothing_older(
    steps: Steps,
) -> None:
    await steps.ladder.put(entry(stored_at=990.0))
    steps.purge(Purge(Kind.MODEL, "m", soft=True))
    found = (await steps.ladder.get(KEY)).entry
    assert found is not None
    assert found.ttl_left(1003.0) == -3.0
    assert not await steps.ladder.put(entry())


async def test_clearing_frees_every_tier_though_one_fails_and_then_says_which(
    steps: Steps,
) -> None:
    await steps.ladder.put(entry())
    steps.near.failing = {"clear"}
    assert await steps.ladder.clear() == ["near"]
    assert steps.far.kept == {}
    assert steps.reports == ["near cannot clear"]


async def test_nothing_is_only_sure_if_every_tier_could_be_asked() -> None:
    near, far = CrankedTier("near"), CrankedTier("far")
    ladder = Ladder([near, far], Ledger(), lambda _tier, _error: None)
    assert await ladder.get(KEY) == Found(None, "")
    far.failing.add("get")
    assert await ladder.get(KEY) == Found(None, "", sure=False)
    far.failing.clear()
    ladder.trust(["near"])
    assert await ladder.get(KEY) == Found(None, "", sure=False)
    ladder.trust(["near", "far"])
    assert await ladder.get(KEY) == Found(None, "")


async def test_what_is_deleted_is_gone_from_every_tier_that_can_be_reached(steps: Steps) -> None:
    await steps.ladder.put(entry(KEY))
    steps.near.failing = {"delete"}
    await steps.ladder.delete(KEY)
    assert (list(steps.near.kept), steps.far.kept) == ([KEY.digest], {})
    assert steps.reports == ["near cannot delete"]
