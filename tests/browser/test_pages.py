"""Every page, in light and dark, wide and narrow; with made-up answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.made_up_admin import MadeUpAdmin, made_up_admin
from support.made_up_answers import record
from support.visit import Visiting

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
TITLES = {
    "overview": "Overview",
    "live": "Live",
    "entries": "Entries",
    "meaning": "Meaning",
    "health": "Health",
    "explain": "Explain",
    "config": "Configuration",
}
EXPECTED = {  # what each page shows of the answers
    "overview": [
        "70.7 %",
        "4,620",
        "257K",
        "$2.95",
        "410 µs",
        "x-request-tag",
        "Nothing is stored for this question",
    ],
    "live": ["Hit", "Miss", "A stored answer within its lifetime.", "/v1/chat/completions"],
    "entries": ["abababab", "cdcdcdcd", "Memory", "Disk", "fresh", "stale", "2.29 KiB"],
    "meaning": ["0.4 %", "0.1 % to 1.1 %", "0.930", "ngram", "One is near, but not near enough."],
    "health": [
        "Redis is down",
        "the breaker of default is open",
        "86.8 MiB of 256 MiB",
        "31 %",
        "2 h 30 min",
        "process 4711",
        "starting",
    ],
    "explain": ["Nothing is asked yet."],
    "config": [
        "/etc/sidecache/sidecache.yaml",
        "cache.ttl_s",
        "sidecache.yaml:12",
        "**********",
        "not a number",
    ],
}


def filled(admin: MadeUpAdmin) -> None:
    outcomes = ["hit", "miss", "hit", "coalesced", "bypass", "error"]
    admin.past = [record(seq, outcomes[seq % 6]) for seq in range(1, 20)]


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_page_shows_what_the_proxy_tells(visiting: Visiting, theme: str) -> None:
    async with made_up_admin() as admin, visiting(admin.url, color_scheme=theme) as visit:
        filled(admin)
        for name, title in TITLES.items():
            await visit.open(name)
            assert await visit.page.title() == f"{title} · Sidecache"
            assert await visit.text("h1") == title
            assert await visit.text("nav [aria-current=page]") == title
            for expected in EXPECTED[name]:
                await visit.shows(expected, "main")
            shade = await visit.evaluate(
                "getComputedStyle(document.documentElement).backgroundColor"
            )
            light = sum(map(int, shade.removeprefix("rgb(").rstrip(")").split(","))) > 384
            assert light == (theme == "light")


async def test_every_page_fits_on_a_phone(visiting: Visiting) -> None:
    phone = {"viewport": {"width": 400, "height": 800}}
    async with made_up_admin() as admin, visiting(admin.url, **phone) as visit:
        filled(admin)
        for name in TITLES:
            await visit.open(name)
            await visit.shows(EXPECTED[name][0])
            assert await visit.evaluate("document.documentElement.scrollWidth") == 400, name


async def axe(visit: Any, place: str) -> list[str]:
    """What axe finds wrong, each with where."""
    await visit.evaluate(AXE.read_text(encoding="utf-8"))
    found = await visit.evaluate(
        "async () => (await axe.run(document, {resultTypes: ['violations']})).violations.flatMap("
        "each => each.nodes.map(node => `${each.id}: ${node.html} ${node.failureSummary}`))"
    )
    return [f"{place}: {each}" for each in found]


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_no_fault_in_any_page_drawer_or_dialog(
    visiting: Visiting, theme: str
) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not there: npm ci in tests/browser")
    # Not under the policy, which stops axe from looking into styles.
    async with (
        made_up_admin() as admin,
        visiting(admin.url, color_scheme=theme, bypass_csp=True) as visit,
    ):
        filled(admin)
        admin.past.append(record(50, "hit", match="0" * 16, similarity=0.95, detail="semantic"))
        faults = []
        for name in TITLES:
            await visit.open(name)
            await visit.shows(EXPECTED[name][0])
            await visit.evaluate(
                "document.querySelectorAll('main details').forEach(each => (each.open = true))"
            )
            faults += await axe(visit, name)
        await visit.open("live")
        await visit.page.locator("tbody button").first.click()
        faults += await axe(visit, "a request")
        await visit.open("entries")
        await visit.page.locator("tbody button.link").first.click()
        await visit.shows("Where it is")
        faults += await axe(visit, "an entry")
        await visit.open("entries")
        await visit.page.get_by_role("button", name="Purge all").click()
        faults += await axe(visit, "a purge")
        await visit.page.keyboard.press("Escape")
        await visit.page.keyboard.press("?")
        faults += await axe(visit, "the keys")
        await visit.page.keyboard.press("Escape")
        await visit.open("meaning")
        await visit.page.locator("textarea").fill('{"model": "demo"}')
        await visit.page.get_by_role("button", name="Find neighbours").click()
        await visit.shows("0.950")
        faults += await axe(visit, "neighbours")
        await visit.open("explain")
        await visit.page.locator("textarea").first.fill('{"model": "demo"}')
        await visit.page.get_by_role("button", name="Explain", exact=True).click()
        await visit.shows("What would become of it")
        faults += await axe(visit, "an explanation")
        assert faults == []


async def test_colours_can_be_chosen_and_are_remembered(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url, color_scheme="light") as visit:
        await visit.open("explain")
        shade = "getComputedStyle(document.documentElement).backgroundColor"
        light = await visit.evaluate(shade)
        await visit.page.get_by_text("Dark", exact=True).click()
        dark = await visit.evaluate(shade)
        assert dark != light
        await visit.page.reload()
        await visit.page.locator("h1").wait_for()
        assert await visit.evaluate(shade) == dark
        assert await visit.page.get_by_label("Dark").is_checked()


async def test_a_chart_is_told_in_numbers_too(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("overview")
        chart = visit.page.locator(".chart").nth(1)
        await chart.locator("svg").focus()
        await visit.page.keyboard.press("ArrowLeft")
        assert (await chart.locator(".told").inner_text()).split() == [
            "14:02",
            "answered",
            "without",
            "the",
            "backend",
            "67.3",
            "%",
        ]
        await visit.page.keyboard.press("Home")
        assert (await chart.locator(".told").inner_text()).startswith("13:03")
        await visit.page.keyboard.press("Escape")
        assert await chart.locator(".told").inner_text() == ""
        await chart.locator("summary").click()
        assert await chart.locator("tbody tr").count() == 60
        assert (await chart.locator("tbody tr").first.inner_text()).split() == [
            "14:02",
            "67.3",
            "%",
        ]


async def test_another_span_is_asked_for(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("overview")
        async with visit.page.expect_request("**/stats/history?span=6h"):
            await visit.page.get_by_text("6 h", exact=True).click()
        await visit.shows("In the last 6 hours")
        assert visit.page.url.endswith("#/overview?span=6h")


async def test_what_is_not_there_is_said_with_what_to_do(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        admin.answers["GET /entries"] = {
            "entries": [],
            "next": None,
            "looked_at": 0,
            "complete": True,
            "untold": [],
        }
        stats = admin.answers["GET /stats"]
        stats["requests"] = dict.fromkeys(stats["requests"], 0)
        stats |= {"by": [], "latency": [], "stages": [], "models": [], "splitters": []}
        del admin.answers["GET /openapi.json"]["paths"]["/semantic"]
        for name, told in (
            ("overview", "No request has come yet."),
            ("live", "No request has come yet."),
            ("entries", "Nothing is stored yet."),
            ("meaning", "semantic.enabled: true"),
        ):
            await visit.open(name)
            await visit.shows(told)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("overview", "/stats"),
        ("entries", "/entries"),
        ("meaning", "/semantic"),
        ("health", "/tiers"),
        ("config", "/config"),
    ],
)
async def test_a_failure_is_told_and_tried_again(visiting: Visiting, name: str, path: str) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        visit.expected.add(503)
        admin.failing[f"GET {path}"] = (503, "the disk is full: make room")
        await visit.page.goto(f"{admin.url}/ui/#/{name}")
        await visit.shows("the disk is full: make room")
        admin.failing.clear()
        await visit.page.get_by_role("button", name="Try again").click()
        await visit.shows(EXPECTED[name][0])
        assert await visit.page.get_by_text("the disk is full").count() == 0
