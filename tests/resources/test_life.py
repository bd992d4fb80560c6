"""The life of a request for a resource, with a clock turned by hand."""

from __future__ import annotations

import asyncio

import pytest
from support.cranked import CrankedTier
from support.resources import Answer, World

from proxy.flight import Limits
from proxy.model.errors import NoReply
from proxy.model.purge import Kind, Purge
from proxy.policy import Rule
from proxy.resources.fetch import Rules

FRESH = ("Cache-Control", "max-age=60")
ETAG = ("ETag", '"v1"')


def sent(world: World, name: str) -> str:
    """What the origin was last told in the field ``name``."""
    return world.origin.asked[-1].headers.get(name)


async def test_a_fresh_response_is_served_with_its_age_and_its_own_date() -> None:
    world = World()
    world.says(FRESH, ("X-Own", "1"), ("Age", "5"))
    first = await world.get()
    then = world.date()
    world.clock.turn(10.0)
    second = await world.get()
    assert (first.cache, second.cache) == ("MISS uri-miss", "HIT fresh")
    assert (second.body, second["x-own"], second["age"]) == (b"body", "1", "15")
    assert second["date"] == then
    assert second["cache-status"] == "sidecache; hit; ttl=45; detail=l1"
    assert len(world.origin.asked) == 1


async def test_a_response_that_says_nothing_is_not_stored() -> None:
    world = World()
    assert [(await world.get()).cache for _ in range(3)] == [
        "MISS uri-miss", "MISS hit-for-miss", "MISS hit-for-miss",
    ]  # fmt: skip
    world.says(FRESH)
    assert (await world.get()).cache == "MISS hit-for-miss"
    assert (await world.get()).cache == "HIT fresh"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"path": "/x"}, {"path": "/y"}),
        ({"query": "a=1"}, {"query": "a=2"}),
        ({"query": ""}, {"query": "a"}),
    ],
)
async def test_another_uri_is_another_resource(one: dict[str, str], other: dict[str, str]) -> None:
    world = World()
    world.says(FRESH)
    await world.get(**one)
    assert (await world.get(**other)).cache == "MISS uri-miss"
    assert (await world.get(**one)).cache == "HIT fresh"


async def test_a_namespace_and_a_host_that_is_told_are_part_of_it() -> None:
    world = World(told_hosts=True)
    world.says(FRESH)
    for fields in ([("X-Cache-Namespace", "n")], [("Host", "a")], [("X-Forwarded-Host", "b")]):
        assert (await world.get(*fields)).cache == "MISS uri-miss"
        assert (await world.get(*fields)).cache == "HIT fresh"


async def test_head_is_answered_from_what_get_has_stored() -> None:
    world = World()
    world.says(FRESH)
    await world.get()
    assert (await world.get(method="HEAD")).cache == "HIT fresh"
    assert len(world.origin.asked) == 1


# -- parts -------------------------------------------------------------------------------------


async def test_parts_are_cut_from_what_is_stored() -> None:
    world = World()
    world.says(FRESH, ETAG, ("Content-Type", "text/plain"), body=b"0123456789")
    await world.get()
    one = await world.get(("Range", "bytes=2-4"))
    assert (one.status, one.body, one["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert (one["etag"], one["age"]) == ('"v1"', "0")
    two = await world.get(("Range", "bytes=0-0,-1"))
    kind, boundary = two["content-type"].split("; boundary=")
    assert (kind, two.body.count(boundary.encode())) == ("multipart/byteranges", 3)
    none = await world.get(("Range", "bytes=50-"))
    assert (none.status, none["content-range"], none.body) == (416, "bytes */10", b"")
    assert (await world.get(("Range", "lines=1"))).status == 200
    assert (await world.get(("Range", "bytes=0-1"), ("If-Range", '"v0"'))).status == 200
    assert (await world.get(("Range", "bytes=0-1"), ("If-Range", '"v1"'))).status == 206
    assert (await world.get(("Range", "bytes=0-1"), method="HEAD")).status == 200
    assert len(world.origin.asked) == 1


async def test_a_part_that_the_backend_sends_is_passed_on_and_not_stored() -> None:
    world = World()
    world.says(FRESH, ("Content-Range", "bytes 0-1/10"), status=206, body=b"01")
    for _ in range(2):
        part = await world.get(("Range", "bytes=0-1"))
        assert (part.status, part.body, sent(world, "range")) == (206, b"01", "bytes=0-1")
    assert len(world.origin.asked) == 2


# -- what callers ask --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "cache"),
    [
        ("no-cache", "HIT validated"),
        ("max-age=0", "HIT validated"),
        ("max-age=5", "HIT validated"),
        ("max-age=20", "HIT fresh"),
        ("min-fresh=100", "HIT validated"),
        ("only-if-cached", "HIT fresh"),
        ("no-store", "BYPASS no-store"),
    ],
)
async def test_callers_are_heard(value: str, cache: str) -> None:
    world = World()
    world.says(FRESH, ETAG)
    await world.get()
    world.clock.turn(10.0)
    world.says(FRESH, status=304)
    assert (await world.get(("Cache-Control", value))).cache == cache


async def test_who_wants_nothing_else_is_told_that_nothing_is_stored() -> None:
    world = World()
    got = await world.get(("Cache-Control", "only-if-cached"))
    assert (got.status, got.cache, world.origin.asked) == (504, "ERROR only-if-cached", [])


async def test_a_caller_can_make_a_lifetime_shorter_only() -> None:
    world = World()
    world.says(FRESH)
    await world.get(("X-Cache-TTL", "10"))
    world.clock.turn(11.0)
    await world.get(("X-Cache-TTL", "1000"))
    world.clock.turn(59.0)
    assert (await world.get()).cache == "HIT fresh"
    world.clock.turn(2.0)
    assert (await world.get()).cache == "MISS expired"


async def test_rules_can_switch_it_off_and_bound_it() -> None:
    off = Rule(path="/off*", dialect="http_resource", enabled=False)
    small = Rule(path="/small*", dialect="http_resource", max_entry=3)
    world = World(path_rules=(off, small))
    world.says(FRESH)
    assert [(await world.get(path="/off")).cache for _ in range(2)] == ["BYPASS disabled"] * 2
    await world.get(path="/small")
    assert (await world.get(path="/small")).cache == "MISS hit-for-miss"


async def test_a_long_body_that_did_not_say_so_is_not_stored() -> None:
    world = World(path_rules=(Rule(max_entry=3),))
    world.origin.says = lambda _: Answer(fields=[FRESH], body=b"long", length=2)
    await world.get()
    got = await world.get()
    assert (got.cache, got.body) == ("MISS uri-miss", b"long")


@pytest.mark.parametrize(
    "more",
    [{"content": b"x"}, {"method": "OPTIONS"}],
)
async def test_what_is_no_plain_get_is_passed_on(more: dict[str, object]) -> None:
    world = World()
    world.says(FRESH)
    for _ in range(2):
        assert (await world.get(**more)).cache == "BYPASS route"  # type: ignore[arg-type] # both are


async def test_who_overrides_the_method_is_passed_on() -> None:
    world = World()
    world.says(FRESH)
    got = await world.get(("X-HTTP-Method-Override", "DELETE"))
    assert got.cache == "BYPASS uncacheable"


async def test_too_many_tags_are_no_tags_to_purge_by() -> None:
    world = World()
    world.says(FRESH, ("Cache-Tag", ",".join(map(str, range(65)))))
    await world.get()
    assert (await world.get()).cache == "MISS uri-miss"


async def test_it_is_purged_by_tag_and_path_variants_and_all() -> None:
    world = World()
    world.says(FRESH, ("Vary", "Foo"), ("Cache-Tag", "t"))
    await world.get()
    world.ledger.enter(Purge(Kind.TAG, "t"), 1, world.clock())
    assert (await world.get()).cache == "MISS uri-miss"
    world.ledger.enter(Purge(Kind.PATH, "/x"), 2, world.clock())
    assert (await world.get()).cache == "MISS uri-miss"
    assert (await world.get()).cache == "HIT fresh"


async def test_surrogates_say_so_and_are_heard() -> None:
    world = World(Rules(surrogate="us"))
    world.says(("Surrogate-Control", "max-age=60"), ("Cache-Control", "no-store"))
    await world.get(("Surrogate-Capability", 'cdn="Surrogate/1.0"'))
    assert sent(world, "surrogate-capability") == 'cdn="Surrogate/1.0", us="Surrogate/1.0"'
    assert (await world.get()).cache == "HIT fresh"


# -- what becomes untrue -----------------------------------------------------------------------


async def test_an_unsafe_request_has_it_asked_for_anew() -> None:
    world = World()
    world.says(FRESH)
    await world.get()
    await world.get(path="/y")
    world.says(("Location", "/y"), status=201)
    assert (await world.get(method="POST", content=b"x")).cache == "BYPASS route"
    world.says(FRESH, body=b"new")
    for path in ("/x", "/y"):
        assert (await world.get(path=path)).body == b"new"


async def test_one_that_fails_changes_nothing() -> None:
    world = World()
    world.says(FRESH)
    await world.get()
    world.says(status=500)
    await world.get(method="POST", content=b"x")
    world.origin.says = lambda _: NoReply("gone")
    await world.get(method="DELETE")
    assert (await world.get()).cache == "HIT fresh"


async def test_what_points_nowhere_is_nobodys() -> None:
    world = World()
    world.says(("Location", "/nowhere/y"))
    assert (await world.get(method="PUT", content=b"x")).status == 200


async def test_it_is_forgotten_in_every_tier_that_can_be_reached() -> None:
    second, third = CrankedTier("second"), CrankedTier("third")
    world = World(further=(second, third))
    world.says(FRESH)
    await world.get()
    second.failing = {"delete"}
    await world.get(method="POST", content=b"x")
    assert (third.kept, world.trouble) == ({}, ["second"])


async def test_what_was_asked_for_before_the_change_is_not_stored_after_it() -> None:
    world = World()
    world.says(FRESH, body=b"old")
    world.origin.waits = asyncio.Event()
    asking = await world.asking()
    waits, world.origin.waits = world.origin.waits, None
    await world.get(method="PUT", content=b"x")
    waits.set()
    assert (await asking).body == b"old"
    world.says(FRESH, body=b"new")
    assert (await world.get()).body == b"new"


async def test_who_has_to_ask_for_himself_is_given_what_is_stale_if_that_fails() -> None:
    world = World(limits=Limits(flights=1))
    world.says(("Cache-Control", "max-age=60, stale-if-error=600"))
    await world.get()
    world.clock.turn(100.0)
    world.origin.waits = asyncio.Event()
    first = await world.asking(path="/other")
    world.says(status=503)
    world.origin.waits = None
    told = await world.get()
    assert (told.cache, told.status) == ("STALE sie", 200)
    first.cancel()
