"""How many answers by meaning are wrong is measured, told, and kept within the budget."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from support.scene import Scene, scene
from support.worded import (
    ALIKE,
    ALIKE_TOO,
    ASKED,
    HIT,
    NGRAM,
    alike,
    answering,
    asked_once,
    learned,
    missed,
    numbered,
    ready,
    said,
    told,
)

Json = dict[str, Any]

WATCHED: Json = {**NGRAM, "shadow": {"enabled": True}}
ADMIN: Json = {"listen": "127.0.0.1:0"}
WRONG = {"headers": "X-Cache-Feedback: wrong\r\n"}


async def ask_admin(s: Scene, path: str, said: Json | None = None) -> tuple[int, Json]:
    async with aiohttp.ClientSession() as http:
        url = f"{s.proxy.admin_url}{path}"
        asking = http.get(url) if said is None else http.post(url, json=said)
        async with asking as reply:
            return reply.status, await reply.json()


async def stratum(s: Scene) -> Json:
    """What is told of hits by meaning."""
    status, state = await ask_admin(s, "/semantic")
    assert status == 200
    (one,) = [each for each in state["strata"] if each["fingerprint"].startswith("ngram")]
    return dict(one)


async def test_a_hit_is_asked_again_in_secret_and_found_right() -> None:
    async with scene(semantic=WATCHED, admin=ADMIN) as s:
        answering(s, alike)
        await ready(s.proxy)
        await asked_once(s)
        assert told(await s.whole(text=ALIKE)) == HIT
        await learned(s.proxy)
        assert s.up.calls == 2
        known = await stratum(s)
        assert (known["labels"], known["raw"], known["open"]) == (1, 0.0, False)
        _, state = await ask_admin(s, "/semantic")
        assert state["ready"] is True
        assert state["outcomes"] == {"no-neighbour": 1, "semantic": 1}


async def test_a_wrong_answer_is_found_out_and_not_served_again_at_such_a_similarity() -> None:
    async with scene(semantic=WATCHED, admin=ADMIN) as s:
        answering(s, numbered)
        await ready(s.proxy)
        first = await asked_once(s)
        served = await s.whole(text=ALIKE)
        assert (told(served), served.body) == (HIT, first.body)
        await learned(s.proxy)
        assert s.up.calls == 2
        known = await stratum(s)
        assert (known["labels"], known["raw"]) == (1, 1.0)
        # Who asks the same has the answer that was asked for in secret.
        own = await s.whole(text=ALIKE)
        assert (own.get("X-Cache-Reason"), said(own)) == ("fresh", numbered({}, 1))
        # Nobody else has the wrong one.
        other = await s.whole(text=ALIKE_TOO)
        assert other.body != first.body


async def test_an_entry_that_was_wrong_is_not_served_for_what_is_no_nearer() -> None:
    async with scene(semantic=NGRAM) as s:
        answering(s, numbered)
        await ready(s.proxy)
        await asked_once(s)
        assert told(await s.whole(text=ALIKE)) == HIT
        assert told(await s.whole(text=ALIKE, **WRONG))[0] == "MISS"
        await learned(s.proxy)
        # Once it is asked for anew, it can be found again, but not by who is further off.
        await s.whole(text=ASKED, headers="Cache-Control: no-cache\r\n")
        await learned(s.proxy)
        reply = await s.whole(text="How do I cancel the membership of my old gym club?")
        assert told(reply)[0] == "MISS"


async def test_without_shadows_nothing_is_asked_that_nobody_asked_for() -> None:
    async with scene(semantic=NGRAM) as s:
        answering(s, alike)
        await ready(s.proxy)
        await asked_once(s)
        for text in (ALIKE, ALIKE_TOO, ALIKE):
            assert told(await s.whole(text=text)) == HIT
            assert told(await s.whole(text=ASKED)) == ("HIT", "fresh")
        await learned(s.proxy)
        assert s.up.calls == 1


async def test_no_more_is_asked_in_secret_than_may_be_in_a_minute() -> None:
    async with scene(semantic={**NGRAM, "shadow": {"per_minute": 2}}) as s:
        answering(s, alike)
        await ready(s.proxy)
        for number in range(6):
            headers = f"X-Cache-Namespace: {number}\r\n"
            await asked_once(s, headers=headers)
            assert told(await s.whole(text=ALIKE, headers=headers)) == HIT
        await learned(s.proxy)
        assert s.up.calls == 6 + 1


async def test_where_tools_could_do_something_nothing_is_asked_in_secret() -> None:
    tools = [{"type": "function", "function": {"name": "cancel"}}]
    async with scene(semantic=WATCHED) as s:
        answering(s, alike)
        await ready(s.proxy)
        await asked_once(s, tools=tools)
        assert told(await s.whole(text=ALIKE, tools=tools)) == HIT
        await learned(s.proxy)
        assert s.up.calls == 1


async def test_a_backend_that_fails_in_secret_is_nobodys_error() -> None:
    async with scene(semantic=WATCHED, admin=ADMIN) as s:
        answering(s, alike)
        await ready(s.proxy)
        await asked_once(s)
        s.up.answer_with(lambda call: call.reply(500, body=b"no"))
        assert told(await s.whole(text=ALIKE)) == HIT
        await learned(s.proxy)
        assert s.up.calls == 2
        _, state = await ask_admin(s, "/semantic")
        assert state["strata"] == []
        assert told(await s.whole(text=ALIKE)) == HIT


async def test_an_answer_that_came_anyway_tells_of_the_one_that_was_near() -> None:
    async with scene(semantic=NGRAM, admin=ADMIN) as s:
        answering(s, alike)
        await ready(s.proxy)
        await asked_once(s)
        reply = await s.whole(text=ALIKE, headers="X-Cache-Threshold: 1\r\n")
        assert told(reply) == missed("threshold")
        await learned(s.proxy)
        known = await stratum(s)
        assert (known["labels"], known["raw"]) == (1, 0.0)
        assert s.up.calls == 2


async def test_what_was_measured_is_told_with_each_hit_and_outlives_a_restart(
    tmp_path: Path,
) -> None:
    disk = {"enabled": True, "directory": str(tmp_path)}
    here: Json = {"semantic": WATCHED, "l2_disk": disk, "upstream": {"id": "b"}, "admin": ADMIN}
    async with scene(**here) as s:
        answering(s, numbered)
        await ready(s.proxy)
        await asked_once(s)
        await s.whole(text=ALIKE)
        await learned(s.proxy)
        before = await stratum(s)
    kept = orjson.loads((tmp_path / "semantic" / "budget.json").read_bytes())
    assert len(kept["strata"]) == len(kept["floors"]) == 1
    async with scene(**here) as s:
        answering(s, numbered)
        await ready(s.proxy)
        after = await stratum(s)
        assert {**after, "effective": 0} == {**before, "effective": 0}
        assert after["labels"] == 1
        headers = "X-Cache-Namespace: another\r\n"
        await asked_once(s, headers=headers)
        reply = await s.whole(text=ALIKE, headers=headers)
        assert told(reply) == HIT
        bound = f"{after['high']:.4f}; estimate={after['error']:.4f}; labels=1"
        assert reply.get("X-Cache-Error-Bound") == bound


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b'{"version": 1}', b"\xff\x00" * 99])
async def test_what_was_measured_may_be_lost(tmp_path: Path, torn: bytes) -> None:
    disk = {"enabled": True, "directory": str(tmp_path)}
    (tmp_path / "semantic").mkdir()
    (tmp_path / "semantic" / "budget.json").write_bytes(torn)
    async with scene(semantic=NGRAM, l2_disk=disk) as s:
        answering(s, alike)
        await ready(s.proxy)
        await asked_once(s)
        assert told(await s.whole(text=ALIKE)) == HIT


async def test_too_many_wrong_answers_end_all_answers_by_meaning() -> None:
    async with scene(semantic=NGRAM, admin=ADMIN) as s:
        answering(s, numbered)
        await ready(s.proxy)
        verdicts = []
        for number in range(60):
            headers = f"X-Cache-Namespace: {number}\r\n"
            await asked_once(s, headers=headers)
            verdicts.append(told(await s.whole(text=ALIKE, headers=headers)))
            if verdicts[-1] != HIT:
                break
            await s.whole(text=ALIKE, headers=headers + WRONG["headers"])
            await learned(s.proxy)
        assert verdicts[-1] == missed("budget")
        assert 3 < len(verdicts) < 60
        known = await stratum(s)
        assert known["open"] is True
        assert known["labels"] >= 3
        # What needs no model has a record of its own.
        headers = "X-Cache-Namespace: new\r\n"
        await asked_once(s, headers=headers)
        assert told(await s.whole(text=ALIKE_TOO, headers=headers)) == missed("budget")
        reply = await s.whole(text="How do I cancel my gym membership, please", headers=headers)
        assert told(reply) == ("HIT", "canonical")


async def test_who_was_given_a_wrong_answer_says_so_and_gets_another() -> None:
    async with scene(semantic=NGRAM, admin=ADMIN) as s:
        answering(s, numbered)
        await ready(s.proxy)
        first = await asked_once(s)
        assert told(await s.whole(text=ALIKE)) == HIT
        corrected = await s.whole(text=ALIKE, **WRONG)
        assert corrected.get("X-Cache") == "MISS"
        assert corrected.body != first.body
        await learned(s.proxy)
        assert (await s.whole(text=ALIKE)).body == corrected.body
        assert (await s.whole(text=ASKED)).body == first.body
        assert (await stratum(s))["raw"] > 0
        assert s.up.calls == 2


async def test_the_operator_says_that_an_answer_was_wrong() -> None:
    async with scene(semantic=NGRAM, admin=ADMIN) as s:
        answering(s, numbered)
        await ready(s.proxy)
        first = await asked_once(s)
        served = await s.whole(text=ALIKE)
        feedback = {"match": served.get("X-Cache-Match"), "verdict": "wrong"}
        assert await ask_admin(s, "/feedback", feedback) == (200, {"learned": True})
        known = await stratum(s)
        assert (known["labels"], known["raw"]) == (1, 1.0)
        again = await s.whole(text=ALIKE)
        assert (again.get("X-Cache"), again.body == first.body) == ("MISS", False)
        status, _ = await ask_admin(s, "/feedback", {"match": "0" * 16, "verdict": "wrong"})
        assert status == 404


async def test_a_restart_in_the_midst_of_a_secret_question_leaves_nothing_behind() -> None:
    async with scene(semantic=WATCHED) as s:
        answering(s, alike)
        await ready(s.proxy)
        await asked_once(s)
        s.up.answer_with(None)
        assert told(await s.whole(text=ALIKE)) == HIT
        async with asyncio.timeout(20):
            call = await s.up.next_call()
        assert call.method == "POST"  # and never answered
