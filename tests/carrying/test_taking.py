from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.cranked import entry

from proxy.carrying.parcel import Heading
from proxy.carrying.taking import NotOurs, Place, Taking
from proxy.ledger import SHARED, Ledger
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.purge import Kind, Purge
from proxy.purges.base import Learn, Note
from proxy.purges.purging import Purging
from proxy.tiers.codec import Codec, EncryptionKey, Odd, carried

OURS = Heading("keys", "purges", 0.0)
NOW, WALL = 2000.0, 5_000_000.0
TAG = Purge(Kind.TAG, "doc:1")


async def nothing(*_args: object) -> None:
    pass


class Proxy:
    """A proxy that entries come to."""

    def __init__(self) -> None:
        self.stored: dict[CacheKey, Entry] = {}
        self.settled = 0
        self.takes = True
        self.on_look: Callable[[], None] = lambda: None
        self.codec = Codec()
        self.ledger = Ledger()
        self.purging = Purging(
            self.ledger, None, sweep=nothing, free=nothing, clock=lambda: NOW, wall=lambda: WALL
        )
        self.place = Place(
            OURS, self._open, self.purging, self._look, self._put, self._settle,
            lambda: NOW, lambda: WALL,
        )  # fmt: skip

    def _open(self, envelope: bytes, now: float, wall: float) -> Entry | Odd:
        return carried(self.codec, envelope, now, wall)

    async def _look(self, key: CacheKey) -> Entry | None:
        self.on_look()
        return self.stored.get(key)

    async def _put(self, entry: Entry) -> bool:
        if self.takes and not self.ledger.covers(entry):
            self.stored[entry.key] = entry
            return True
        return False

    async def _settle(self) -> None:
        self.settled += 1

    async def takes_in(
        self, *entries: Entry, heading: Heading = OURS, vouched: bool = False
    ) -> dict[str, int]:
        taking = Taking(self.place, heading, vouched=vouched)
        # As another wrote it, a hundred seconds ago on its own clock.
        await taking.take([Codec().encode(each, 1000.0, WALL - 100) for each in entries])
        return {name: count for name, count in taking.counts.told().items() if count}


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


def stored(name: str = "a", **more: object) -> Entry:
    key = CacheKey("anon", name.encode().ljust(32, b"."))
    made = entry(key, stored_at=990.0, lifetime=Lifetime(3600.0))
    return replace(made, **more)  # type: ignore[arg-type] # as Entry has them


ELSEWHERE = OURS._replace(purges="others")


async def test_what_is_taken_in_has_the_life_that_it_had_left(proxy: Proxy) -> None:
    sent = stored(tags=("doc:1",), upstream_s=1.5)
    assert await proxy.takes_in(sent) == {"taken": 1}
    (taken,) = proxy.stored.values()
    assert taken == replace(sent, stored_at=taken.stored_at)
    assert taken.age(NOW) == pytest.approx(110.0)


async def test_nothing_newer_is_replaced(proxy: Proxy) -> None:
    newer = stored(stored_at=NOW - 50)
    proxy.stored[newer.key] = newer
    assert await proxy.takes_in(stored()) == {"older": 1}
    assert proxy.stored[newer.key] is newer
    proxy.stored[newer.key] = stored(stored_at=NOW - 500)
    assert await proxy.takes_in(stored()) == {"taken": 1}
    assert await proxy.takes_in(stored()) == {"older": 1}
    proxy.stored[newer.key] = replace(newer, negative=True)
    assert await proxy.takes_in(stored()) == {"taken": 1}


async def test_what_is_past_its_time_or_damaged_is_counted(proxy: Proxy) -> None:
    assert await proxy.takes_in(stored(lifetime=Lifetime(60.0))) == {"expired": 1}
    taking = Taking(proxy.place, OURS, vouched=False)
    whole = Codec().encode(stored(), 1000.0, WALL - 100)
    sealed = Codec(keys=[EncryptionKey(1, b"k" * 32)]).encode(stored(), 1000.0, WALL - 100)
    await taking.take([b"", b"nonsense", whole[:-1] + b"x", whole[:40], sealed])
    assert taking.counts.unreadable == 5
    assert proxy.stored == {}


async def test_what_no_tier_takes_is_counted(proxy: Proxy) -> None:
    proxy.takes = False
    assert await proxy.takes_in(stored()) == {"declined": 1}


async def test_what_waits_to_be_written_is_waited_for_now_and_then(proxy: Proxy) -> None:
    big = [stored(str(n), body=b"x" * 2**20) for n in range(9)]
    assert await proxy.takes_in(*big) == {"taken": 9}
    assert proxy.settled == 2


async def test_entries_of_another_secret_are_refused(proxy: Proxy) -> None:
    with pytest.raises(NotOurs, match=r"cache\.scope\.secret"):
        await proxy.takes_in(stored(), heading=OURS._replace(keys="other"), vouched=True)


async def test_what_was_purged_since_does_not_come_back(proxy: Proxy) -> None:
    await proxy.purging.purge(TAG)
    before = stored("a", tags=("doc:1",))
    after = stored("b", tags=("doc:1",), generation=SHARED)
    assert await proxy.takes_in(before, after, stored("c")) == {"taken": 2, "purged": 1}
    await proxy.purging.purge(Purge(Kind.ALL))
    assert await proxy.takes_in(after) == {"purged": 1}


async def test_a_purge_that_comes_while_it_is_taken_in_holds(proxy: Proxy) -> None:
    proxy.on_look = lambda: proxy.ledger.enter(TAG, SHARED, NOW)
    assert await proxy.takes_in(stored(tags=("doc:1",))) == {"purged": 1}


async def test_what_turned_stale_by_a_purge_comes_back_stale(proxy: Proxy) -> None:
    await proxy.purging.purge(TAG._replace(soft=True))
    assert await proxy.takes_in(stored(tags=("doc:1",))) == {"taken": 1}
    (taken,) = proxy.stored.values()
    assert taken.ttl_left(NOW) <= 0


async def test_where_purges_are_not_known_somebody_has_to_vouch(proxy: Proxy) -> None:
    with pytest.raises(NotOurs, match="vouch for it"):
        await proxy.takes_in(stored(), heading=ELSEWHERE)
    assert await proxy.takes_in(stored(), heading=ELSEWHERE, vouched=True) == {"taken": 1}


async def test_numbers_from_elsewhere_do_not_outlast_purges_of_ours(proxy: Proxy) -> None:
    sent = stored(generation=7000 * SHARED, tags=("doc:1",))
    await proxy.takes_in(sent, heading=ELSEWHERE, vouched=True)
    (taken,) = proxy.stored.values()
    assert taken.generation == 0
    await proxy.purging.purge(TAG)
    assert proxy.ledger.admit(taken) is None


@pytest.mark.parametrize("soft", [False, True])
async def test_what_purges_of_ours_name_is_refused_whoever_vouches(
    proxy: Proxy, soft: bool
) -> None:
    await proxy.purging.purge(TAG._replace(soft=soft))
    named, other = stored("a", tags=("doc:1",), generation=9 * SHARED), stored("b")
    told = await proxy.takes_in(named, other, heading=ELSEWHERE, vouched=True)
    assert told == {"taken": 1, "purged": 1}


async def test_what_was_asked_for_after_the_last_purge_is_safe(proxy: Proxy) -> None:
    proxy.purging._enter(TAG, SHARED, NOW - 120.0)
    early = stored("a", tags=("doc:1",), upstream_s=20.0)
    late = stored("b", tags=("doc:1",), upstream_s=1.0)
    told = await proxy.takes_in(early, late, heading=ELSEWHERE, vouched=True)
    assert told == {"taken": 1, "purged": 1}


async def test_after_a_purge_of_everything_nothing_older_is_safe(proxy: Proxy) -> None:
    await proxy.purging.purge(Purge(Kind.ALL))
    assert await proxy.takes_in(stored(), heading=ELSEWHERE, vouched=True) == {"purged": 1}


async def test_that_a_journal_was_begun_is_no_purge(proxy: Proxy) -> None:
    class Begun:
        name = "begun"

        async def start(self, learn: Learn) -> None:
            learn(Note(7, Purge(Kind.ALL), WALL - 1))
            self.learn = learn

        async def close(self) -> None:
            pass

    journal = Begun()
    purging = Purging(
        proxy.ledger, journal, sweep=nothing, free=nothing,  # type: ignore[arg-type] # it purges not
        clock=lambda: NOW, wall=lambda: WALL,
    )  # fmt: skip
    await purging.start()
    assert purging.adopt(stored(stored_at=NOW - 100)) is not None
    journal.learn(Note(8, Purge(Kind.ALL), WALL - 1))
    assert purging.adopt(stored(stored_at=NOW - 100)) is None
    await purging.close()


async def test_when_purges_had_to_be_forgotten_nothing_older_is_safe() -> None:
    ledger = Ledger(most=4)
    purging = Purging(
        ledger, None, sweep=nothing, free=nothing, clock=lambda: NOW, wall=lambda: WALL
    )
    for number in range(6):
        await purging.purge(Purge(Kind.TAG, f"t{number}"))
    assert purging.adopt(stored(stored_at=NOW - 100)) is None


async def test_a_head_that_cannot_be_sent_is_not_taken_in(proxy: Proxy) -> None:
    split = Head(200, "OK", Headers([("X-Note", "a\r\nSet-Cookie: b")]))
    assert await proxy.takes_in(stored(head=split)) == {"unreadable": 1}
    assert proxy.stored == {}
