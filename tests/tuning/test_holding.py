from __future__ import annotations

from support.cranked import Clock

from proxy.model.entry import CacheKey, Lifetime
from proxy.tuning.holding import Further, Held, held


def entry(name: str, size: int = 1000, ttl: float = 60.0, at: float = 1000.0) -> Held:
    key = CacheKey("all", name.encode())
    return held(key, size, at, Lifetime(ttl), age=0.0, upstream_s=1.0, negative=False)


def test_an_entry_is_as_large_as_it_was() -> None:
    assert entry("a", 12_345).stored_size == 12_345


def test_what_is_kept_is_found_by_its_owner_until_it_dies() -> None:
    clock = Clock()
    tier = Further(None, clock)
    tier.put(entry("a"))

    assert tier.get(CacheKey("all", b"a")) == entry("a")
    assert tier.get(CacheKey("another", b"a")) is None
    assert tier.get(CacheKey("all", b"b")) is None
    clock.turn(60)
    assert tier.get(CacheKey("all", b"a")) is None


def test_who_dies_first_goes_first_when_it_is_full() -> None:
    tier = Further(3000, Clock())
    for name, ttl in (("a", 50.0), ("b", 20.0), ("c", 80.0)):
        tier.put(entry(name, 1000, ttl))

    assert [tier.get(CacheKey("all", name)) is None for name in (b"a", b"b", b"c")] == [
        False, True, False,
    ]  # fmt: skip
    assert (tier.evicted, tier.bytes) == (1, 2400)


def test_an_entry_takes_the_place_of_its_older_one() -> None:
    clock = Clock()
    tier = Further(None, clock)
    tier.put(entry("a", 1000))
    tier.put(entry("a", 9000, 500.0))
    assert tier.bytes == 3 * 4096 + 200

    clock.turn(100)
    tier.put(entry("b", 100, at=clock.now))
    assert tier.get(CacheKey("all", b"a")) is not None
    assert tier.evicted == 0
