"""The desk, which answers the operator for all workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.crewed import Crewed, crewed
from support.openai_backend import OpenAIBackend
from support.operating import ADMIN
from support.proxied import proxied
from support.raw_chat import PATH, question
from support.raw_client import RawClient
from support.records import lines_of, record
from support.started import started

from proxy.app.looking import nothing
from proxy.app.rollcall import RollCall
from proxy.histogram import Histogram
from proxy.observe.process import Figures
from proxy.observe.snapshot import Snapshot, written
from proxy.observe.tally import Counted, Tally
from proxy.prices import Prices

Json = dict[str, Any]

TOKEN = "a-token-nobody-guesses"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
OPEN = {"/healthz", "/readyz"}
PROTECTED: Json = {"listen": "127.0.0.1:0", "token": TOKEN}
MEANING: Json = {"enabled": True, "embedder": {"kind": "ngram"}}
FOREVER = ("/live", "/profile")


@pytest.fixture
async def backend() -> AsyncIterator[OpenAIBackend]:
    async with OpenAIBackend() as backend:
        yield backend


@pytest.fixture
async def crew(backend: OpenAIBackend, tmp_path: Path) -> AsyncIterator[Crewed]:
    async with crewed(backend.url, tmp_path) as crew:
        yield crew


@pytest.fixture
async def http(crew: Crewed) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(crew.admin) as session:
        yield session


async def get(http: aiohttp.ClientSession, path: str, status: int = 200) -> Json:
    async with http.get(path) as answer:
        assert answer.status == status, await answer.text()
        told = await answer.json()
        assert isinstance(told, dict)
        return told


async def post(http: aiohttp.ClientSession, path: str, said: Json) -> tuple[int, Json]:
    async with http.post(path, json=said) as answer:
        return answer.status, await answer.json()


async def ask(crew: Crewed, slot: int, text: str) -> None:
    async with await RawClient.connect(crew.addresses[slot]) as client:
        await client.send(question(text))
        assert (await client.response()).status == 200


async def ask_each(crew: Crewed, times: int = 3) -> int:
    """Ask every worker something new so many times; how many requests that are in all."""
    began = sum(each.server.counts.received for each in crew.workers.values())
    for number in range(times):
        for slot in crew.workers:
            await ask(crew, slot, f"{began + number} of {slot}")
    return times * len(crew.workers)


# -- the same as of one ---------------------------------------------------------------------------


async def test_what_can_be_asked_and_how_is_described_as_by_a_single_process(
    backend: OpenAIBackend, tmp_path: Path
) -> None:
    async with proxied(backend.url, **{**ADMIN, "admin": PROTECTED}, semantic=MEANING) as one:
        of_one: Any = one.admin.document()
    async with (
        crewed(backend.url, tmp_path, admin=PROTECTED, semantic=MEANING) as crew,
        aiohttp.ClientSession(crew.admin, headers=RIGHT) as http,
    ):
        of_all = await get(http, "/openapi.json")
    which = of_all["paths"]["/profile"]["get"]["parameters"].pop()
    assert which["name"] == "worker"
    assert of_all == orjson.loads(orjson.dumps(of_one))


async def test_without_the_token_there_is_nothing_but_health_and_with_it_all_is_answered(
    backend: OpenAIBackend, tmp_path: Path
) -> None:
    async with (
        crewed(backend.url, tmp_path, admin=PROTECTED, semantic=MEANING) as crew,
        aiohttp.ClientSession(crew.admin, headers=RIGHT) as http,
        aiohttp.ClientSession(crew.admin) as anybody,
    ):
        await ask_each(crew)
        document = await get(http, "/openapi.json")
        for path, operations in document["paths"].items():
            url = path.replace("{key}", "a" * 64)
            for method in operations:
                async with anybody.request(method, url) as answer:
                    assert answer.status == (200 if path in OPEN else 401), path
            if "get" in operations and path not in FOREVER:
                async with http.get(url) as answer:
                    expected = {"/export": 403, "/entries/{key}": 404}.get(path, 200)
                    assert answer.status == expected, (path, await answer.text())
        request = {"path": PATH, "body": orjson.loads(question("x").split(b"\r\n\r\n")[1])}
        for path, said, status in (
            ("/explain", {"request": request}, 200),
            ("/explain", {"request": {}}, 400),
            ("/semantic/neighbours", {"request": request}, 200),
            ("/warm", {"requests": [request]}, 200),
            ("/purge", {"kind": "all"}, 200),
            ("/purge", {"kind": "nonsense"}, 400),
            ("/feedback", {"match": "0" * 16, "verdict": "wrong"}, 404),
            ("/reload", {}, 200),
        ):
            assert (await post(http, path, said))[0] == status, path
        assert (await get(http, "/semantic"))["labels_unknown"] == 1
        async with http.get("/") as page, http.get("/ui/app.js") as script:
            assert (page.status, script.status) == (200, 200)


async def test_what_is_told_is_the_sum_of_all(crew: Crewed, http: aiohttp.ClientSession) -> None:
    asked = await ask_each(crew)
    stats = await get(http, "/stats")
    assert (stats["received"], stats["requests"]["total"]) == (asked, asked)
    assert stats["requests"]["miss"] == asked
    latency = next(each for each in stats["latency"] if each["what"] == "miss")
    assert latency["count"] == asked
    assert stats["process"]["rss_bytes"] > 0
    (backend,) = (await get(http, "/upstreams"))["upstreams"]
    assert backend["responses"] == {"2xx": asked}
    (memory,) = (await get(http, "/tiers"))["tiers"]
    assert memory["entries"] == asked
    told = await get(http, "/workers")
    assert (told["wanted"], told["restarts"]) == (2, 0)
    assert [each["slot"] for each in told["workers"]] == [1, 2]
    assert sum(each["requests"] for each in told["workers"]) == asked
    points = (await get(http, "/stats/history?span=15m"))["points"]
    assert sum(each["requests"] for each in points) == asked
    async with http.get("/metrics") as answer:
        text = await answer.text()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["sidecache_requests_received_total",] == asked
    assert samples["sidecache_workers", "ready"] == 2
    assert samples["process_resident_memory_bytes",] > 0
    assert not [name for name, *_ in samples if name.startswith("python_gc")]


async def test_requests_under_way_are_told(
    crew: Crewed, http: aiohttp.ClientSession, backend: OpenAIBackend
) -> None:
    backend.hold()
    asking = started(ask(crew, 1, "held"))
    await backend.was_asked(1)
    stats = await get(http, "/stats")
    assert (stats["received"], stats["requests"]["total"]) == (1, 0)
    assert stats["flights"]["in_progress"] == 1
    told = await get(http, "/workers")
    assert sum(each["in_progress"] for each in told["workers"]) == 1
    backend.release()
    await asking


# -- workers come and go --------------------------------------------------------------------------


async def test_who_leaves_is_counted_to_its_last_request(
    crew: Crewed, http: aiohttp.ClientSession
) -> None:
    asked = await ask_each(crew)
    await get(http, "/stats")
    crew.arbiter.tell_who_is_there(1, 2, leaving=[1])
    left = crew.workers.pop(1)
    entries = left.store.memory.entries
    await left.close(1)
    assert (crew.directory / f"last-1-{os.getpid()}.json").exists()
    stats = await get(http, "/stats")
    assert stats["received"] == asked
    async with http.get("/metrics") as answer:
        assert 'sidecache_workers{state="leaving"} 1.0' in await answer.text()
    crew.arbiter.tell_who_is_there(2, restarts=1)
    await ask(crew, 2, "one more")

    async def of_one() -> None:
        while len((await get(http, "/workers"))["workers"]) != 1:
            pass

    async with asyncio.timeout(10):
        await of_one()
    stats = await get(http, "/stats")
    assert (stats["received"], stats["requests"]["total"]) == (asked + 1, asked + 1)
    (memory,) = (await get(http, "/tiers"))["tiers"]
    assert memory["entries"] == asked + 1 - entries
    assert (await get(http, "/workers"))["restarts"] == 1


async def test_while_no_worker_serves_the_operator_is_told_so(
    crew: Crewed, http: aiohttp.ClientSession
) -> None:
    await get(http, "/readyz")
    crew.arbiter.tell_who_is_there()

    async def unready() -> None:
        while True:
            async with http.get("/readyz") as answer:
                if answer.status == 503:
                    return

    async with asyncio.timeout(10):
        await unready()
    await get(http, "/healthz")
    for path in ("/entries", "/entries/" + "a" * 64):
        assert "try again" in (await get(http, path, 503))["error"]
    assert (await post(http, "/purge", {"kind": "all"}))[0] == 503
    assert (await get(http, "/stats"))["received"] == 0


async def test_when_all_shall_end_it_is_not_ready_though_workers_still_serve(
    crew: Crewed, http: aiohttp.ClientSession
) -> None:
    crew.arbiter.tell_who_is_there(1, 2, stopping=True)

    async def unready() -> None:
        while True:
            async with http.get("/readyz") as answer:
                if answer.status == 503:
                    return

    async with asyncio.timeout(10):
        await unready()


async def test_who_is_starting_is_told_of_with_what_is_known(
    crew: Crewed, http: aiohttp.ClientSession
) -> None:
    there = crew.arbiter.roster["workers"]
    third = {"slot": 3, "pid": 1, "ready": False, "leaving": False}
    crew.arbiter.tell(**(crew.arbiter.roster | {"workers": [*there, third]}))
    async with asyncio.timeout(10):
        while len(told := (await get(http, "/workers"))["workers"]) != 3:
            pass
    assert (told[2]["state"], told[2]["age_s"], told[2]["requests"]) == ("starting", None, None)


async def test_a_worker_that_is_gone_before_the_arbiter_knows_is_passed_over(
    crew: Crewed, http: aiohttp.ClientSession
) -> None:
    """What is asked of one goes to the next; the kernel knows first that it is gone."""
    await get(http, "/stats")
    await crew.workers.pop(1).close(0)
    for _ in range(3):
        assert (await post(http, "/purge", {"kind": "all"}))[0] == 200
        await get(http, "/reasons")


async def test_what_one_before_it_has_counted_is_told_on(
    backend: OpenAIBackend, tmp_path: Path
) -> None:
    async def said(_path: Path, _limit_s: float) -> bytes:
        tally = Tally(Prices())
        tally.take(lines_of(*(record(model=f"m{number}") for number in range(12))))
        clients = {**nothing().clients, "received": 12}
        state = replace(nothing(), clients=clients)
        return written(Snapshot(tally.counted(), Histogram(), state, (), Figures(100.0), 77, 7))

    before = RollCall(
        tmp_path, said, socket=lambda _slot: tmp_path,
        nothing=Snapshot(Counted(), Histogram(), nothing()), wall=lambda: 1e9,
    )  # fmt: skip
    before.hear({"workers": [{"slot": 7, "pid": 77, "ready": True, "leaving": False}]})
    before.extras.reloads = lambda: (4, 2, 3)
    await before.round()
    await before.close()
    async with (
        crewed(backend.url, tmp_path) as crew,
        aiohttp.ClientSession(crew.admin) as http,
    ):
        await ask_each(crew)
        stats = await get(http, "/stats")
        assert (stats["received"], stats["requests"]["total"]) == (18, 18)
        assert stats["started_at"] == "2001-09-09T01:46:40.000Z"
        assert stats["process"]["cpu_s"] > 100
        assert len(stats["models"]) == 13
        async with http.get("/metrics") as answer:
            text = await answer.text()
        assert 'sidecache_config_reloads_total{result="applied"} 3.0' in text
        assert 'sidecache_config_reloads_total{result="refused"} 3.0' in text
        assert "process_start_time_seconds 1e+09" in text


# -- other settings -------------------------------------------------------------------------------


async def test_other_settings_are_the_arbiters_to_bring_and_the_answer_says_what_came_of_it(
    crew: Crewed, http: aiohttp.ClientSession
) -> None:
    crew.chosen.given |= {"admin": {"show_content": True}}
    reloading = started(post(http, "/reload", {}))
    await crew.arbiter.heard("roll")
    crew.arbiter.tell(rolled=1, refused="a worker ended with status 78 before it was ready")
    status, told = await reloading
    assert (status, told["error"]) == (409, "a worker ended with status 78 before it was ready")
    config = await get(http, "/config")
    assert config["last_refusal"]["why"] == told["error"]
    assert (config["generation"], config["settings"]["admin"]["show_content"]) == (1, False)

    reloading = started(post(http, "/reload", {}))
    await crew.arbiter.heard("roll")
    crew.arbiter.tell(rolled=3, refused="")
    assert await reloading == (200, {"generation": 3, "changed": ["admin.show_content"]})
    assert (await get(http, "/stats"))["generation"] == 3
    async with http.get("/metrics") as answer:
        text = await answer.text()
    assert 'sidecache_config_reloads_total{result="applied"} 1.0' in text
    assert 'sidecache_config_reloads_total{result="refused"} 1.0' in text

    crew.chosen.given |= {"upstreams": []}
    status, told = await post(http, "/reload", {})
    assert (status, "no backend is given" in told["error"]) == (409, True)


async def test_what_needs_no_restart_the_workers_take_over_as_they_are(
    backend: OpenAIBackend, tmp_path: Path
) -> None:
    async with (
        crewed(backend.url, tmp_path, admin=PROTECTED) as crew,
        aiohttp.ClientSession(crew.admin, headers=RIGHT) as http,
    ):
        await ask_each(crew)
        crew.chosen.given |= {"pseudonym": "renamed"}
        reloading = started(post(http, "/reload", {}))
        await crew.arbiter.heard("adopted")
        crew.arbiter.tell(rolled=2, refused="")
        assert await reloading == (200, {"generation": 2, "changed": ["pseudonym"]})
        for each in crew.workers.values():
            assert each.settings.pseudonym == "renamed"
            assert each.store.memory.entries == 3
        assert (await get(http, "/stats"))["received"] == 6  # they still tell the desk


async def test_what_is_under_way_when_it_is_replaced_is_answered(
    crew: Crewed, http: aiohttp.ClientSession
) -> None:
    host, _, port = crew.admin.removeprefix("http://").rpartition(":")
    async with await RawClient.connect((host, int(port))) as slow:
        body = b'{"kind": "all"}'
        head = f"POST /purge HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        await slow.send(head.encode() + b"Content-Type: application/json\r\n\r\n" + body[:5])
        await get(http, "/stats")  # by then it has been read
        crew.arbiter.die()
        async with asyncio.timeout(10):
            while True:  # until it does not listen any more
                try:
                    await get(http, "/healthz")
                except aiohttp.ClientError:
                    break
        await slow.send(body[5:])
        answer = await slow.response()
        assert (answer.status, answer.get("Connection")) == (200, "close")


# -- streams --------------------------------------------------------------------------------------


async def test_the_streams_of_all_are_one_and_who_comes_back_finds_the_same_numbers(
    crew: Crewed, http: aiohttp.ClientSession
) -> None:
    asked = await ask_each(crew)
    async with http.get("/live?last=3") as stream:
        seen = [await next_request(stream) for _ in range(3)]
        more = await ask_each(crew)
        seen += [await next_request(stream) for _ in range(more)]
    assert [each["seq"] for each in seen] == list(range(asked - 2, asked + more + 1))
    assert {each["worker"] for each in seen} == {1, 2}
    async with http.get("/live?last=2") as stream:
        assert [await next_request(stream) for _ in range(2)] == seen[-2:]


async def test_no_more_may_look_on_than_at_a_single_process(
    crew: Crewed, http: aiohttp.ClientSession
) -> None:
    async with aiohttp.ClientSession(crew.admin, connector=aiohttp.TCPConnector(limit=30)) as many:
        looking = [await many.get("/live") for _ in range(16)]
        assert {each.status for each in looking} == {200}
        assert "too many" in (await get(http, "/live", 503))["error"]
        for each in looking:
            each.close()


async def next_request(stream: aiohttp.ClientResponse) -> Json:
    async with asyncio.timeout(20):
        while line := await stream.content.readline():
            if line == b"event: request\n":
                said = orjson.loads((await stream.content.readline()).removeprefix(b"data: "))
                assert isinstance(said, dict)
                return said
    raise AssertionError("the stream has ended")


# -- profiles -------------------------------------------------------------------------------------


async def test_a_profile_is_of_a_worker_that_is_there(
    crew: Crewed, http: aiohttp.ClientSession
) -> None:
    assert "GET /workers" in (await get(http, "/profile?worker=77", 404))["error"]
    await get(http, "/profile?worker=-1", 400)
    for query in ("", "worker=0", "worker=2"):
        async with http.get(f"/profile?seconds=0.5&format=folded&{query}") as answer:
            assert answer.status in {200, 503}  # as the system lets it
