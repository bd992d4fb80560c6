"""Asking whether what is stored is still right, and what is served if nobody can say."""

from __future__ import annotations

import pytest
from support.resources import Answer, World

from proxy.model.errors import NoReply
from proxy.model.message import Outbound
from proxy.model.purge import Kind, Purge
from proxy.policy import Terms

FRESH = ("Cache-Control", "max-age=60")
ETAG = ("ETag", '"v1"')


def sent(world: World, name: str) -> str:
    """What the origin was last told in the field ``name``."""
    return world.origin.asked[-1].headers.get(name)


# -- validation --------------------------------------------------------------------------------


async def test_a_stale_response_is_asked_about_and_renewed_by_a_304() -> None:
    world = World()
    world.says(FRESH, ETAG, ("X", "old"), ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"))
    await world.get()
    world.clock.turn(61.0)
    world.says(("Cache-Control", "max-age=100"), ETAG, ("X", "new"), status=304)
    renewed = await world.get()
    assert (sent(world, "if-none-match"), sent(world, "if-modified-since")) == (
        '"v1"', "Thu, 01 Jan 2026 00:00:00 GMT",
    )  # fmt: skip
    assert (renewed.status, renewed.body, renewed["x"]) == (200, b"body", "new")
    assert renewed.cache == "HIT validated"
    assert renewed["cache-status"] == (
        "sidecache; fwd=stale; fwd-status=304; stored; ttl=100; detail=validated"
    )
    world.clock.turn(99.0)
    again = await world.get()
    assert (again.cache, again["x"], again["age"]) == ("HIT fresh", "new", "99")


async def test_a_304_that_is_itself_old_makes_nothing_new() -> None:
    world = World()
    world.says(FRESH, ETAG)
    await world.get()
    world.clock.turn(61.0)
    world.says(FRESH, ("Age", "50"), status=304)
    assert (await world.get())["age"] == "50"
    world.clock.turn(11.0)
    assert (await world.get()).cache == "HIT validated"


async def test_a_304_may_take_back_the_leave_to_store() -> None:
    world = World()
    world.says(FRESH, ETAG)
    await world.get()
    world.clock.turn(61.0)
    world.says(("Cache-Control", "no-store"), status=304)
    assert (await world.get()).body == b"body"
    world.says()
    assert (await world.get()).cache.startswith("MISS")
    assert sent(world, "if-none-match") == ""


async def test_a_new_response_takes_the_place_of_the_stale_one() -> None:
    world = World()
    world.says(FRESH, ETAG)
    await world.get()
    world.clock.turn(61.0)
    world.says(FRESH, ("ETag", '"v2"'), body=b"new")
    assert (await world.get()).cache == "MISS expired"
    assert (await world.get()).body == b"new"


async def test_what_is_no_longer_to_be_stored_is_no_longer_true_either() -> None:
    world = World()
    world.says(FRESH, ETAG)
    await world.get()
    world.clock.turn(61.0)
    world.says(("Cache-Control", "no-store"), body=b"new")
    await world.get()
    world.says(FRESH, body=b"newest")
    await world.get(("Cache-Control", "max-stale=1000"))
    assert sent(world, "if-none-match") == ""


async def test_no_cache_has_it_asked_about_every_time() -> None:
    world = World()
    world.says(("Cache-Control", "no-cache, max-age=60"), ETAG)
    await world.get()
    world.says(status=304)
    for _ in range(2):
        assert (await world.get()).cache == "HIT validated"
        assert sent(world, "if-none-match") == '"v1"'


async def test_a_response_without_a_validator_is_asked_for_whole() -> None:
    world = World()
    world.says(FRESH)
    await world.get()
    world.clock.turn(61.0)
    await world.get(("If-None-Match", '"theirs"'), ("Range", "bytes=0-1"))
    assert (sent(world, "if-none-match"), sent(world, "range")) == ("", "")


async def test_a_stale_error_is_not_asked_about() -> None:
    world = World()
    world.says(FRESH, ETAG, status=404)
    await world.get()
    world.clock.turn(61.0)
    assert (await world.get()).cache == "MISS expired"
    assert sent(world, "if-none-match") == ""


# -- what callers have already -----------------------------------------------------------------


async def test_who_has_it_is_told_so() -> None:
    world = World()
    world.says(FRESH, ETAG, ("Content-Type", "text/plain"))
    await world.get()
    told = await world.get(("If-None-Match", '"v1"'))
    assert (told.status, told.body, told["etag"], told["content-type"]) == (304, b"", '"v1"', "")
    assert (told.cache, told["age"]) == ("HIT fresh", "0")
    assert (await world.get(("If-None-Match", '"v0"'))).status == 200


async def test_it_is_told_so_too_once_the_stale_response_was_asked_about() -> None:
    world = World()
    world.says(FRESH, ETAG)
    await world.get()
    world.clock.turn(61.0)
    world.says(FRESH, status=304)
    assert (await world.get(("If-None-Match", 'W/"v1"'))).status == 304
    world.clock.turn(61.0)
    world.says(FRESH, ("ETag", '"v2"'), body=b"new")
    fetched = await world.get(("If-None-Match", '"v2"'))
    assert (fetched.status, fetched.body, fetched.cache) == (304, b"", "MISS expired")
    assert (await world.get()).body == b"new"


async def test_conditions_go_to_the_backend_while_nothing_is_stored() -> None:
    world = World()
    world.says(FRESH, status=304)
    answer = await world.get(("If-None-Match", '"v1"'))
    assert (answer.status, sent(world, "if-none-match")) == (304, '"v1"')
    world.says(FRESH, ETAG)
    assert (await world.get()).cache == "MISS uri-miss"  # the 304 was not stored


@pytest.mark.parametrize("name", ["If-Match", "If-Unmodified-Since"])
async def test_conditions_on_the_origins_state_are_for_the_origin(name: str) -> None:
    world = World()
    world.says(FRESH)
    await world.get()
    assert (await world.get((name, '"v1"'))).cache == "BYPASS uncacheable"


# -- staleness ---------------------------------------------------------------------------------


async def test_a_stale_response_is_served_while_it_is_asked_about() -> None:
    world = World()
    world.says(("Cache-Control", "max-age=60, stale-while-revalidate=10"), ETAG)
    await world.get()
    world.clock.turn(65.0)
    world.says(FRESH, status=304)
    stale = await world.get()
    assert (stale.cache, stale["age"]) == ("STALE swr", "65")
    assert (await world.get()).cache == "HIT fresh"
    assert sent(world, "if-none-match") == '"v1"'


async def test_head_has_a_stale_response_fetched_anew_by_get() -> None:
    world = World()
    world.says(("Cache-Control", "max-age=60, stale-while-revalidate=10"))
    await world.get()
    world.clock.turn(65.0)
    world.says(FRESH, body=b"new")
    assert (await world.get(method="HEAD")).cache == "STALE swr"
    assert (await world.get()).body == b"new"


@pytest.mark.parametrize("failure", [NoReply("gone"), Answer(503), Answer(500)])
async def test_a_stale_response_stands_in_for_a_failure(failure: NoReply | Answer) -> None:
    world = World()
    world.says(("Cache-Control", "max-age=60, stale-if-error=10"))
    await world.get()
    world.clock.turn(65.0)
    world.origin.says = lambda _: failure
    got = await world.get()
    assert (got.status, got.body, got.cache) == (200, b"body", "STALE sie")
    assert (await world.get(method="HEAD")).cache == "STALE sie"
    world.clock.turn(10.0)
    assert (await world.get()).status in {502, 503, 500}


@pytest.mark.parametrize("more", ["must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=60"])
async def test_a_response_may_forbid_that_it_is_served_stale(more: str) -> None:
    world = World(terms=Terms(stale_if_error=100.0, stale_while_revalidate=100.0))
    world.says(("Cache-Control", f"max-age=60, {more}"), ETAG)
    await world.get()
    world.clock.turn(61.0)
    world.origin.says = lambda _: NoReply("gone")
    assert (await world.get()).status == 502
    assert (await world.get(("Cache-Control", "max-stale"))).status == 502


async def test_the_settings_speak_for_a_response_that_is_silent() -> None:
    world = World(terms=Terms(stale_if_error=100.0))
    world.says(FRESH)
    await world.get()
    world.clock.turn(100.0)
    world.origin.says = lambda _: NoReply("gone")
    assert (await world.get()).cache == "STALE sie"
    assert (await world.get(("Cache-Control", "max-stale"))).cache == "STALE max-stale"


async def test_what_was_purged_does_not_stand_in() -> None:
    world = World()
    world.says(("Cache-Control", "max-age=60, stale-if-error=1000"), ("Cache-Tag", "t"))
    await world.get()
    world.clock.turn(65.0)

    def purge_and_fail(_: Outbound) -> NoReply:
        world.ledger.enter(Purge(Kind.TAG, "t"), 1, world.clock())
        return NoReply("gone")

    world.origin.says = purge_and_fail
    assert (await world.get()).status == 502


# -- HEAD --------------------------------------------------------------------------------------


async def test_the_answer_to_head_brings_what_is_stored_up_to_date() -> None:
    world = World()
    world.says(FRESH, ("X", "old"))
    await world.get()
    world.clock.turn(61.0)
    world.says(FRESH, ("X", "new"))
    assert (await world.get(method="HEAD")).cache == "MISS expired"
    got = await world.get()
    assert (got.cache, got["x"], got.body) == ("HIT fresh", "new", b"body")


async def test_a_304_to_head_renews_too() -> None:
    world = World()
    world.says(FRESH, ETAG)
    await world.get()
    world.clock.turn(61.0)
    world.says(FRESH, status=304)
    assert (await world.get(method="HEAD")).cache == "HIT validated"
    assert (await world.get()).cache == "HIT fresh"


async def test_an_answer_to_head_about_something_else_makes_what_is_stored_stale() -> None:
    world = World()
    world.says(FRESH, ETAG)
    await world.get()
    world.says(FRESH, ("ETag", '"v2"'))
    await world.get(("Cache-Control", "no-cache"), method="HEAD")
    world.says(FRESH, ("ETag", '"v2"'), body=b"new")
    assert (await world.get()).body == b"new"


async def test_head_stores_nothing_by_itself() -> None:
    world = World()
    world.says(FRESH)
    await world.get(method="HEAD")
    assert (await world.get()).cache == "MISS uri-miss"


async def test_a_failed_head_is_an_error() -> None:
    world = World()
    world.origin.says = lambda _: NoReply("gone")
    assert (await world.get(method="HEAD")).status == 502
