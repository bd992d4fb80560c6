from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.cranked import entry

from proxy.carrying.giving import Listed, give
from proxy.carrying.parcel import Heading, Unpacking, Unreadable
from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import TierError
from proxy.tiers.codec import Codec, carried

HEADING = Heading("keys", "purges", 0.0)


def stored(name: str, **more: object) -> Entry:
    made = entry(CacheKey("anon", name.encode().ljust(32, b".")), name.encode() * 100)
    return replace(made, **more)  # type: ignore[arg-type] # as Entry has them


class Tiers:
    """Tiers that are listed two entries at a time."""

    def __init__(self, **tiers: list[Entry]) -> None:
        self._tiers = tiers
        self.failing = ""
        self.before: Callable[[str], None] = lambda _tier: None

    async def list(self, tier: str, after: str) -> Listed:
        self.before(tier)
        if tier == self.failing:
            raise TierError("away")
        at = int(after or 0)
        there = self._tiers[tier]
        return Listed(there[at : at + 2], str(at + 2) if at + 2 < len(there) else None)


async def given(tiers: Tiers, *names: str, codec: Codec | None = None) -> list[str]:
    unpacking, found = Unpacking(), []
    codec = codec or Codec()
    clock, wall = (lambda: 1010.0), (lambda: 5_000_000.0)
    async for piece in give(tiers.list, names, codec, HEADING, clock=clock, wall=wall):
        for envelope in unpacking.feed(piece):
            read = carried(codec, envelope, clock(), wall())
            assert isinstance(read, Entry)
            found.append(read.key.digest.rstrip(b".").decode())
    unpacking.end()
    assert unpacking.heading == HEADING
    return found


async def test_all_that_is_kept_is_given_each_once() -> None:
    near = [stored(name) for name in ("a", "b", "c")]
    far = [stored(name) for name in ("b", "d", "e", "c", "f")]
    tiers = Tiers(l1=near, l2=far)
    assert await given(tiers, "l1", "l2") == ["a", "b", "c", "d", "e", "f"]
    assert await given(tiers, "l2") == ["b", "d", "e", "c", "f"]


async def test_what_moves_nearer_meanwhile_is_not_lost() -> None:
    near: list[Entry] = [stored("a")]
    tiers = Tiers(l1=near, l2=[stored("b"), stored("c")])
    tiers.before = lambda tier: near.append(stored("b")) if tier == "l2" else None
    assert await given(tiers, "l1", "l2") == ["a", "b", "c"]


async def test_what_is_kept_for_a_moment_only_is_left_out() -> None:
    tiers = Tiers(l1=[stored("a", negative=True), stored("b")])
    assert await given(tiers, "l1") == ["b"]


async def test_what_no_envelope_can_hold_is_left_out() -> None:
    tiers = Tiers(l1=[stored("a", upstream_s=1e308, generation=2**80), stored("b")])
    assert await given(tiers, "l1") == ["b"]


async def test_a_tier_that_fails_leaves_a_parcel_that_is_not_whole() -> None:
    tiers = Tiers(l1=[stored("a")], l2=[stored("b")])
    tiers.failing = "l2"
    with pytest.raises(TierError):
        await given(tiers, "l1", "l2")


async def test_much_comes_in_pieces() -> None:
    big = [replace(stored(str(n)), body=b"x" * 200_000) for n in range(6)]
    pieces = [
        len(piece)
        async for piece in give(
            Tiers(l1=big).list, ["l1"], Codec(compress_above=10**9), HEADING,
            clock=lambda: 1000.0, wall=lambda: 5e6,
        )
    ]  # fmt: skip
    assert len(pieces) == 4
    assert max(pieces) < 500_000


def test_a_parcel_of_nothing_is_one() -> None:
    with pytest.raises(Unreadable):
        Unpacking().end()
