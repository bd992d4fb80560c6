"""Which response is whose: variants, credentials, cookies."""

from __future__ import annotations

import pytest
from support.resources import Answer, World

from proxy.key import ScopeBy, Scoping
from proxy.model.message import Outbound
from proxy.resources.fetch import Rules
from proxy.rfc9111.freshness import Heuristic
from proxy.rfc9111.storing import Cookies

FRESH = ("Cache-Control", "max-age=60")
ETAG = ("ETag", '"v1"')
KEY = ("Authorization", "Bearer one")
OTHER_KEY = ("Authorization", "Bearer two")


# -- variants ----------------------------------------------------------------------------------


def by_language(outbound: Outbound) -> Answer:
    language = outbound.headers.get("accept-language")
    return Answer(fields=[FRESH, ("Vary", "Accept-Language")], body=language.encode())


async def test_variants_are_told_apart_and_all_kept() -> None:
    world = World()
    world.origin.says = by_language
    en, de = ("Accept-Language", "en"), ("Accept-Language", "de")
    assert [(await world.get(each)).cache for each in (en, de)] == [
        "MISS uri-miss", "MISS vary-miss",
    ]  # fmt: skip
    for each, body in ((en, b"en"), (de, b"de"), (("Accept-Language", "EN"), b"en")):
        got = await world.get(each)
        assert (got.cache, got.body) == ("HIT fresh", body)
    assert (await world.get()).cache == "MISS vary-miss"
    assert (await world.get(("Accept-Language", "fr")))["cache-status"].startswith(
        "sidecache; fwd=vary-miss"
    )


async def test_a_response_that_varies_by_all_is_not_stored() -> None:
    world = World()
    world.says(FRESH, ("Vary", "*"))
    await world.get()
    got = await world.get()
    assert (got.cache, got["cache-status"]) == (
        "MISS hit-for-miss", "sidecache; fwd=uri-miss; detail=vary",
    )  # fmt: skip


async def test_variants_that_were_forgotten_do_not_come_back_with_the_next_note() -> None:
    world = World()
    world.origin.says = by_language
    en, de = ("Accept-Language", "en"), ("Accept-Language", "de")
    await world.get(en)
    await world.get(de)
    await world.get(method="POST", content=b"x")
    assert (await world.get(en)).cache == "MISS uri-miss"
    assert (await world.get(de)).cache == "MISS vary-miss"


async def test_it_may_come_to_vary_by_something_else_or_by_nothing() -> None:
    world = World()
    world.origin.says = by_language
    en, foo = ("Accept-Language", "en"), ("Foo", "1")
    await world.get(en)
    world.says(FRESH, ("Vary", "Foo"), body=b"foo")
    await world.get(foo)
    assert (await world.get(foo)).body == b"foo"
    assert (await world.get(en)).cache == "MISS vary-miss"
    world.says(FRESH, body=b"all")
    await world.get(("Foo", "2"))
    assert (await world.get(foo)).body == b"all"


# -- whose -------------------------------------------------------------------------------------


async def test_what_one_was_authorised_to_is_for_him_alone() -> None:
    world = World()
    world.says(FRESH)
    assert (await world.get(KEY)).cache == "MISS uri-miss"
    assert (await world.get(KEY)).cache == "HIT fresh"
    assert (await world.get(OTHER_KEY)).cache == "MISS vary-miss"
    assert (await world.get()).cache == "MISS vary-miss"
    for each in ([KEY], [OTHER_KEY], []):
        assert (await world.get(*each)).cache == "HIT fresh"


@pytest.mark.parametrize("more", [[], [("Vary", "Foo")]])
async def test_what_strangers_see_is_not_for_who_has_a_credential(
    more: list[tuple[str, str]],
) -> None:
    world = World()
    world.says(FRESH, *more, body=b"strangers")
    await world.get()
    world.says(FRESH, *more, body=b"his")
    assert (await world.get(KEY)).body == b"his"
    assert (await world.get(KEY)).cache == "HIT fresh"
    await world.get()
    assert [(await world.get(*each)).cache for each in ([], [KEY])] == ["HIT fresh"] * 2


@pytest.mark.parametrize(
    "value", ["public, max-age=60", "s-maxage=60", "max-age=60, must-revalidate"]
)
async def test_what_is_for_all_is_given_to_all(value: str) -> None:
    world = World()
    world.says(("Cache-Control", value))
    await world.get(KEY)
    for each in ([KEY], [OTHER_KEY], []):
        assert (await world.get(*each)).cache == "HIT fresh"


async def test_private_is_not_stored_for_anybody() -> None:
    world = World()
    world.says(("Cache-Control", "private, max-age=60"))
    for each in ([KEY], [KEY], [], []):
        assert (await world.get(*each)).cache.startswith("MISS")


async def test_where_all_callers_are_one_only_what_is_for_all_is_stored() -> None:
    world = World(scoping=Scoping(ScopeBy.SHARED))
    world.says(FRESH)
    assert [(await world.get(KEY)).cache for _ in range(2)] == [
        "MISS uri-miss",
        "MISS hit-for-miss",
    ]
    await world.get()
    assert (await world.get(KEY)).cache == "HIT fresh"


# -- cookies and guesses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cookies", "value", "again"),
    [
        (Cookies.EXPLICIT, "max-age=60", "MISS hit-for-miss"),
        (Cookies.EXPLICIT, "max-age=60, public", "HIT fresh"),
        (Cookies.ALWAYS, "max-age=60", "HIT fresh"),
        (Cookies.NEVER, "max-age=60, public", "MISS hit-for-miss"),
    ],
)
async def test_responses_with_cookies_are_stored_as_the_settings_say(
    cookies: Cookies, value: str, again: str
) -> None:
    world = World(Rules(cookies=cookies))
    world.says(("Cache-Control", value), ("Set-Cookie", "a=b"))
    assert (await world.get())["set-cookie"] == "a=b"
    got = await world.get()
    assert (got.cache, got["set-cookie"]) == (again, "a=b")


async def test_a_cookie_that_comes_with_a_304_is_not_stored() -> None:
    world = World()
    world.says(FRESH, ETAG)
    await world.get()
    world.clock.turn(61.0)
    world.says(FRESH, ("Set-Cookie", "a=b"), status=304)
    assert (await world.get())["set-cookie"] == ""
    assert (await world.get())["set-cookie"] == ""


async def test_fields_that_are_named_are_passed_on_and_not_stored() -> None:
    world = World()
    world.says(("Cache-Control", 'max-age=60, no-cache="A"'), ("A", "1"), ("B", "2"))
    first, second = await world.get(), await world.get()
    assert (first["a"], second["a"], second["b"]) == ("1", "", "2")


async def test_guesses_are_made_only_where_nobody_is_known() -> None:
    world = World(Rules(heuristic=Heuristic(0.1, 600.0)))
    world.says(("Last-Modified", world.date(-1000.0)))
    await world.get()
    assert (await world.get()).cache == "HIT fresh"
    for each in (KEY, ("Cookie", "a=b")):
        world = World(Rules(heuristic=Heuristic(0.1, 600.0)))
        world.says(("Last-Modified", world.date(-1000.0)))
        await world.get(each)
        assert (await world.get(each)).cache == "MISS expired"
