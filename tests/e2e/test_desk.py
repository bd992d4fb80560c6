"""Several workers, as their operator sees them: as one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.operating import purge
from support.processes import gone, until
from support.raw_chat import DOCUMENT, JSON, question
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream
from support.served import Served, served
from support.started import started

Json = dict[str, Any]


@asynccontextmanager
async def crew(up: str, workers: int = 2, **more: str) -> AsyncIterator[Served]:
    async with served(up, SIDECACHE_WORKERS=str(workers), **more) as proxy:
        yield proxy


@pytest.fixture
async def up() -> AsyncIterator[ScriptedUpstream]:
    """A backend whose answers can be told apart: each says how many it has given."""
    given = 0

    async def answer(call: Call) -> None:
        nonlocal given
        given += 1
        await call.reply(200, JSON, DOCUMENT.replace(b"Because.", b"<%d>" % given))

    async with ScriptedUpstream() as upstream:
        upstream.answer_with(answer)
        yield upstream


async def get(proxy: Served, path: str, **query: str) -> Json:
    async with (
        aiohttp.ClientSession() as http,
        http.get(proxy.admin + path, params=query) as answer,
    ):
        assert answer.status == 200, await answer.text()
        told = await answer.json()
        assert isinstance(told, dict)
        return told


async def ask(proxy: Served, text: str) -> tuple[str | None, int]:
    """What became of a question, asked on a connection of its own, and which answer it was."""
    async with await RawClient.connect(proxy.address) as client:
        await client.send(question(text))
        answer = await client.response()
        assert answer.status == 200
        return answer.get("X-Cache"), int(answer.body.split(b"<")[1].split(b">")[0])


async def reloaded(proxy: Served) -> tuple[int, Json]:
    async with (
        aiohttp.ClientSession() as http,
        http.post(proxy.admin + "/reload", json={}) as answer,
    ):
        return answer.status, await answer.json()


async def workers(proxy: Served) -> list[Json]:
    told: list[Json] = (await get(proxy, "/workers"))["workers"]
    return told


async def metrics(proxy: Served) -> dict[str, float]:
    async with aiohttp.ClientSession() as http, http.get(proxy.admin + "/metrics") as answer:
        text = await answer.text()
    found: dict[str, float] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] += sample.value
    return found


async def until_whole(proxy: Served, *, without: set[int]) -> None:
    """Wait until all workers serve, and none of them is one of those."""

    async def whole() -> bool:
        told = await get(proxy, "/workers")
        there = {each["pid"] for each in told["workers"] if each["state"] == "ready"}
        return len(there) == told["wanted"] and not there & without

    await until(whole)


async def test_nothing_counted_is_lost_when_workers_are_killed_and_the_desk_too(
    up: ScriptedUpstream,
) -> None:
    async with crew(up.url, 3) as proxy:
        for number in range(12):
            await ask(proxy, f"question {number}")
        stats = await get(proxy, "/stats")
        assert (stats["received"], stats["requests"]["total"]) == (12, 12)
        before = await metrics(proxy)
        assert before["sidecache_requests_total"] == 12
        assert before["sidecache_workers"] == 3

        up.answer_with(None)  # one that is under way when all die
        asking = started(ask(proxy, "cut"))
        call = await up.next_call()

        async def under_way() -> bool:
            return sum(each["in_progress"] for each in await workers(proxy)) == 1

        await until(under_way)
        pids = {each["pid"] for each in await workers(proxy)}
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises((ConnectionError, EOFError, AssertionError)):
            await asking
        await call.hung_up()
        await until_whole(proxy, without=pids)
        stats = await get(proxy, "/stats")
        assert (stats["received"], stats["requests"]["total"]) == (13, 13)
        lost = [each for each in stats["by"] if each["reason"] == "worker-lost"]
        assert [(each["outcome"], each["requests"]) for each in lost] == [("error", 1)]

        desk = stats["pid"]
        os.kill(desk, signal.SIGKILL)
        await gone([desk])

        async def another() -> bool:
            try:
                return bool((await get(proxy, "/stats"))["pid"] != desk)
            except aiohttp.ClientError:
                return False

        await until(another)
        again = await get(proxy, "/stats")
        assert (again["received"], again["requests"]["total"]) == (13, 13)
        assert again["started_at"] == stats["started_at"]
        told = await get(proxy, "/workers")
        assert (told["wanted"], told["restarts"]) == (3, 3)
        after = await metrics(proxy)
        assert after["sidecache_worker_restarts_total"] == 3
        fell = [
            name
            for name, value in before.items()
            if name.endswith(("_total", "_count", "_bucket", "_sum")) and after[name] < value
        ]
        assert fell == []
        history = await get(proxy, "/stats/history", span="6h")
        assert sum(each["requests"] for each in history["points"]) == 13


@pytest.mark.heavy
async def test_a_worker_that_hangs_delays_nobody_and_is_not_said_to_obey(
    up: ScriptedUpstream,
) -> None:
    async with crew(up.url) as proxy:
        await ask(proxy, "one")
        hung = (await workers(proxy))[0]["pid"]
        os.kill(hung, signal.SIGSTOP)
        try:

            async def silent() -> bool:
                return any(each["silent"] for each in await workers(proxy))

            await until(silent)
            async with asyncio.timeout(5):
                for _ in range(5):
                    assert (await get(proxy, "/stats"))["received"] == 1
            receipt = await purge(proxy.admin)
            assert (receipt.status, receipt.said["complete"]) == (202, False)
            assert len(receipt.absent) == 1
        finally:
            os.kill(hung, signal.SIGCONT)

        async def well() -> bool:
            return not any(each["silent"] for each in await workers(proxy))

        await until(well)
        assert (await purge(proxy.admin)).status == 200


async def test_entries_of_every_memory_are_listed_and_what_is_shared_once(
    up: ScriptedUpstream, tmp_path: Path
) -> None:
    disk = {
        "SIDECACHE_L2_DISK__ENABLED": "true",
        "SIDECACHE_L2_DISK__DIRECTORY": str(tmp_path / "disk"),
    }
    async with crew(up.url, 3, **disk) as proxy:
        for number in range(9):
            await ask(proxy, f"question {number}")

        async def written() -> bool:
            return len(await listed(proxy, tier="l2_disk")) == 9

        await until(written)
        for limit in ("1", "2", "4", "50"):
            rows = await listed(proxy, limit=limit)
            places = Counter((each["key"], each["tier"], each["worker"]) for each in rows)
            assert set(places.values()) == {1}
            assert len([each for each in rows if each["tier"] == "l2_disk"]) == 9
            in_memory = [each for each in rows if each["tier"] == "l1_memory"]
            assert len(in_memory) == 9
            assert all(each["worker"] for each in in_memory)
        assert {each["tier"] for each in await listed(proxy, tier="l1_memory")} == {"l1_memory"}

        key = (await listed(proxy))[0]["key"]
        told = await get(proxy, f"/entries/{key}")
        assert [each["tier"] for each in told["found"]] == ["l1_memory", "l2_disk"]
        tiers = {each["tier"]: each for each in (await get(proxy, "/tiers"))["tiers"]}
        assert tiers["l1_memory"]["entries"] == 9
        assert tiers["l1_memory"]["state"] == "up"
        for wrong in ("l1_memory:", "w1_l2_disk:", "w1_nonsense:"):
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"{proxy.admin}/entries?after={wrong}") as answer,
            ):
                assert answer.status == 400


async def listed(proxy: Served, **query: str) -> list[Json]:
    """All entries, page by page."""
    rows: list[Json] = []
    after: dict[str, str] = {}
    while True:
        page = await get(proxy, "/entries", **query, **after)
        rows += page["entries"]
        if page["next"] is None:
            assert page["complete"]
            return rows
        after = {"after": page["next"]}


async def test_other_settings_are_taken_over_by_all_and_nothing_that_was_counted_is_lost(
    up: ScriptedUpstream, tmp_path: Path
) -> None:
    file = tmp_path / "sidecache.yaml"
    text = f"upstreams: [{{url: '{up.url}'}}]\nworkers: 2\nreload: {{watch: false}}\n"
    file.write_text(text)
    async with crew("", SIDECACHE_CONFIG=str(file)) as proxy:
        for number in range(5):
            await ask(proxy, f"question {number}")
        before = await get(proxy, "/stats")
        pids = {each["pid"] for each in await workers(proxy)}
        counted = await metrics(proxy)
        file.write_text(text + "pseudonym: renamed\n")
        # What is under way when the desk is replaced is answered all the same.
        host, _, port = proxy.admin.removeprefix("http://").rpartition(":")
        async with await RawClient.connect((host, int(port))) as slow:
            body = b'{"kind": "all"}'
            head = f"POST /purge HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            await slow.send(head.encode() + b"Content-Type: application/json\r\n\r\n" + body[:5])
            status, told = await reloaded(proxy)
            assert (status, told) == (200, {"generation": 2, "changed": ["pseudonym"]})

            async def replaced() -> bool:
                stats = await get(proxy, "/stats")  # never refused, whoever answers
                return bool(stats["pid"] != before["pid"])

            await until(replaced)
            await slow.send(body[5:])
            assert (await slow.response()).status == 200
        after = await get(proxy, "/stats")
        assert (after["pseudonym"], after["generation"]) == ("renamed", 2)
        assert {each["pid"] for each in await workers(proxy)} == pids  # who needed no restart
        assert (after["received"], after["requests"]["total"]) == (5, 5)
        assert after["started_at"] == before["started_at"]
        now = await metrics(proxy)
        assert [
            name for name in counted if name.endswith("_total") and now[name] < counted[name]
        ] == []
        assert now["sidecache_config_reloads_total"] == 1
        history = await get(proxy, "/stats/history", span="24h")
        assert sum(each["requests"] for each in history["points"]) == 5

        file.write_text(text + "pseudonym: [\n")
        assert (await reloaded(proxy))[0] == 409
        assert (await get(proxy, "/stats"))["pseudonym"] == "renamed"

        file.write_text(text + "admin: {show_content: true}\n")  # this needs one
        assert (await reloaded(proxy))[0] == 200
        await until_whole(proxy, without=pids)
        stats = await get(proxy, "/stats")
        assert (stats["received"], stats["requests"]["total"]) == (5, 5)
        assert stats["started_at"] == before["started_at"]
        history = await get(proxy, "/stats/history", span="24h")
        assert sum(each["requests"] for each in history["points"]) == 5


@pytest.mark.heavy
async def test_after_a_receipt_nothing_older_is_served_though_workers_die_and_are_replaced(
    up: ScriptedUpstream, tmp_path: Path
) -> None:
    """I9 of the invariants: no later request on any live worker."""
    disk = {
        "SIDECACHE_L2_DISK__ENABLED": "true",
        "SIDECACHE_L2_DISK__DIRECTORY": str(tmp_path / "disk"),
    }
    async with crew(up.url, 3, **disk) as proxy:
        for round_ in range(4):
            _, older = await ask(proxy, "one")
            while {(await ask(proxy, "one"))[0] for _ in range(6)} != {"HIT"}:
                pass  # it is written to the disk a moment later
            victim = (await workers(proxy))[round_ % 3]["pid"]
            purging = started(purge(proxy.admin))
            os.kill(victim, signal.SIGKILL)
            receipt = await purging
            while receipt.status != 200:  # the worker that was asked is the one that died
                assert receipt.status in {202, 503}
                receipt = await purge(proxy.admin)
            for _ in range(6):  # at whichever worker, be it new
                assert (await ask(proxy, "one"))[1] > older
            await until_whole(proxy, without={victim})
            for _ in range(6):
                assert (await ask(proxy, "one"))[1] > older
