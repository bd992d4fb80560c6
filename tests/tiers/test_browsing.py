"""Looking into the tiers: what is told is what a request would find, and nothing notices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cranked import Clock, CrankedTier
from support.redis_servers import needs_redis, server
from support.redis_tiers import redis_tier
from support.tier_contract import KEY, OTHER, entry, same

from proxy.ledger import Ledger
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.errors import TierError
from proxy.model.purge import Kind, Purge
from proxy.tiers.browsing import Answer, Browsing, Lowest, Open, Page, Seen
from proxy.tiers.codec import Codec
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.l2_disk import L2Disk
from proxy.tiers.ladder import Ladder
from proxy.tiers.write_behind import WriteBehind

TIERS = ["memory", "disk", pytest.param("redis", marks=needs_redis), "behind"]


def disk_at(place: Path, clock: Clock) -> L2Disk:
    return L2Disk(
        place, codec=Codec(), max_bytes=4 * 2**20, max_entry_bytes=65_536, clock=clock,
        wall=lambda: 1.7e9 + clock(), read_timeout_s=30, boot="this boot", guarded=True,
    )  # fmt: skip


def memory_on(clock: Clock) -> L1Memory:
    return L1Memory(max_bytes=4 * 2**20, max_entry_bytes=65_536, clock=clock)


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture(params=TIERS)
async def tier(
    request: pytest.FixtureRequest, clock: Clock, tmp_path: Path
) -> AsyncIterator[L1Memory | L2Disk | WriteBehind]:
    async with AsyncExitStack() as stack:
        match request.param:
            case "memory":
                yield memory_on(clock)
            case "disk":
                disk = disk_at(tmp_path / "disk", clock)
                await disk.start()
                stack.push_async_callback(disk.close)
                yield disk
            case "redis":
                at = await stack.enter_async_context(server())
                yield (await stack.enter_async_context(redis_tier(at.port, clock))).tier
            case "behind":
                behind = WriteBehind(memory_on(clock), lambda *_: None)
                await behind.start()
                stack.push_async_callback(behind.close, 5)
                yield behind


def key(number: int) -> CacheKey:
    return CacheKey("scope", number.to_bytes(32))


async def kept(tier, *entries: Entry) -> None:
    for each in entries:
        assert await tier.put(each)
    if hasattr(tier, "flush"):
        await tier.flush()


def counters(tier) -> dict[str, object]:
    """Every counter that a tier and its codec have."""
    told = {n: getattr(tier, n) for n in dir(tier) if isinstance(getattr(tier, n, None), int)}
    codec = getattr(tier, "_codec", None)
    return told | ({"odd": dict(codec.odd)} if codec else {})


async def listed(
    tier: Open, *, prefix: str = "", most: int = 100, fits=lambda _: True
) -> tuple[list[Seen], int]:
    """All pages, and how many there were."""
    seen: list[Seen] = []
    after: str | None = ""
    pages = 0
    while after is not None:
        page = await tier.page(after, prefix, fits, most)
        seen += page.seen
        after = page.after
        pages += 1
    return seen, pages


# -- each tier ---------------------------------------------------------------------------------


async def test_a_peek_finds_what_a_get_does_and_no_counter_moves(tier, clock: Clock) -> None:
    stored = entry()
    await kept(tier, stored)
    before = counters(tier)

    seen = await tier.peek(KEY.digest)
    assert seen is not None
    assert same(seen.entry, stored)
    assert await tier.peek(OTHER.digest) is None
    clock.turn(61.0)
    assert await tier.peek(KEY.digest) is None

    assert counters(tier) == before


async def test_what_was_deleted_is_seen_no_more(tier) -> None:
    await kept(tier, entry())
    await tier.delete(KEY)

    assert await tier.peek(KEY.digest) is None
    assert (await listed(tier))[0] == []


async def test_all_is_listed_once_in_pages_and_no_counter_moves(tier) -> None:
    await kept(tier, *(entry(key(n)) for n in range(1, 31)))
    before = counters(tier)

    for most in (1, 7, 30, 100):
        seen, pages = await listed(tier, most=most)
        digests = [each.entry.key.digest for each in seen]
        assert len(digests) == len(set(digests)) == 30
        assert pages >= min(3, 30 // most // 10)

    assert counters(tier) == before


async def test_only_what_is_wanted_is_listed_and_the_rest_is_looked_at(tier) -> None:
    await kept(tier, *(entry(key(n), lifetime=Lifetime(n)) for n in range(20, 50)))

    seen, _ = await listed(tier, fits=lambda each: each.lifetime.ttl < 23)
    assert {each.entry.lifetime.ttl for each in seen} == {20, 21, 22}
    assert (await tier.page("", "", lambda _: False, 5)).seen == []


async def test_what_begins_so_is_found_by_its_first_digits(tier) -> None:
    digests = ["a1" + "0" * 62, "a2" + "0" * 62, "b1" + "0" * 62, "a1f" + "0" * 61]
    await kept(tier, *(entry(CacheKey("s", bytes.fromhex(each))) for each in digests))

    for prefix, count in [("a", 3), ("a1", 2), ("a1f", 1), ("c", 0), (digests[2], 1)]:
        seen, _ = await listed(tier, prefix=prefix, most=1)
        assert len(seen) == count, prefix
        assert all(each.entry.key.digest.hex().startswith(prefix) for each in seen)


async def test_what_is_dead_is_not_listed(tier, clock: Clock) -> None:
    await kept(tier, entry(), entry(OTHER, lifetime=Lifetime(600.0)))
    clock.turn(61.0)

    assert [each.entry.key for each in (await listed(tier))[0]] == [OTHER]


async def test_memory_tells_of_uses_and_a_peek_is_none(clock: Clock) -> None:
    memory = memory_on(clock)
    await kept(memory, entry())
    await memory.get(KEY)
    for _ in range(3):
        seen = await memory.peek(KEY.digest)
        assert seen is not None
        assert seen.uses == 1
    assert [each.uses for each in (await listed(memory))[0]] == [1]


async def test_what_waits_to_be_written_is_seen_and_what_is_torn_is_not(
    clock: Clock, tmp_path: Path
) -> None:
    disk = disk_at(tmp_path / "disk", clock)
    with pytest.raises(TierError):
        await disk.peek(KEY.digest)
    await disk.start()
    try:
        await disk.put(entry())
        seen = await disk.peek(KEY.digest)  # in the queue, or being written
        assert seen is not None
        await disk.flush()
        disk._file.write([], 1.7e9)
        await disk._writes.submit(lambda: None)
        assert (await disk.peek(OTHER.digest)) is None
        await disk._writes.submit(lambda: _spoil(disk))
        assert await disk.peek(KEY.digest) is None
        assert (await listed(disk))[0] == []
        assert set(disk._codec.odd.values()) == {0}
    finally:
        await disk.close()


def _spoil(disk: L2Disk) -> None:
    with disk._file._file.env.begin(write=True) as txn:
        found = txn.get(KEY.digest, db=disk._file._entries)
        assert found is not None
        txn.put(KEY.digest, bytes(found)[:-1] + b"!", db=disk._file._entries)


async def test_behind_a_queue_what_waits_and_what_was_lost_is_told_as_it_will_be(
    clock: Clock,
) -> None:
    memory = memory_on(clock)
    behind = WriteBehind(memory, lambda *_: None)
    await memory.put(entry())
    assert not await behind.put(entry(body=b"newer"))  # nobody writes yet: the old one is lost
    assert await behind.peek(KEY.digest) is None
    assert (await behind.page("", "", lambda _: True, 9)).seen == []


@given(st.sets(st.binary(min_size=2, max_size=2), max_size=30), st.integers(1, 9))
def test_the_lowest_are_found_in_whichever_order_they_come(digests: set[bytes], most: int) -> None:
    lowest = Lowest(most)
    for digest in digests:
        if lowest.may_take(digest):
            lowest.offer(digest, Seen(entry(CacheKey("s", digest))))

    assert [each.entry.key.digest for each in lowest.seen] == sorted(digests)[:most]
    assert lowest.more == (len(digests) > most)


# -- all of them -------------------------------------------------------------------------------


class OpenCrank(CrankedTier):
    """A cranked tier that can be looked into, and fails when it is told to."""

    async def peek(self, digest: bytes) -> Seen | None:
        await self._called("peek")
        found = self.kept.get(digest)
        return None if found is None else Seen(found)

    async def page(self, after: str, prefix: str, fits, most: int) -> Page:
        await self._called("page")
        keys = sorted(d for d in self.kept if d.hex() > after and d.hex().startswith(prefix))
        fitting = [d for d in keys if fits(self.kept[d])]
        more = len(fitting) > most
        seen = [Seen(self.kept[d]) for d in fitting[:most]]
        return Page(seen, fitting[most - 1].hex() if more else None, len(keys))


class Scene:
    def __init__(self) -> None:
        self.clock = Clock()
        self.ledger = Ledger()
        self.tiers = [OpenCrank("near"), OpenCrank("far")]
        self.ladder = Ladder(self.tiers, self.ledger, lambda *_: None)
        self.browsing = Browsing(self.tiers, self.ladder, self.clock)

    def purge(self, kind: Kind, value: str = "", *, soft: bool = False) -> None:
        self.ledger.enter(Purge(kind, value, soft), self.ledger.generation + 1, self.clock())


entries = st.builds(
    lambda number, scope, body, generation: replace(
        entry(CacheKey(scope, bytes([number]) * 32), body), generation=generation
    ),
    st.integers(0, 2),
    st.sampled_from(["a", "b"]),
    st.sampled_from([b"1", b"2"]),
    st.integers(0, 2),
)


@given(
    near=st.lists(entries, max_size=3),
    far=st.lists(entries, max_size=3),
    failing=st.sets(st.sampled_from([0, 1])),
    trusted=st.sets(st.sampled_from(["near", "far"]), min_size=1),
    purges=st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.booleans()), max_size=2
    ),
)  # fmt: skip
async def test_what_is_found_by_looking_is_what_the_ladder_finds(
    near: Sequence[Entry], far: Sequence[Entry], failing: set[int], trusted: set[str],
    purges: list[tuple[str, bool]],
) -> None:  # fmt: skip
    scene = Scene()
    for tier, kept_there in zip(scene.tiers, (near, far), strict=True):
        # Tiers compare whole keys.
        tier.kept = {each.key.digest: each for each in kept_there}
    for scope, soft in purges:
        scene.purge(Kind.SCOPE, scope, soft=soft)
    scene.ladder.trust(trusted)
    for at in failing:
        scene.tiers[at].failing = {"get", "peek"}

    for number in range(3):
        for scope in "ab":
            asked = CacheKey(scope, bytes([number]) * 32)
            here = [t for t in scene.tiers if t.kept.get(asked.digest)]
            if any(t.kept[asked.digest].key != asked for t in here):
                continue  # no tier gives what is another's, but this one would
            looked = await scene.browsing.get(asked)
            assert looked == await scene.ladder.get(asked)


async def test_each_tier_says_for_itself_why_there_is_nothing() -> None:
    scene = Scene()
    near, far = scene.tiers
    far.kept = near.kept = {KEY.digest: entry()}

    looks = await scene.browsing.look(KEY.digest, KEY)
    assert [each.answer for each in looks] == [Answer.HERE, Answer.HERE]
    assert [each.answer for each in await scene.browsing.look(OTHER.digest)] == [Answer.ABSENT] * 2
    foreign = await scene.browsing.look(KEY.digest, CacheKey("another", KEY.digest))
    assert {each.answer for each in foreign} == {Answer.ABSENT}

    scene.ladder.trust(["near"])
    near.failing = {"peek", "page"}
    looks = await scene.browsing.look(KEY.digest)
    assert [each.answer for each in looks] == [Answer.ERROR, Answer.DISTRUSTED]
    assert looks[0].trouble == "near cannot peek"
    assert not (await scene.browsing.get(KEY)).sure
    listing = await scene.browsing.list("", "", lambda _: True, 9)
    assert (listing.seen, listing.untold) == ([], ["near", "far"])
    assert not await scene.browsing.put(entry())


async def test_what_is_purged_is_neither_here_nor_listed_and_what_is_softly_purged_is_stale() -> (
    None
):
    scene = Scene()
    scene.tiers[0].kept = {KEY.digest: entry(stored_at=990.0), OTHER.digest: entry(OTHER)}
    scene.purge(Kind.KEY, OTHER.digest.hex())
    scene.purge(Kind.KEY, KEY.digest.hex(), soft=True)

    gone, *_ = await scene.browsing.look(OTHER.digest)
    soft, *_ = await scene.browsing.look(KEY.digest)
    assert gone.answer is Answer.PURGED
    assert soft.seen is not None
    assert soft.seen.entry.ttl_left(1000.0) == 0.0
    (row,) = (await scene.browsing.list("", "", lambda _: True, 9)).seen
    assert row == ("near", soft.seen)


async def test_tiers_are_listed_one_after_another_and_a_cursor_says_where() -> None:
    scene = Scene()
    for tier in scene.tiers:
        tier.kept = {key(n).digest: entry(key(n)) for n in range(5)}

    found: list[str] = []
    after: str | None = ""
    while after is not None:
        listing = await scene.browsing.list(after, "", lambda _: True, 2)
        found += [f"{tier} {seen.entry.key.digest[-1]}" for tier, seen in listing.seen]
        after = listing.after
        assert len(listing.seen) <= 2
    assert found == [f"{tier} {n}" for tier in ("near", "far") for n in range(5)]
    only = await scene.browsing.list("", "", lambda _: True, 9, "far")
    assert only.after is None
    assert {tier for tier, _ in only.seen} == {"far"}
    for after, tier in [("", "nowhere"), ("nowhere:00", None), ("near:00", "far")]:
        with pytest.raises(ValueError, match=r"no such tier|begin anew"):
            await scene.browsing.list(after, "", lambda _: True, 9, tier)


async def test_a_listing_of_large_entries_is_a_short_one(tmp_path: Path, clock: Clock) -> None:
    large, size = Path(tmp_path / "disk"), 3 * 2**20
    disk = L2Disk(
        large, codec=Codec(compress_above=size), max_bytes=64 * 2**20, max_entry_bytes=2 * size,
        clock=clock, wall=lambda: 1.7e9 + clock(), read_timeout_s=30, boot="this boot",
        guarded=True,
    )  # fmt: skip
    await disk.start()
    for number in range(8):
        await kept(disk, entry(key(number), b"x" * size))
    first = await disk.page("", "", lambda _: True, 1000)
    assert len(first.seen) == 6  # 16 MB, and what is begun
    assert first.after is not None
    rest = await disk.page(first.after, "", lambda _: True, 1000)
    assert (len(rest.seen), rest.after) == (2, None)
    await disk.close()


async def test_a_listing_rests_when_it_holds_much() -> None:
    scene = Scene()
    for tier in scene.tiers:
        tier.kept = {key(n).digest: entry(key(n), b"x" * 40 * 2**20) for n in range(1)}
    scene.tiers[0].kept = {key(n).digest: entry(key(n), bytes(40 * 2**20)) for n in range(2)}
    listing = await scene.browsing.list("", "", lambda _: True, 1000)
    assert [tier for tier, _ in listing.seen] == ["near", "near"]
    assert listing.after is not None
    listing = await scene.browsing.list(listing.after, "", lambda _: True, 1000)
    assert ([tier for tier, _ in listing.seen], listing.after) == (["far"], None)
