"""What an operator does: watch, purge, say the token, go by keyboard; with made-up answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from playwright.async_api import expect
from support.made_up_admin import MadeUpAdmin, made_up_admin
from support.made_up_answers import KEY, record
from support.visit import Visit, Visiting

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]


async def until(true: Callable[[], bool]) -> None:
    """Wait until something about the made-up proxy, which runs on this loop, is ``true``."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - nothing tells but the streams that are open
            await asyncio.sleep(0.01)


async def watching(admin: MadeUpAdmin, visit: Visit) -> None:
    await visit.open("live")
    await until(lambda: len(admin.watchers) == 1)
    await visit.shows("Live", "main [role=status]")


# -- live -------------------------------------------------------------------------------------


async def test_requests_show_as_they_come_newest_first(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        admin.past = [record(1, "miss")]
        await watching(admin, visit)
        rows = visit.page.locator("tbody tr")
        await expect(rows).to_have_count(1)
        admin.tell("request", record(2, "hit"))
        await expect(rows).to_have_count(2)
        assert "Hit" in await rows.first.inner_text()
        admin.tell(
            "stats",
            {
                "requests": {},
                "hit_ratio_recent": 0.5,
                "requests_per_s": 2.5,
                "saved": {},
                "loop_lag_p99_s": 0.001,
                "in_progress": 1,
            },
        )
        await visit.shows("2.5/s, hit ratio of the last 5 minutes 50\u00a0%, 1 request under way")
        admin.tell("dropped", {"count": 7})
        await visit.shows("7 requests could not be shown")


async def test_requests_that_are_told_together_are_a_row_and_counted_one_by_one(
    visiting: Visiting,
) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        admin.past = [record(1, "miss"), record(2, "hit", repeats=1233)]
        await watching(admin, visit)
        rows = visit.page.locator("tbody tr")
        await expect(rows).to_have_count(2)
        assert "1,234 times" in await rows.first.inner_text()
        assert "times" not in await rows.last.inner_text()
        await visit.shows("1,235 requests of the latest 1,235.")
        await rows.first.locator("button").click()
        assert "1,234 times in a second" in await visit.text("dialog")


async def test_a_pause_holds_the_list_and_loses_nothing(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await watching(admin, visit)
        admin.tell("request", record(1))
        rows = visit.page.locator("tbody tr")
        await expect(rows).to_have_count(1)
        await visit.page.keyboard.press("p")
        admin.tell("request", record(2))
        await visit.shows("Paused: 1 request came since.")
        await expect(rows).to_have_count(1)
        await visit.page.get_by_role("button", name="Pause").click()
        await expect(rows).to_have_count(2)


async def test_a_filter_leaves_what_fits(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        admin.past = [
            record(1, "hit", model="large"),
            record(2, "miss", model="small"),
            record(3, "miss", model="large", path="/v1/embeddings"),
        ]
        await watching(admin, visit)
        rows = visit.page.locator("tbody tr")
        await expect(rows).to_have_count(3)
        await visit.page.get_by_label("Outcome").select_option("miss")
        await expect(rows).to_have_count(2)
        await visit.page.get_by_label("Model").fill("LAR")
        await expect(rows).to_have_count(1)
        await visit.page.get_by_label("Path begins with").fill("/v1/chat")
        await visit.shows("None of the latest requests fits.")


async def test_a_request_is_told_in_detail(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        admin.past = [record(1, "miss", match="0123456789abcdef", similarity=0.95)]
        await watching(admin, visit)
        await visit.page.locator("tbody button").click()
        told = await visit.text("dialog")
        for each in ("Nothing is stored", "compare the two requests", "80 µs", "demo", "0.950"):
            assert each in told
        await visit.page.get_by_role("button", name="Wrong").click()
        await visit.shows("Taken: it was wrong.")
        assert (
            "POST",
            "/feedback",
            {},
            {"match": "0123456789abcdef", "verdict": "wrong"},
        ) in admin.asked
        await visit.page.get_by_role("link", name="Its entry").click()
        await visit.page.get_by_label("Key begins with").wait_for()
        assert await visit.page.get_by_label("Key begins with").input_value() == KEY


async def test_a_stream_that_ends_is_begun_again(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        admin.past = [record(1)]
        await watching(admin, visit)
        rows = visit.page.locator("tbody tr")
        await expect(rows).to_have_count(1)
        admin.past = [record(1), record(2)]
        admin.cut()
        await expect(rows).to_have_count(2)  # what was told already is not told twice
        assert len([path for _m, path, _q, _b in admin.asked if path == "/live"]) == 2


async def test_nobody_watches_for_another_page(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await watching(admin, visit)
        await visit.open("explain")
        await until(lambda: not admin.watchers)


async def test_a_tab_that_nobody_sees_stops_watching(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await watching(admin, visit)
        hide = """hidden => {
            Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }"""
        await visit.evaluate(hide, True)
        await until(lambda: not admin.watchers)
        await visit.shows("Not watching")
        await visit.evaluate(hide, False)
        await until(lambda: len(admin.watchers) == 1)


# -- purges -----------------------------------------------------------------------------------


def purges(admin: MadeUpAdmin) -> list[object]:
    return [body for _method, path, _query, body in admin.asked if path == "/purge"]


async def test_a_purge_says_what_will_go_and_does_nothing_before_it_is_agreed_to(
    visiting: Visiting,
) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("entries")
        await visit.page.locator("tbody tr").first.get_by_role("button", name="Purge").click()
        assert KEY in await visit.text("dialog")
        await visit.page.keyboard.press("Escape")
        assert purges(admin) == []
        await visit.page.locator("tbody tr").first.get_by_role("button", name="Purge").click()
        await visit.page.get_by_label("Soft").check()
        await visit.page.get_by_role("dialog").get_by_role("button", name="Purge").click()
        await visit.shows("Every replica obeys.")
        assert purges(admin) == [{"kind": "key", "value": KEY, "soft": True}]
        await visit.page.get_by_role("button", name="Done").click()
        await expect(visit.page.locator("dialog")).to_have_count(0)


async def test_a_purge_of_all_wants_a_word(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("entries")
        await visit.page.get_by_role("button", name="Purge all").click()
        agree = visit.page.get_by_role("dialog").get_by_role("button", name="Purge")
        await agree.click()
        await visit.page.get_by_label("to go on").fill("al")
        await agree.click()
        assert purges(admin) == []
        await visit.page.get_by_label("to go on").fill("all")
        await agree.click()
        await visit.shows("Every replica obeys.")
        assert purges(admin) == [{"kind": "all", "soft": False}]


@pytest.mark.parametrize(
    ("search", "says", "purge"),
    [
        ({"Tag": "doc:17"}, "whose tag is doc:17", {"kind": "tag", "value": "doc:17"}),
        (
            {"Path begins with": "/v1/"},
            "whose path begins with /v1/",
            {"kind": "path", "value": "/v1/"},
        ),
        (
            {"Tag": "doc:17", "Model": "demo"},
            "The 2 entries shown here",
            {"kind": "key", "values": [KEY, "cd" * 32]},
        ),
    ],
)
async def test_what_was_searched_for_can_be_purged(
    visiting: Visiting, search: dict[str, str], says: str, purge: dict[str, object]
) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("entries")
        for label, value in search.items():
            await visit.page.get_by_label(label).fill(value)
        await visit.page.get_by_role("button", name="Search").click()
        await visit.page.get_by_role("button", name="Purge what is found").click()
        assert says in await visit.text("dialog")
        await visit.page.get_by_role("dialog").get_by_role("button", name="Purge").click()
        await visit.shows("Every replica obeys.")
        assert purges(admin) == [purge | {"soft": False}]


async def test_replicas_that_have_not_answered_are_named(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        admin.answers["POST /purge"] = {
            "complete": False,
            "generation": 7,
            "absent": [{"replica": "pod-b", "silent_s": 42.0}],
            "trouble": "",
        }
        await visit.open("entries")
        await visit.page.locator("tbody tr").first.get_by_role("button", name="Purge").click()
        await visit.page.get_by_role("dialog").get_by_role("button", name="Purge").click()
        await visit.shows("It holds here.")
        told = await visit.text("dialog")
        assert "pod-b" in told
        assert "42 s" in told
        admin.answers["POST /purge"] = {
            "complete": True,
            "generation": 8,
            "absent": [],
            "trouble": "",
        }
        await visit.page.get_by_role("button", name="Purge again").click()
        await visit.shows("Every replica obeys.")
        assert len(purges(admin)) == 2


async def test_a_purge_that_fails_says_so(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        visit.expected.add(503)
        admin.failing["POST /purge"] = (503, "a million purges wait for the disk")
        await visit.open("entries")
        await visit.page.locator("tbody tr").first.get_by_role("button", name="Purge").click()
        await visit.page.get_by_role("dialog").get_by_role("button", name="Purge").click()
        await visit.shows("a million purges wait for the disk")


# -- the token --------------------------------------------------------------------------------


async def test_the_token_is_asked_for_kept_for_the_tab_and_never_part_of_an_address(
    visiting: Visiting,
) -> None:
    token = "a-token-nobody-guesses"
    async with made_up_admin(token) as admin, visiting(admin.url) as visit:
        visit.expected.add(401)
        await visit.page.goto(f"{admin.url}/ui/")
        field = visit.page.get_by_role("textbox", name="Admin token")
        await field.fill("wrong")
        await visit.page.keyboard.press("Enter")
        await visit.shows("That was not the token.")
        await field.fill(token)
        await visit.page.keyboard.press("Enter")
        await visit.shows("70.7")
        await visit.page.reload()
        await visit.shows("70.7")
        assert await visit.page.locator("dialog").count() == 0
        assert await visit.evaluate("JSON.stringify(localStorage)") == "{}"
        assert await visit.evaluate("document.cookie") == ""
        assert [url for url in visit.requests if token in url] == []
        await visit.page.get_by_role("button", name="Forget token").click()
        await field.wait_for()
        assert await visit.evaluate("sessionStorage.length") == 0


async def test_who_has_no_token_is_told_what_to_do(visiting: Visiting) -> None:
    async with made_up_admin("a-token") as admin, visiting(admin.url) as visit:
        visit.expected.add(401)
        await visit.page.goto(f"{admin.url}/ui/#/config")
        await visit.page.get_by_role("textbox", name="Admin token").wait_for()
        await visit.page.keyboard.press("Escape")
        await visit.shows("The proxy wants its admin token.")
        await visit.page.get_by_role("button", name="Try again").click()
        await visit.page.get_by_role("textbox", name="Admin token").fill("a-token")
        await visit.page.keyboard.press("Enter")
        await visit.shows("/etc/sidecache/sidecache.yaml")


async def test_a_proxy_that_is_gone_is_told(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        visit.expected.add(0)
        await visit.open("config")
        await visit.page.route("**/config", lambda route: route.abort("connectionrefused"))
        await visit.page.get_by_role("button", name="Reload").click()
        await visit.page.get_by_role("dialog").get_by_role("button", name="Reload").click()
        await visit.shows("The proxy cannot be reached.")


# -- keys -------------------------------------------------------------------------------------


async def test_all_can_be_done_by_keyboard(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        keys = visit.page.keyboard
        focused = "document.activeElement.textContent.trim()"
        await visit.open("overview")
        await keys.press("Tab")
        assert await visit.evaluate(focused) == "Skip to the content"
        await keys.press("Enter")
        assert await visit.evaluate(focused) == "Overview"
        await keys.press("3")  # Entries
        await visit.shows("abababab")
        assert await visit.evaluate(focused) == "Entries"
        await keys.press("/")
        await keys.type("abab")
        await keys.press("Enter")
        await visit.settled()
        assert ("GET", "/entries", {"key": "abab", "limit": "50"}, None) in admin.asked
        button = visit.page.locator("tbody button.link").first
        await button.focus()
        await keys.press("Enter")
        await visit.shows("Where it is")
        assert await visit.evaluate(
            "document.querySelector('dialog').contains(document.activeElement)"
        )
        await keys.press("Escape")
        await expect(button).to_be_focused()
        await keys.press("?")
        await visit.shows("Keyboard shortcuts")
        await keys.press("Escape")
        await keys.press("t")
        await visit.shows("Colours: light")


async def test_the_list_of_requests_is_walked_with_arrows(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        admin.past = [record(1), record(2), record(3)]
        await watching(admin, visit)
        buttons = visit.page.locator("tbody button")
        await expect(buttons).to_have_count(3)
        await buttons.first.focus()
        await visit.page.keyboard.press("ArrowDown")
        await expect(buttons.nth(1)).to_be_focused()
        admin.tell("request", record(4))
        await expect(buttons).to_have_count(4)
        await expect(buttons.nth(2)).to_be_focused()  # it stays where the reader is
        await visit.page.keyboard.press("ArrowUp")
        await expect(buttons.nth(1)).to_be_focused()


async def test_single_keys_can_be_switched_off(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("explain")
        await visit.page.keyboard.press("?")
        await visit.page.get_by_label("Listen for these keys").uncheck()
        await visit.page.keyboard.press("Escape")
        await visit.page.keyboard.press("1")
        await visit.page.keyboard.press("?")  # which still shows how to switch them on
        await visit.shows("Keyboard shortcuts")
        assert await visit.text("h1") == "Explain"


async def test_what_is_focused_is_seen(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("entries")
        seen = """() => {
            const at = document.activeElement;
            const outlined = each => each && getComputedStyle(each).outlineStyle !== 'none';
            return outlined(at) || outlined(at.nextElementSibling);
        }"""
        for _ in range(30):
            await visit.page.keyboard.press("Tab")
            if await visit.evaluate("document.activeElement === document.body"):
                break
            assert await visit.evaluate(seen), await visit.evaluate(
                "document.activeElement.outerHTML"
            )
