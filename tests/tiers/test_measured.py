"""A tier that is watched."""

from __future__ import annotations

import asyncio

import pytest
from support.cranked import Clock, CrankedTier, entry
from support.started import started

from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from proxy.tiers.measured import MeasuredTier

KEY = CacheKey("anon", b"k" * 32)


class Declining(CrankedTier):
    """Takes nothing."""

    async def put(self, entry: object) -> bool:
        return False


async def test_what_comes_of_each_operation_is_counted() -> None:
    inner = CrankedTier("far")
    tier = MeasuredTier(inner, Clock())
    assert tier.name == "far"
    assert await tier.get(KEY) is None
    assert await tier.put(entry())
    assert await tier.get(KEY) is not None
    await tier.delete(KEY)
    await tier.clear()
    assert inner.calls == ["far.get", "far.put", "far.get", "far.delete", "far.clear"]
    assert tier.watched.counts == {
        ("get", "miss"): 1, ("put", "taken"): 1, ("get", "hit"): 1, ("delete", "done"): 1,
        ("clear", "done"): 1,
    }  # fmt: skip


async def test_what_is_declined_and_what_fails_is_told_apart() -> None:
    declining = MeasuredTier(Declining("far"), Clock())
    assert not await declining.put(entry())
    assert declining.watched.counts == {("put", "declined"): 1}
    inner = CrankedTier("far")
    inner.failing = {"get", "put", "delete", "clear"}
    tier = MeasuredTier(inner, Clock())
    for doing in (tier.get(KEY), tier.put(entry()), tier.delete(KEY), tier.clear()):
        with pytest.raises(TierError):
            await doing
    assert set(tier.watched.counts.items()) == {
        ((operation, "error"), 1) for operation in inner.failing
    }


async def test_it_is_told_how_long_it_took() -> None:
    inner, clock = CrankedTier("far"), Clock()
    tier = MeasuredTier(inner, clock)
    with inner.holding("get"):
        getting = started(tier.get(KEY))
        await asyncio.sleep(0)
        clock.turn(0.5)
    await getting
    assert tier.watched.seconds["get"].sum == pytest.approx(0.5)


async def test_who_is_called_off_is_not_counted() -> None:
    inner = CrankedTier("far")
    tier = MeasuredTier(inner, Clock())
    with inner.holding("get"):
        getting = started(tier.get(KEY))
        await asyncio.sleep(0)
        getting.cancel()
        await asyncio.gather(getting, return_exceptions=True)
    assert tier.watched.counts == {}
