"""Where the responses at a URI are kept, and that nothing odd is found there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.cranked import CrankedTier, Given, entry
from support.resources import World

from proxy.model.entry import CacheKey, Lifetime
from proxy.model.message import Headers, Request
from proxy.resources.shelf import NOTE, Resource, read_note
from proxy.rfc9111.selecting import EVERYBODY, Selection

KEY = CacheKey("shared", b"u" * 32)


def resource(*fields: tuple[str, str]) -> Resource:
    request = Request("GET", "/x", "", Headers(fields), Given(b""))
    return Resource(request, KEY, "anon", authorised=False, apart=True)


@pytest.mark.parametrize("body", [b"", b"short", b"0" * 16])
def test_what_is_no_note_is_none(body: bytes) -> None:
    assert read_note(replace(entry(body=body), dialect=NOTE)) is None
    assert read_note(entry(body=b"0" * 16 + b"all\nfoo")) is None
    assert read_note(None) is None


async def test_a_note_lives_as_long_as_the_longest_of_its_variants() -> None:
    world = World()
    one, two = resource(("Foo", "1")), resource(("Foo", "2"))
    by_foo = Selection(("foo",))
    await world.shelf.keep(entry(lifetime=Lifetime(10.0)), one, by_foo, 0)
    await world.shelf.keep(entry(lifetime=Lifetime(50.0)), two, by_foo, 0)
    await world.shelf.keep(entry(lifetime=Lifetime(10.0)), one, by_foo, 0)
    world.clock.turn(49.0)
    assert (await world.shelf.find(two)).entry is not None
    assert (await world.shelf.find(one)).entry is None


async def test_when_too_many_changes_have_to_be_remembered_what_was_on_its_way_is_not_stored() -> (
    None
):
    world = World()
    before = world.shelf.changes
    for number in range(10_001):
        await world.shelf.forget(CacheKey("shared", number.to_bytes(32, "big")))
    assert not await world.shelf.keep(entry(), resource(), EVERYBODY, before)
    assert await world.shelf.keep(entry(), resource(), EVERYBODY, world.shelf.changes)


async def test_a_note_in_the_place_of_a_response_is_never_served() -> None:
    world = World()
    by_foo = Selection(("foo",))
    await world.shelf.keep(entry(), resource(("Foo", "1")), by_foo, 0)
    found = await world.shelf.find(resource(("Foo", "2")))
    assert (found.entry, found.seen) == (None, True)


async def test_replicas_find_each_others_variants() -> None:
    shared = CrankedTier("shared")
    one, other = World(further=(shared,)), World(further=(shared,))
    for each in (one, other):
        each.says(("Cache-Control", "max-age=60"), ("Vary", "Foo"))
    await one.get(("Foo", "1"))
    assert (await other.get(("Foo", "1"))).cache == "HIT fresh"
    assert (await other.get(("Foo", "2"))).cache == "MISS vary-miss"
    assert (await one.get(("Foo", "2"))).cache == "HIT fresh"
    await one.get(method="POST", content=b"x")
    assert not any(each.dialect == NOTE for each in shared.kept.values())
