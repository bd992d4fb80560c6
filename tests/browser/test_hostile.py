"""Text that would run if it were taken for markup: shown as what it is, wherever it comes from."""

from __future__ import annotations

from typing import Any

import pytest
from support.hostile_texts import HOSTILE
from support.made_up_admin import MadeUpAdmin, made_up_admin
from support.made_up_answers import KEY, record, row
from support.visit import Visit, Visiting

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

FIXED = {  # words that the pages look up, and keys that they are found by
    "at",
    "stored_at",
    "started_at",
    "now",
    "loaded_at",
    "outcome",
    "key",
    "state",
    "kind",
    "answer",
    "what",
    "stage",
}


def spoilt(told: Any, text: str, name: str = "") -> Any:
    """``told`` with every free text in it replaced."""
    if isinstance(told, dict):
        return {key: spoilt(value, text, key) for key, value in told.items()}
    if isinstance(told, list):
        return [spoilt(each, text, name) for each in told]
    return text if isinstance(told, str) and name not in FIXED else told


def all_of(told: Any) -> Any:
    """``told`` with lists that say each text, in the fields of whatever was the first in them."""
    if isinstance(told, dict):
        return {key: all_of(value) for key, value in told.items()}
    if isinstance(told, list) and told and isinstance(told[0], dict) and "hit" not in told[0]:
        return [spoilt(told[0], text) for text in HOSTILE]
    return told


def spoil(admin: MadeUpAdmin) -> None:
    """Have every list say each text, in each of its fields."""
    named = dict.fromkeys(HOSTILE, 1)
    admin.answers = {name: all_of(told) for name, told in admin.answers.items()}
    admin.answers["GET /openapi.json"] = {"paths": {"/semantic": {}}}
    admin.answers["GET /entries"]["entries"] = [
        spoilt(row(tags=[text], question=text), text) for text in HOSTILE
    ]
    admin.answers["GET /config"]["settings"] = {text: text for text in HOSTILE}
    admin.answers["GET /config"]["sources"] = {text: text for text in HOSTILE}
    admin.answers["GET /semantic"]["outcomes"] = named
    admin.answers["GET /tiers"]["tiers"][0]["detail"] = named
    admin.answers["GET /tiers"]["tiers"][0]["state"] = "down"
    admin.past = [
        spoilt(record(number, match=text, doubt=text, detail=text), text)
        for number, text in enumerate(HOSTILE, 1)
    ]


def plain(text: str) -> str:
    """``text`` with blanks as a browser shows them."""
    return " ".join(text.split())


async def inert(visit: Visit) -> None:
    assert await visit.evaluate("window.ran") is None


async def test_lists_show_it_and_it_does_nothing(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        spoil(admin)
        for name in ("overview", "health", "config", "meaning", "live", "entries"):
            await visit.open(name)
            await visit.shows(HOSTILE[-1].split()[0], "main")
            shown = plain(await visit.text("main"))
            assert [text for text in HOSTILE if plain(text) not in shown] == [], name
            await inert(visit)


async def test_what_is_looked_at_closely_shows_it_and_it_does_nothing(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        visit.expected.add(409)
        entry, explained = admin.answers[f"GET /entries/{KEY}"], admin.answers["POST /explain"]
        explained |= {"other": explained["request"], "same_key": False}
        explained["differences"] = [
            {"where": "header", "name": "x", "one": "", "other": "", "matters": True, "says": ""}
        ]
        for text in HOSTILE:
            admin.answers[f"GET /entries/{KEY}"] = spoilt(entry, text) | {
                "content": {"shown": True, "question": text, "body": text, "truncated": False}
            }
            await visit.open("entries")
            await visit.page.locator("tbody button.link").first.click()
            await visit.shows("Where it is")
            assert plain(await visit.text("dialog")).count(plain(text)) >= 7
            admin.past = [spoilt(record(1, match=text, doubt=text, detail=text), text)]
            await visit.open("live")
            await visit.page.locator("tbody button").first.click()
            assert plain(await visit.text("dialog")).count(plain(text)) >= 7
            await visit.open("explain")
            await visit.page.get_by_text("Compare with another request").click()
            for area in await visit.page.locator("textarea").all():
                await area.fill('{"model": "demo"}')
            admin.answers["POST /explain"] = spoilt(explained, text)
            await visit.page.get_by_role("button", name="Explain", exact=True).click()
            await visit.shows("The difference")
            assert plain(await visit.text("main")).count(plain(text)) >= 20
            admin.failing["POST /explain"] = (409, text)
            await visit.page.get_by_role("button", name="Explain", exact=True).click()
            await visit.page.locator("[role=alert] button").wait_for()
            assert plain(text) in plain(await visit.text("main [role=alert]:not(:empty)"))
            admin.failing.clear()
            await inert(visit)


@pytest.mark.parametrize("text", HOSTILE[:3])
async def test_an_address_can_say_it_too(visiting: Visiting, text: str) -> None:
    from urllib.parse import quote

    async with made_up_admin() as admin, visiting(admin.url) as visit:
        for name, parameter in (
            ("entries", "tag"),
            ("live", "model"),
            ("explain", "path"),
            ("overview", "span"),
        ):
            await visit.open(name, **{parameter: quote(text, safe="")})
            await inert(visit)
        await visit.page.goto(f"{admin.url}/ui/#/{quote(text, safe='')}")
        await visit.page.get_by_role("heading", name="Overview").wait_for()
        await inert(visit)


async def test_the_browser_would_stop_what_the_pages_let_through(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("explain")
        for attempt in (
            "document.body.innerHTML = '<img src=x onerror=\"window.ran=1\">'",
            "document.body.insertAdjacentHTML('beforeend', '<b>x</b>')",
            "document.createElement('script').text = 'window.ran=1'",
            "document.createElement('a').setAttribute('onclick', 'window.ran=1')",
            "document.createElement('iframe').srcdoc = '<b>x</b>'",
        ):
            refused = (
                f"() => {{ try {{ {attempt}; return false; }} catch (error) {{ return true; }} }}"
            )
            assert await visit.evaluate(refused), attempt
        await inert(visit)
        visit.faults.clear()  # the browser has told of each
