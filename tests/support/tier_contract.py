"""What every tier promises, whatever it is made of; each tier's tests inherit these."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy.ledger import SHARED
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.meaning import Wording
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Usage
from proxy.tiers.base import Tier
from support.cranked import Clock

KEY = CacheKey("scope", b"k" * 32)
OTHER = CacheKey("scope", b"o" * 32)


def entry(
    key: CacheKey = KEY,
    body: bytes = b"body",
    *,
    stored_at: float = 1000.0,
    lifetime: Lifetime | None = None,
    initial_age: float = 0.0,
) -> Entry:
    head = Head(200, "OK", Headers([("Content-Type", "application/json")]))
    return Entry(
        key,
        "openai_chat",
        "model",
        head,
        Form(),
        body,
        stored_at,
        lifetime or Lifetime(60.0),
        initial_age,
    )


def same(found: Entry | None, stored: Entry) -> bool:
    """Whether ``found`` is ``stored`` in all that is served; clocks may differ by milliseconds."""
    return (
        found is not None
        and replace(found, stored_at=stored.stored_at) == stored
        and abs(found.stored_at - stored.stored_at) < 0.01
    )


class TierContract:
    """To inherit: give ``tier``, built on ``clock``, with room for a hundred small entries."""

    max_entry_bytes = 65_536  # what ``tier`` must be built with

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock(1000.0)

    @pytest.fixture
    def tier(self, clock: Clock) -> Tier:
        raise NotImplementedError

    def test_it_has_a_name(self, tier: Tier) -> None:
        assert tier.name.isidentifier()

    async def test_what_was_never_put_is_not_there(self, tier: Tier) -> None:
        assert await tier.get(KEY) is None

    async def test_what_was_put_is_found(self, tier: Tier) -> None:
        await tier.put(entry())
        assert same(await tier.get(KEY), entry())
        assert same(await tier.get(KEY), entry())
        assert await tier.get(OTHER) is None

    @pytest.mark.parametrize(
        "odd",
        [
            replace(entry(), body=b""),
            replace(entry(), body=bytes(range(256)) * 8),
            replace(entry(), form=Form(stream=True, usage=False)),
            replace(entry(), usage=Usage(12, 0), upstream_s=1.25),
            replace(entry(), model="", dialect="ollama"),
            replace(entry(), generation=3 * SHARED, path="/v1/%C3%A9", negative=True),
            replace(entry(), tags=("doc:1", "\N{SNOWMAN}")),
            replace(entry(), wording=Wording(b"n" * 16, "Why \N{SNOWMAN}?")),
            replace(entry(), model="modèle/\N{SNOWMAN}"),
            replace(entry(), head=Head(203, "", Headers())),
            replace(entry(), head=Head(200, "\xc9\udcff", Headers([("X", "\udcff"), ("y", "")]))),
            replace(entry(), head=Head(200, "OK", Headers([("A", "1"), ("a", "2"), ("A", "1")]))),
            replace(entry(), lifetime=Lifetime(60.0, 5.5, 1e6), initial_age=59.5),
        ],
    )  # fmt: skip
    async def test_nothing_of_an_entry_is_lost(self, tier: Tier, odd: Entry) -> None:
        await tier.put(odd)
        assert same(await tier.get(KEY), odd)

    async def test_an_entry_is_found_by_its_whole_key_only(self, tier: Tier) -> None:
        await tier.put(entry())
        assert await tier.get(CacheKey("another scope", KEY.digest)) is None
        assert await tier.get(CacheKey(KEY.scope, KEY.digest[:-1] + b"x")) is None
        assert same(await tier.get(KEY), entry())

    async def test_a_newer_entry_takes_the_place_of_an_older(self, tier: Tier) -> None:
        await tier.put(entry(body=b"old"))
        await tier.put(entry(body=b"newer and longer"))
        assert same(await tier.get(KEY), entry(body=b"newer and longer"))

    async def test_what_is_deleted_is_gone_and_nothing_else(self, tier: Tier) -> None:
        await tier.put(entry())
        await tier.put(entry(OTHER))
        await tier.delete(KEY)
        assert await tier.get(KEY) is None
        assert same(await tier.get(OTHER), entry(OTHER))

    async def test_what_is_not_there_can_be_deleted(self, tier: Tier) -> None:
        await tier.delete(KEY)
        await tier.put(entry())
        assert same(await tier.get(KEY), entry())

    async def test_clearing_forgets_everything(self, tier: Tier) -> None:
        await tier.put(entry())
        await tier.put(entry(OTHER))
        await tier.clear()
        assert await tier.get(KEY) is None
        assert await tier.get(OTHER) is None
        await tier.put(entry())
        assert same(await tier.get(KEY), entry())

    async def test_a_stale_entry_is_found_until_its_keep_ends(
        self, tier: Tier, clock: Clock
    ) -> None:
        kept = entry(lifetime=Lifetime(10.0, stale_while_revalidate=5.0, stale_if_error=20.0))
        await tier.put(kept)
        clock.turn(29.0)
        assert same(await tier.get(KEY), kept)
        clock.turn(1.5)
        assert await tier.get(KEY) is None

    async def test_the_age_it_came_with_counts(self, tier: Tier, clock: Clock) -> None:
        await tier.put(entry(lifetime=Lifetime(10.0), initial_age=6.0))
        clock.turn(3.0)
        assert await tier.get(KEY) is not None
        clock.turn(1.5)
        assert await tier.get(KEY) is None

    async def test_what_is_dead_on_arrival_is_not_kept_nor_what_it_supersedes(
        self, tier: Tier
    ) -> None:
        await tier.put(entry(body=b"old"))
        await tier.put(entry(stored_at=900.0))
        assert await tier.get(KEY) is None

    async def test_what_is_too_large_is_not_kept_nor_what_it_supersedes(self, tier: Tier) -> None:
        await tier.put(entry(body=b"old"))
        await tier.put(entry(body=bytes(self.max_entry_bytes + 1)))
        assert await tier.get(KEY) is None

    async def test_many_at_once_are_not_mixed_up(self, tier: Tier) -> None:
        entries = [entry(CacheKey(f"s{i % 3}", bytes([i]) * 32), bytes([i])) for i in range(64)]
        await asyncio.gather(*map(tier.put, entries))
        found = await asyncio.gather(*(tier.get(stored.key) for stored in entries))
        assert all(map(same, found, entries))
