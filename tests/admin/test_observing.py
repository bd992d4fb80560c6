"""Statistics, states, metrics and what happens now, asked of a running proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from support.openai_backend import OpenAIBackend
from support.operating import ADMIN, purged
from support.proxied import Proxied, proxied
from support.sdk_caller import Caller, chat

from proxy.admin.api import Admin
from proxy.admin.gate import Gate
from proxy.admin.live import LiveRoute
from proxy.app import Sidecache
from proxy.config.settings import Settings
from proxy.model.meaning import Script
from proxy.semantic.budget.labels import Label, Source, Stratum

Json = dict[str, Any]
PRICED: Json = {"savings": {"currency": "EUR", "prices": [{"model": "*", "input": 1e6}]}}


@pytest.fixture
async def backend() -> AsyncIterator[OpenAIBackend]:
    async with OpenAIBackend() as backend:
        yield backend


@pytest.fixture
async def proxy(backend: OpenAIBackend) -> AsyncIterator[Proxied]:
    async with proxied(backend.url, **ADMIN, **PRICED) as proxy:
        yield proxy


async def told(proxy: Proxied, path: str, status: int = 200) -> Json:
    async with aiohttp.ClientSession() as client, client.get(f"{proxy.admin_url}{path}") as reply:
        assert reply.status == status
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        answer: Json = await reply.json()
        return answer


async def test_statistics_tell_what_became_of_requests(proxy: Proxied) -> None:
    async with Caller(proxy) as caller:
        for _ in range(3):
            await caller.ask(chat())
    stats = await told(proxy, "/stats")
    assert stats["requests"] == {
        "total": 3, "hit": 2, "stale": 0, "coalesced": 0, "miss": 1, "bypass": 0, "degraded": 0,
        "error": 0, "shed": 0,
    }  # fmt: skip
    assert stats["hit_ratio"] == stats["hit_ratio_recent"] == pytest.approx(2 / 3)
    assert {row["reason"]: row["tier"] for row in stats["by"]} == {
        "fresh": "l1_memory", "uri-miss": None,
    }  # fmt: skip
    saved, spent = stats["saved"], stats["spent"]
    assert (saved["calls"], spent["calls"]) == (2, 1)
    assert saved["input_tokens"] == 2 * spent["input_tokens"] > 0
    assert saved["money"] == pytest.approx(saved["input_tokens"])
    assert (saved["currency"], saved["unpriced"]) == ("EUR", [])
    assert saved["seconds"] > 0
    assert [model["hits"] for model in stats["models"]] == [2]
    assert {each["what"] for each in stats["latency"]} == {"hit", "miss"}
    stages = {(each["outcome"], each["stage"]) for each in stats["stages"]}
    assert ("hit", "lookup") in stages
    assert ("miss", "flight") in stages
    assert (stats["flights"]["started"], stats["flights"]["stored"]) == (1, 1)
    assert stats["generation"] == 1
    assert stats["process"]["rss_bytes"] > 1_000_000
    assert stats["started_at"] < stats["now"]


async def test_a_header_that_splits_the_cache_is_named(proxy: Proxied) -> None:
    async with aiohttp.ClientSession() as client:
        for number in range(4):
            fields = {"X-Session": str(number), "X-Request-Id": str(number)}
            url = f"{proxy.url}/v1/chat/completions"
            async with client.post(url, json=chat(), headers=fields) as reply:
                await reply.read()
    stats = await told(proxy, "/stats")
    assert stats["splitters"] == [{"header": "x-session", "values": 4, "bodies": 1}]
    assert stats["requests"]["miss"] == 4


async def test_of_a_batch_of_inputs_what_was_known_is_saved(proxy: Proxied) -> None:
    async with aiohttp.ClientSession() as client:
        for inputs in (["a", "b", "c"], ["a", "b", "d"], ["a", "b"]):
            asked = {"model": "e", "input": inputs}
            async with client.post(f"{proxy.url}/v1/embeddings", json=asked) as reply:
                assert reply.status == 200
    stats = await told(proxy, "/stats")
    assert (stats["requests"]["miss"], stats["requests"]["hit"]) == (2, 1)
    spent, saved = stats["spent"]["input_tokens"], stats["saved"]["input_tokens"]
    each = spent / 4  # a, b, c and d were asked for, once each
    assert each > 0
    assert saved == 4 * each
    assert stats["batching"]["inputs"] == 4


async def test_history_is_told_by_span(proxy: Proxied) -> None:
    async with Caller(proxy) as caller:
        await caller.ask(chat())
    for span, step_s in (("15m", 10), ("1h", 10), ("6h", 60), ("24h", 300)):
        lately = await told(proxy, f"/stats/history?span={span}")
        assert lately["step_s"] == step_s
        assert sum(point["requests"] for point in lately["points"]) == 1
    assert "span" in (await told(proxy, "/stats/history?span=1y", 400))["error"]


async def test_tiers_tell_what_they_were_asked(backend: OpenAIBackend, tmp_path: Any) -> None:
    disk = {"l2_disk": {"enabled": True, "directory": str(tmp_path)}}
    async with proxied(backend.url, **ADMIN, **disk) as proxy, Caller(proxy) as caller:
        await caller.ask(chat())
        assert proxy.store.disk is not None
        await proxy.store.disk.flush()
        await caller.ask(chat())
        await purged(proxy.admin_url, "tag", "t")
        state = await told(proxy, "/tiers")
        assert state["order"] == ["l1_memory", "l2_disk"]
        memory, on_disk = state["tiers"]
        assert (memory["state"], memory["trusted"], memory["entries"]) == ("up", True, 1)
        asked = {
            (each["operation"], each["result"]): each["count"] for each in memory["operations"]
        }
        assert asked["get", "hit"] == 1
        assert asked["put", "taken"] == 1
        written = {
            (each["operation"], each["result"]): each["count"] for each in on_disk["operations"]
        }
        assert written["get", "miss"] >= 1
        assert written["put", "taken"] == 1
        assert {each["operation"] for each in on_disk["latency"]} == {"get", "put"}
        assert state["guard"]["lookups"] >= 0
        assert state["journal"]["generation"] > 0
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"{proxy.admin_url}/metrics") as reply,
        ):
            assert 'sidecache_purges_total{kind="tag"} 1.0' in await reply.text()


async def test_backends_tell_how_they_fare(backend: OpenAIBackend) -> None:
    left = {"counts": ["refused"]}
    dead = {"url": "http://127.0.0.1:1/v1", "prefix": "/dead", "id": "dead", "breaker": left}
    standby = {"standby": [{"url": "http://127.0.0.1:1", "id": "spare"}]}
    async with (
        proxied({"url": backend.url, "id": "main"}, dead, **ADMIN, degradation=standby) as proxy,
        Caller(proxy) as caller,
    ):
        await caller.ask(chat())
        async with aiohttp.ClientSession() as client:
            for _ in range(7):
                async with client.get(f"{proxy.url}/dead/x") as reply:
                    assert reply.status in {502, 503}
        upstreams = {
            each["upstream"]: each for each in (await told(proxy, "/upstreams"))["upstreams"]
        }
    assert (upstreams["main"]["responses"], upstreams["main"]["errors"]) == ({"2xx": 1}, {})
    assert upstreams["main"]["latency"]["count"] == 1
    assert upstreams["dead"]["url"] == "http://127.0.0.1:1/v1"
    assert upstreams["dead"]["breaker"] == {"enabled": True, "state": "open", "refused": 2}
    assert upstreams["dead"]["errors"] == {"connection_refused": 5}
    assert (upstreams["spare"]["standby"], upstreams["spare"]["prefix"]) == (True, None)


async def test_a_redis_that_is_away_is_told_as_down(backend: OpenAIBackend) -> None:
    redis = {"l2_redis": {"url": "redis://127.0.0.1:1"}, "cache": {"scope": {"secret": "s" * 32}}}
    async with proxied(backend.url, **ADMIN, **redis) as proxy, Caller(proxy) as caller:
        await caller.ask(chat())
        _, shared = (await told(proxy, "/tiers"))["tiers"]
        assert (shared["tier"], shared["state"]) == ("l2_redis", "down")
        assert (shared["trusted"], shared["entries"]) == (False, None)
        assert shared["detail"]["standing"] == "off"
        up = 'sidecache_tier_up{tier="l2_redis"} 0.0'
        assert up in (await proxy.observing.metrics.written(""))[0].decode()


async def test_hits_by_meaning_are_told_with_how_wrong_they_are(backend: OpenAIBackend) -> None:
    meaning = {"semantic": {"enabled": True, "embedder": {"kind": "ngram"}}}
    async with proxied(backend.url, **ADMIN, **meaning) as proxy, Caller(proxy) as caller:
        assert proxy.semantic is not None
        for text in ("What is the capital of France?", "what's the capital of France?"):
            await caller.ask(chat(messages=[{"role": "user", "content": text}]))
        stratum = Stratum("f", Script.LATIN, "model")
        proxy.semantic.budget.learn(stratum, Label(0.9, True, 1.0, Source.FEEDBACK, True), 0.0)
        written = (await proxy.observing.metrics.written(""))[0].decode()
    assert 'sidecache_semantic_lookups_total{outcome="' in written
    assert 'sidecache_semantic_labels_total{stratum="f latin model"} 1.0' in written
    assert "sidecache_semantic_embedder_up" in written
    assert "sidecache_semantic_index_rows" in written


async def test_other_prices_hold_once_they_are_adopted(proxy: Proxied) -> None:
    proxy.observing.adopt(Settings.model_validate({"savings": {"currency": "CHF"}}))
    assert (await told(proxy, "/stats"))["saved"]["currency"] == "CHF"


async def test_counts_outlive_a_reload(backend: OpenAIBackend) -> None:
    async with proxied(backend.url, **ADMIN) as proxy, Caller(proxy) as caller:
        await caller.ask(chat())
        # another backend, of the same name
        await proxy.change(upstreams=[{"url": backend.url, "keepalive_s": 1.0}])
        await caller.ask(chat(messages=[{"role": "user", "content": "another"}]))
        stats = await told(proxy, "/stats")
        assert (stats["generation"], stats["requests"]["miss"]) == (2, 2)
        assert stats["flights"]["started"] == 2
        [only] = (await told(proxy, "/upstreams"))["upstreams"]
        assert only["responses"] == {"2xx": 2}
        written = (await proxy.observing.metrics.written(""))[0].decode()
    assert "sidecache_config_generation 2.0" in written
    assert 'sidecache_config_reloads_total{result="applied"} 1.0' in written


async def test_a_flight_that_fails_in_an_unforeseen_way_is_a_bug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy = Sidecache(Settings.model_validate({"upstreams": [{"url": "http://127.0.0.1:1"}]}))
    proxy.observing.report_bug(ValueError())
    assert proxy.observing.bugs()["flights"] == 1
    assert [each.levelname for each in caplog.records] == ["ERROR"]


async def events(reply: aiohttp.ClientResponse, count: int) -> list[tuple[str, Json]]:
    """The next so many events."""
    heard: list[tuple[str, Json]] = []
    async with asyncio.timeout(10):
        while len(heard) < count:
            fields: dict[str, str] = {}
            while line := (await reply.content.readline()).decode().strip():
                name, _, value = line.partition(": ")
                fields[name] = value
            heard.append((fields["event"], orjson.loads(fields["data"])))
    return heard


async def test_whoever_looks_on_sees_requests_as_they_end(proxy: Proxied) -> None:
    async with Caller(proxy) as caller, aiohttp.ClientSession() as client:
        await caller.ask(chat())
        async with client.get(f"{proxy.admin_url}/live?last=5") as reply:
            assert reply.content_type == "text/event-stream"
            (first, stats), (second, before) = await events(reply, 2)
            assert (first, second) == ("stats", "request")
            assert stats["requests"]["miss"] == 1
            assert (before["seq"], before["outcome"]) == (1, "miss")
            await caller.ask(chat())
            [(_, now)] = await events(reply, 1)
            assert (now["seq"], now["outcome"], now["reason"]) == (2, "hit", "fresh")
            assert now["input_tokens"] == before["input_tokens"] > 0
            assert now["key"] == before["key"]


async def test_what_is_held_back_is_counted_before_anybody_is_told(proxy: Proxied) -> None:
    """Every request that came is told of as over, in all that is told, at any moment."""
    observing, asked = proxy.observing, 0
    tell = observing.record(proxy.records.append)

    def hand_over() -> None:
        """Two hits more, of this moment."""
        nonlocal asked
        asked += 2
        proxy.server.counts.received += 2
        hit = proxy.records[1]
        tell(hit, (0.25,))

    async with Caller(proxy) as caller, aiohttp.ClientSession() as client:
        for _ in range(2):
            await caller.ask(chat())
        observing.gathering.sources.append(hand_over)
        stats = await told(proxy, "/stats")
        assert stats["received"] == stats["requests"]["total"] == 2 + asked == 4
        assert (stats["requests"]["hit"], stats["saved"]["calls"]) == (3, 3)
        lane = proxy.server.express
        assert stats["express"] == {
            "hits": 0, "entries": 0, "bytes": 0, "max_bytes": lane.max_bytes,
        }  # fmt: skip

        async with client.get(f"{proxy.admin_url}/metrics") as reply:
            counted = dict(line.rsplit(" ", 1) for line in (await reply.text()).splitlines())
        received = float(counted["sidecache_requests_received_total"])
        requests = [float(n) for name, n in counted.items() if "sidecache_requests_total{" in name]
        assert received == sum(requests) == 2 + asked == 6

        lately = (await told(proxy, "/stats/history?span=15m"))["points"]
        assert sum(point["requests"] for point in lately) == 2 + asked == 8

        async with client.get(f"{proxy.admin_url}/live?last=1") as reply:
            seen = dict(await events(reply, 2))
        assert (seen["request"]["repeats"], seen["request"]["reason"]) == (1, "fresh")

        said = orjson.loads(observing.snapshot())
        assert said["state"]["clients"]["received"] == 2 + asked
    assert len(proxy.records) == 2 + asked
    assert proxy.records[-1].delivery.duration_s == 0.25


async def test_when_the_proxy_closes_nobody_looks_on_for_longer(backend: OpenAIBackend) -> None:
    async with aiohttp.ClientSession() as client:
        async with proxied(backend.url, **ADMIN) as proxy:
            reply = await client.get(f"{proxy.admin_url}/live")
            await events(reply, 1)
        assert await reply.content.read() == b""
        reply.close()


async def test_only_so_many_may_look_on(proxy: Proxied) -> None:
    async with aiohttp.ClientSession() as client:
        url = f"{proxy.admin_url}/live"
        watching = [await client.get(url) for _ in range(16)]
        async with client.get(url) as reply:
            assert reply.status == 503
            assert "close another" in (await reply.json())["error"]
        for each in watching:
            each.close()
        async with asyncio.timeout(10):  # one that is gone is noticed at the next word to it
            while True:
                async with client.get(url) as reply:
                    if reply.status == 200:
                        break


class Endless:
    """One who looks on at more than a client takes."""

    over = False

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def some(self, within_s: float) -> bytes:
        await asyncio.sleep(0)
        return b"data: more\n\n" * 100_000

    def close(self) -> None:
        self.closed.set()


async def test_who_takes_nothing_is_let_go() -> None:
    endless = Endless()
    live = LiveRoute(lambda _last: endless, dict, stalled_s=0.05)
    admin = Admin(lambda: True, Gate(None, (), clock=lambda: 0.0), endpoints=[live.endpoint])
    _, port = await admin.start("127.0.0.1", 0)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            await endless.closed.wait()
            # Nor is its connection held until it reads.
            assert not (await reader.read()).endswith(b"\r\n0\r\n\r\n")
        writer.close()
    finally:
        await admin.close()


async def test_metrics_are_served_in_both_forms(proxy: Proxied) -> None:
    async with aiohttp.ClientSession() as client:
        url = f"{proxy.admin_url}/metrics"
        async with client.get(url) as reply:
            assert reply.headers["Content-Type"].startswith("text/plain; version=")
            assert "sidecache_requests_received_total 0.0" in await reply.text()
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with client.get(url, headers=accept) as reply:
            assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
            assert (await reply.text()).endswith("# EOF\n")
