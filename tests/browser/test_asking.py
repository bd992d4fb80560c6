"""What an operator looks for and asks; with made-up answers."""

from __future__ import annotations

import pytest
from support.made_up_admin import made_up_admin
from support.made_up_answers import KEY, SCOPE
from support.visit import Visiting

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]


async def test_an_entry_is_shown_and_its_content_only_where_that_is_allowed(
    visiting: Visiting,
) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("entries", key=KEY)
        await visit.page.locator("tbody button.link").first.click()
        drawer = visit.page.locator("dialog")
        await drawer.get_by_text("admin.show_content").wait_for()
        for told in (KEY, SCOPE, "doc:17", "fresh for 1 h", "12 in, 80 out"):
            assert told in await visit.text("dialog")
        await visit.page.keyboard.press("Escape")
        admin.answers[f"GET /entries/{KEY}"]["content"] = {
            "shown": True,
            "question": "What is a sidecar?",
            "body": "A small process.",
            "truncated": True,
        }
        await visit.page.locator("tbody button.link").first.click()
        await drawer.get_by_text("What is a sidecar?").wait_for()
        assert "A small process." in await visit.text("dialog")
        assert "There is more of it" in await visit.text("dialog")


async def test_a_search_says_what_fits_and_more_of_it_is_fetched(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        admin.answers["GET /entries"] |= {"next": "abc", "looked_at": 900, "complete": False}
        await visit.open("entries")
        await visit.page.get_by_label("Model").fill("gpt")
        await visit.page.get_by_label("State").select_option("stale")
        await visit.page.get_by_role("button", name="Search").click()
        await visit.shows("There is more.")
        asked = {"model": "gpt", "state": "stale", "limit": "50"}
        assert ("GET", "/entries", asked, None) in admin.asked
        admin.answers["GET /entries"] |= {"next": None, "complete": True, "untold": ["l2_redis"]}
        await visit.page.get_by_role("button", name="Show more").click()
        await visit.shows("Redis could not be looked through.")
        assert ("GET", "/entries", asked | {"after": "abc"}, None) in admin.asked
        assert await visit.page.locator("tbody tr").count() == 4
        assert not await visit.page.get_by_role("button", name="Show more").is_visible()


async def test_a_question_finds_neighbours_and_a_slider_asks_what_if(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("meaning")
        await visit.page.locator("textarea").fill(
            'curl http://x/v1/chat/completions -d \'{"model": "m"}\''
        )
        await visit.page.get_by_role("button", name="Find neighbours").click()
        await visit.shows("0.950")
        assert "1 neighbour would be served" in await visit.text()
        admin.answers["POST /semantic/neighbours"] |= {"threshold": 0.86}
        for each in admin.answers["POST /semantic/neighbours"]["neighbours"]:
            each["would_serve"] = True
        async with visit.page.expect_response("**/semantic/neighbours"):
            await visit.page.get_by_label("What if the threshold were").fill("0.86")
        await visit.shows("2 neighbours would be served")
        request = {
            "method": "POST",
            "path": "/v1/chat/completions",
            "headers": {},
            "body": '{"model": "m"}',
        }
        bodies = [body for _m, path, _q, body in admin.asked if path == "/semantic/neighbours"]
        assert bodies[0] == {"request": request, "limit": 10, "threshold": None}
        assert bodies[-1] == {"request": request, "limit": 10, "threshold": 0.86}


async def test_a_word_on_an_answer_is_passed_on(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("meaning")
        await visit.page.get_by_label("X-Cache-Match").fill("0123456789abcdef")
        await visit.page.get_by_role("button", name="It was right").click()
        await visit.shows("Taken: the answer was right.")
        await visit.page.get_by_label("X-Cache-Match").fill("0123456789abcdef")
        admin.failing["POST /feedback"] = (404, "no answer of that name is remembered")
        visit.expected.add(404)
        await visit.page.get_by_role("button", name="It was wrong").click()
        await visit.shows("no answer of that name")
        verdicts = [body["verdict"] for _m, path, _q, body in admin.asked if path == "/feedback"]
        assert verdicts == ["right", "wrong"]


async def test_two_requests_are_compared(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        told = admin.answers["POST /explain"]
        told["other"] = told["request"] | {"key": "cd" * 32}
        told["same_key"] = False
        told["differences"] = [
            {
                "where": "header",
                "name": "x-user",
                "one": "a",
                "other": None,
                "matters": True,
                "says": "It is keyed.",
            }
        ]
        await visit.open("explain")
        await visit.page.get_by_text("Compare with another request").click()
        first, second = await visit.page.locator("textarea").all()
        await first.fill('{"model": "one"}')
        await second.fill('{"model": "two"}')
        await visit.page.get_by_role("button", name="Explain", exact=True).click()
        await visit.shows("They have different keys")
        assert "It is keyed." in await visit.text()
        body = next(body for _m, path, _q, body in admin.asked if path == "/explain")
        assert (body["request"]["body"], body["other"]["body"]) == (
            '{"model": "one"}',
            '{"model": "two"}',
        )


@pytest.mark.parametrize(
    ("pasted", "why"),
    [
        ("", "Paste a request first"),
        ("hello", "neither a call of curl nor JSON"),
        ("[1]", "has to be an object"),
        ("curl -d '{", "A quote is not closed"),
        ("curl --data @file http://x/", "paste what is in it"),
        ("curl --proxy y http://x/", "--proxy is not known here"),
    ],
)
async def test_what_is_no_request_is_named_and_not_sent(
    visiting: Visiting, pasted: str, why: str
) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("explain")
        await visit.page.locator("textarea").first.fill(pasted)
        await visit.page.get_by_role("button", name="Explain", exact=True).click()
        await visit.shows(why)
        assert [path for _m, path, _q, _b in admin.asked if path == "/explain"] == []


async def test_settings_are_found_by_name(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("config")
        assert await visit.page.locator("tbody tr").count() == 2
        await visit.page.get_by_label("Only what was said").uncheck()
        assert await visit.page.locator("tbody tr").count() == 4
        await visit.page.get_by_label("Find a setting").fill("rules")
        assert (await visit.page.locator("tbody").inner_text()).split() == [
            "cache.rules",
            "none",
            "default",
        ]


async def test_a_reload_is_asked_about_and_told(visiting: Visiting) -> None:
    async with made_up_admin() as admin, visiting(admin.url) as visit:
        await visit.open("config")
        await visit.page.get_by_role("button", name="Reload").click()
        await visit.page.get_by_role("button", name="Cancel").click()
        await visit.page.get_by_role("button", name="Reload").click()
        await visit.page.get_by_role("dialog").get_by_role("button", name="Reload").click()
        await visit.shows("Generation 3: cache.ttl_s changed.")
        admin.failing["POST /reload"] = (409, "cache.ttl_s: not a number")
        visit.expected.add(409)
        await visit.page.get_by_role("button", name="Reload").click()
        await visit.page.get_by_role("dialog").get_by_role("button", name="Reload").click()
        await visit.shows("Refused, the old configuration is kept.")
        assert [path for _m, path, _q, _b in admin.asked].count("/reload") == 2
