"""The dashboard of a running proxy, in front of a backend that answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import pytest
from playwright.async_api import expect
from support.hostile_texts import HOSTILE
from support.proxied import Proxied, proxied
from support.visit import Visit, Visiting

from proxy.demo.backend import DemoBackend, Pace

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

TOKEN = "a-token-nobody-guesses"
BY_WORDS = {"enabled": True, "embedder": {"kind": "none"}, "shadow": {"enabled": False}}


class Scene(NamedTuple):
    """A proxy that serves, and its callers."""

    proxy: Proxied
    backend: DemoBackend
    session: aiohttp.ClientSession

    async def ask(self, text: str, model: str = "demo", **headers: str) -> str:
        """What X-Cache says of the answer."""
        question = {"model": model, "messages": [{"role": "user", "content": text}]}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.proxy.url}/v1/chat/completions"
        async with self.session.post(url, json=question, headers=named) as reply:
            await reply.read()
            return reply.headers["X-Cache"]

    @property
    def admin(self) -> str:
        assert self.proxy.admin_url is not None
        return self.proxy.admin_url


@asynccontextmanager
async def scene(admin: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Scene]:
    async with (
        DemoBackend(Pace(0.01, 0)) as backend,
        proxied(backend.url, admin={"listen": "127.0.0.1:0", **(admin or {})}, **settings) as proxy,
        aiohttp.ClientSession() as session,
    ):
        yield Scene(proxy, backend, session)


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_page_shows_a_proxy_that_serves(visiting: Visiting, theme: str) -> None:
    async with scene(semantic=BY_WORDS) as at, visiting(at.admin, color_scheme=theme) as visit:
        for _ in range(2):
            for number in range(3):
                await at.ask(f"What is a sidecar, in {number} words?", X_Cache_Tags="doc:17")
        for name, told in (
            ("overview", "50\u00a0%"),
            ("live", "A stored answer within its lifetime."),
            ("entries", "3 entries"),
            ("meaning", "Measured errors"),
            ("health", "All tiers and backends are well."),
            ("explain", "Nothing is asked yet."),
        ):
            await visit.open(name)
            await visit.shows(told, "main")
            assert await visit.page.locator("main [role=alert]:not(:empty)").count() == 0
            width = await visit.evaluate("document.documentElement.scrollWidth")
            assert width == 1280


async def test_requests_show_as_they_are_over(visiting: Visiting) -> None:
    async with scene() as at, visiting(at.admin) as visit:
        await visit.open("live")
        await visit.shows("Live", "main [role=status]")
        rows = visit.page.locator("tbody tr")
        for number, (verdict, why) in enumerate(
            [("MISS", "Nothing is stored"), ("HIT", "A stored answer within its lifetime.")], 1
        ):
            assert await at.ask("What is a stream?") == verdict
            await expect(rows).to_have_count(number)
            assert why in await rows.first.inner_text()
        await rows.first.locator("button").click()
        await visit.page.get_by_role("link", name="Its entry").click()
        await visit.shows("1 entry")


async def test_a_purge_takes_effect_and_what_is_left_is_shown(visiting: Visiting) -> None:
    async with scene() as at, visiting(at.admin) as visit:
        await at.ask("What is a stream?", X_Cache_Tags="doc:17")
        await at.ask("What is a stampede?", X_Cache_Tags="doc:18")
        await visit.open("entries")
        await visit.shows("2 entries")
        await visit.page.get_by_label("Tag").fill("doc:17")
        await visit.page.get_by_role("button", name="Search").click()
        await visit.shows("1 entry")
        await visit.page.locator("tbody button.link").click()
        await visit.shows("doc:17", "dialog")
        await visit.shows("admin.show_content", "dialog")
        await visit.page.keyboard.press("Escape")
        await visit.page.get_by_role("button", name="Purge what is found").click()
        await visit.page.get_by_role("dialog").get_by_role("button", name="Purge").click()
        await visit.shows("Every replica obeys.")
        await visit.page.get_by_role("button", name="Done").click()
        await visit.shows("No entry fits.")
        assert await at.ask("What is a stream?") == "MISS"
        assert await at.ask("What is a stampede?") == "HIT"


async def test_content_is_shown_where_that_is_allowed(visiting: Visiting) -> None:
    async with scene({"show_content": True}) as at, visiting(at.admin) as visit:
        await at.ask("What is a sidecar?")
        await visit.open("entries")
        await visit.page.locator("tbody button.link").first.click()
        await visit.shows("A sidecar is a small process", "dialog pre")


async def test_a_request_and_what_sets_another_apart_are_explained(visiting: Visiting) -> None:
    question = '{"model": "demo", "messages": [{"role": "user", "content": "%s"}]}'
    async with scene() as at, visiting(at.admin) as visit:
        await at.ask("What is a sidecar?")
        await visit.open("explain")
        await visit.page.get_by_text("Compare with another request").click()
        first, second = await visit.page.locator("textarea").all()
        await first.fill(
            f"curl {at.proxy.url}/v1/chat/completions -d '{question % 'What is a sidecar?'}'"
        )
        await second.fill(question % "What is a stream?")
        calls = at.backend.calls
        await visit.page.get_by_role("button", name="Explain", exact=True).click()
        await visit.shows("They have different keys")
        told = await visit.text("main")
        assert "A stored answer within its lifetime." in told
        assert "/messages/0/content" in told
        assert at.backend.calls == calls


async def test_neighbours_are_looked_for(visiting: Visiting) -> None:
    async with scene(semantic=BY_WORDS) as at, visiting(at.admin) as visit:
        await visit.open("meaning")
        await visit.page.locator("textarea").fill('{"model": "demo", "messages": []}')
        await visit.page.get_by_role("button", name="Find neighbours").click()
        await visit.shows("No neighbours were looked for.")


async def test_what_is_in_force_is_shown_and_loaded_anew(visiting: Visiting) -> None:
    async with scene({"token": TOKEN}) as at, visiting(at.admin) as visit:
        visit.expected |= {401, 409}
        await visit.page.goto(f"{at.admin}/ui/#/config")
        await visit.page.get_by_role("textbox", name="Admin token").fill(TOKEN)
        await visit.page.keyboard.press("Enter")
        await visit.shows("Secrets are masked.")
        assert TOKEN not in await visit.text("body")

        async def reload() -> None:
            await visit.page.get_by_role("button", name="Reload …").click()
            dialog = visit.page.get_by_role("dialog")
            await dialog.get_by_role("button", name="Reload").click()

        before = at.proxy.chosen.given
        at.proxy.chosen.given = before | {"cache": {"ttl_s": 77}}
        await reload()
        await visit.shows("Generation 2: cache.ttl_s changed.", "body")
        await visit.page.get_by_label("Only what was said").uncheck()
        await visit.page.get_by_label("Find a setting").fill("cache.ttl_s")
        await visit.shows("77", "main tbody")

        at.proxy.chosen.given = before | {"pseudonym": "another", "log": {"format": "text"}}
        await reload()
        await visit.shows("The last reload was refused")
        await visit.shows("log.format")
        assert at.proxy.settings.pseudonym == "sidecache"
        assert at.proxy.generation.number == 2


async def test_a_profile_is_taken_and_saved(visiting: Visiting) -> None:
    async with scene() as at, visiting(at.admin) as visit:
        await visit.open("health")
        await visit.page.get_by_role("button", name="Take a profile").click()
        link = visit.page.get_by_role("link", name="Save the flame graph")
        await expect(link).to_be_visible(timeout=20_000)
        async with visit.page.expect_download() as download:
            await link.click()
        saved = await (await download.value).path()
        assert b"<svg" in saved.read_bytes()[:200]


async def test_a_backend_that_fails_is_not_told_to_be_well(visiting: Visiting) -> None:
    async with scene() as at, visiting(at.admin) as visit:
        await visit.open("health")
        await visit.shows("All tiers and backends are well.")
        await at.backend.close()
        assert await at.ask("What is a sidecar?") == "ERROR"
        await visit.open("overview")
        await visit.open("health")
        await visit.shows("failed at")
        assert "All tiers and backends are well." not in await visit.text("main")


async def test_the_numbers_agree_wherever_they_are_told(visiting: Visiting) -> None:
    """On the page, in /stats and in /metrics."""
    async with scene() as at, visiting(at.admin) as visit:
        asked = ("What is a stream?", "What is a stream?", "What is a sidecar?")
        verdicts = [await at.ask(text) for text in asked]
        await at.backend.close()
        verdicts += [await at.ask("Who is there?"), await at.ask("What is a stream?")]
        assert verdicts == ["MISS", "HIT", "MISS", "ERROR", "HIT"]
        await at.proxy.counted(lambda: len(at.proxy.records) == 5)
        async with at.session.get(f"{at.admin}/stats") as reply:
            stats = await reply.json()
        async with at.session.get(f"{at.admin}/metrics") as reply:
            lines = (await reply.text()).splitlines()
        counted: dict[str, float] = {}
        for line in lines:
            if line.startswith("sidecache_requests_total{"):
                outcome = line.partition('outcome="')[2].partition('"')[0]
                counted[outcome] = counted.get(outcome, 0) + float(line.rpartition(" ")[2])
        requests = stats["requests"]
        told = {name: requests[name] for name in requests if requests[name] and name != "total"}
        assert counted == told == {"hit": 2, "miss": 2, "error": 1}
        assert sum(counted.values()) == requests["total"] == stats["received"] == 5
        await visit.open("overview")
        await visit.shows("5 requests came, and 40\u00a0% of those")


async def test_the_token_opens_a_proxy_that_wants_one(visiting: Visiting) -> None:
    async with scene({"token": TOKEN}) as at, visiting(at.admin) as visit:
        visit.expected |= {401, 429}
        await visit.page.goto(f"{at.admin}/")
        field = visit.page.get_by_role("textbox", name="Admin token")
        await field.fill("wrong")
        await visit.page.keyboard.press("Enter")
        await visit.shows("That was not the token.")
        await field.fill(TOKEN)
        await visit.page.keyboard.press("Enter")
        await visit.shows("No request has come yet.")
        assert [url for url in visit.requests if TOKEN in url] == []


async def all_inert(visit: Visit, texts: tuple[str, ...], place: str) -> None:
    shown = " ".join((await visit.text("main")).split())
    assert [text for text in texts if " ".join(text.split()) not in shown] == [], place
    assert await visit.evaluate("window.ran") is None, place


async def test_what_strangers_say_is_shown_and_does_nothing(visiting: Visiting) -> None:
    """In the question, the answer, the model, a tag, a header, the scope and the path."""
    async with (
        scene(
            {"show_content": True}, cache={"scope": {"by": "header", "header": "x-tenant"}}
        ) as at,
        visiting(at.admin) as visit,
    ):
        for text in HOSTILE:
            await at.ask(
                text, text, X_Cache_Tags=text.replace(",", ""), X_Tenant=text, X_Other=text
            )
            url = f"{at.proxy.url}/v1/chat/completions/{text.replace('/', '')}"
            async with at.session.get(url) as reply:
                await reply.read()
        await at.proxy.counted(lambda: len(at.proxy.records) == 2 * len(HOSTILE))
        await visit.open("live")
        await expect(visit.page.locator("tbody tr")).to_have_count(2 * len(HOSTILE))
        await all_inert(visit, HOSTILE, "live")
        await visit.open("entries")
        await visit.shows("25 entries")
        await all_inert(visit, HOSTILE, "entries")
        buttons = visit.page.locator("tbody button.link")
        for number in range(len(HOSTILE)):
            await buttons.nth(number).click()
            await visit.shows("Where it is")
            await visit.page.keyboard.press("Escape")
        await visit.open("overview")
        await all_inert(visit, HOSTILE, "overview")
        await visit.open("health")
        await all_inert(visit, (), "health")


async def test_pages_do_not_keep_a_proxy_from_stopping(visiting: Visiting) -> None:
    async with scene() as at, visiting(at.admin) as visit:
        visit.expected.add(0)
        await visit.open("live")
        await visit.shows("Live", "main [role=status]")
        async with asyncio.timeout(10):
            await at.proxy.close(0)
        await visit.shows("The proxy cannot be reached.")
        visit.faults.clear()  # a stream that breaks off is told as an error of the network
