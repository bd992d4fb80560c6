"""Writes in the background: taken at once, bounded, and never outliving a purge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.cranked import CrankedTier, entry, settle
from support.started import started

from proxy.model.entry import CacheKey
from proxy.tiers.write_behind import WriteBehind

KEY = CacheKey("anon", b"k" * 32)
OTHER = CacheKey("anon", b"o" * 32)


class Scene:
    def __init__(self, max_bytes: int) -> None:
        self.tier = CrankedTier("slow")
        self.reports: list[str] = []
        self.behind = WriteBehind(
            self.tier, lambda name, _error: self.reports.append(name), max_bytes=max_bytes
        )


@asynccontextmanager
async def scene(max_bytes: int = 2**20) -> AsyncIterator[Scene]:
    built = Scene(max_bytes)
    await built.behind.start()
    yield built
    await built.behind.close(5)


async def test_a_put_is_taken_at_once_and_can_be_found_while_it_is_written() -> None:
    async with scene() as s:
        with s.tier.holding("put"):
            assert await s.behind.put(kept := entry())
            await settle()
            assert s.tier.calls == ["slow.put"]
            assert await s.behind.get(KEY) is kept
        await settle()
        assert await s.behind.get(KEY) is kept
        assert s.tier.calls[-1] == "slow.get"


async def test_what_waits_is_bounded_and_the_oldest_goes_unwritten() -> None:
    size = entry().size
    async with scene(max_bytes=2 * size) as s:
        with s.tier.holding("put"):
            for digest in (b"1", b"2", b"3"):
                await s.behind.put(entry(CacheKey("anon", digest * 32)))
            assert s.behind.unwritten == 1
        await settle()
        assert set(s.tier.kept) == {b"2" * 32, b"3" * 32}


async def test_some_are_written_at_once_if_they_are_short() -> None:
    keys = [CacheKey("anon", bytes([number]) * 32) for number in range(20)]
    async with scene() as s:
        for key in keys:
            await s.behind.put(entry(key))
        with s.tier.holding("put"):
            await settle()
            assert s.tier.calls == ["slow.put"] * 8
        await s.behind.flush()
        assert list(s.tier.kept) == [key.digest for key in keys]


async def test_long_ones_are_written_one_by_one() -> None:
    keys = [CacheKey("anon", bytes([number]) * 32) for number in range(3)]
    async with scene() as s:
        for key in keys:
            await s.behind.put(entry(key, bytes(200_000)))
        with s.tier.holding("put"):
            await settle()
            assert s.tier.calls == ["slow.put"]
        await s.behind.flush()
        assert list(s.tier.kept) == [key.digest for key in keys]


async def test_who_waits_for_a_key_goes_on_once_it_is_written_in_its_newest_form() -> None:
    async with scene() as s:
        await s.behind.written(KEY)  # nothing waits
        with s.tier.holding("put"):
            await s.behind.put(entry())
            waiting = started(s.behind.written(KEY))
            await settle()
            await s.behind.put(newest := entry())
            await settle()
            assert not waiting.done()
        await waiting
        assert s.tier.kept[KEY.digest] is newest


async def test_who_waits_for_what_is_never_written_is_let_go() -> None:
    async with scene() as s:
        with s.tier.holding("put"):
            await s.behind.put(entry(OTHER))
            await s.behind.put(entry())
            waiting = started(s.behind.written(KEY))
            await settle()
            deleting = started(s.behind.delete(KEY))
            await waiting
        await deleting


async def test_what_could_never_wait_is_declined() -> None:
    async with scene(max_bytes=10) as s:
        assert not await s.behind.put(entry())


async def test_the_newer_of_two_under_one_key_is_written() -> None:
    async with scene() as s:
        await s.behind.put(entry(body=b"old"))
        await s.behind.put(entry(body=b"new"))
        await settle()
        assert s.tier.kept[KEY.digest].body == b"new"


async def test_a_purge_covers_what_waits_and_what_is_being_written() -> None:
    async with scene() as s:
        with s.tier.holding("put"):
            await s.behind.put(entry())
            await settle()
            await s.behind.put(entry(OTHER))
            clearing = asyncio.ensure_future(s.behind.clear())  # noqa: TID251 - awaited below
            await settle()
            assert not clearing.done()
        await clearing
        await settle()
        assert s.tier.kept == {}


async def test_a_deletion_covers_what_is_being_written() -> None:
    async with scene() as s:
        with s.tier.holding("put"):
            await s.behind.put(entry())
            await settle()
            deleting = asyncio.ensure_future(s.behind.delete(KEY))  # noqa: TID251 - awaited below
            await settle()
        await deleting
        assert s.tier.kept == {}


async def test_a_write_that_fails_is_reported_and_the_next_is_tried() -> None:
    async with scene() as s:
        s.tier.failing = {"put"}
        await s.behind.put(entry())
        await settle()
        s.tier.failing = set()
        await s.behind.put(entry(OTHER))
        await settle()
        assert s.reports == ["slow"]
        assert set(s.tier.kept) == {OTHER.digest}


async def test_closing_writes_what_waits_first() -> None:
    async with scene() as s:
        await s.behind.put(entry())
        await s.behind.close(5)
        assert set(s.tier.kept) == {KEY.digest}
        assert not await s.behind.put(entry(OTHER))


async def test_closing_waits_no_longer_than_it_may() -> None:
    async with scene() as s:
        with s.tier.holding("put"):
            await s.behind.put(entry())
            await s.behind.close(0.001)
        assert s.behind.unwritten == 1


async def test_nothing_older_is_served_in_place_of_what_could_not_be_written() -> None:
    async with scene() as s:
        s.tier.kept[KEY.digest] = old = entry(body=b"old")
        s.tier.failing = {"put", "delete"}
        await s.behind.put(entry(body=b"new"))
        await s.behind.flush()
        await settle()
        assert s.tier.kept == {KEY.digest: old}
        assert await s.behind.get(KEY) is None
        s.tier.failing = set()
        await s.behind.put(entry(OTHER))
        await s.behind.flush()
        await settle()
        assert set(s.tier.kept) == {OTHER.digest}


async def test_nothing_older_is_served_in_place_of_what_is_too_large_or_was_pushed_out() -> None:
    async with scene(max_bytes=entry().size + 10) as s:
        s.tier.kept[KEY.digest] = entry(body=b"old")
        assert not await s.behind.put(entry(body=bytes(10_000)))
        assert await s.behind.get(KEY) is None
        await settle()
        assert s.tier.kept == {}
        s.tier.kept[KEY.digest] = entry(body=b"old")
        with s.tier.holding("put"):
            await s.behind.put(entry(OTHER))
            await settle()
            await s.behind.put(entry())
            await s.behind.put(entry(CacheKey("anon", b"3" * 32)))
        await s.behind.flush()
        await settle()
        assert KEY.digest not in s.tier.kept
