"""Nothing is lost in counting: every request that comes is told of once, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.openai_backend import Fault, OpenAIBackend
from support.operating import ADMIN
from support.proxied import Proxied, proxied
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream
from support.started import started

Json = dict[str, Any]
CHAT = "/v1/chat/completions"
MOST = 12  # connections at once
SETTINGS: Json = {
    **ADMIN,
    "downstream": {
        "limits": {
            "max_connections": MOST, "header_deadline_s": 0.3, "half_close_grace_s": 0.05,
            "max_header_line_bytes": 2048, "max_header_field_bytes": 2048,
        }
    },
    "degradation": {"message": [{"model": "weak", "text": "Later."}]},
}  # fmt: skip


@pytest.fixture
async def tunnels() -> AsyncIterator[ScriptedUpstream]:
    async def answer(call: Call) -> None:
        if "refuse" in call.target:
            await call.reply(403)
        else:
            await call.switch("websocket", after=b"hello")
            await call.cut()

    async with ScriptedUpstream() as upstream:
        upstream.answer_with(answer)
        yield upstream


def head(method: str, target: str, *fields: str, version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: proxy.test", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def ask(text: str, *fields: str, path: str = CHAT, **more: Any) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    return posted(path, body, *fields)


def posted(path: str, body: Json, *fields: str) -> bytes:
    sent = orjson.dumps(body)
    length = f"Content-Length: {len(sent)}"
    return head("POST", path, "Content-Type: application/json", length, *fields) + sent


async def told(proxy: Proxied, path: str) -> str:
    async with aiohttp.ClientSession() as client, client.get(f"{proxy.admin_url}{path}") as reply:
        assert reply.status == 200
        return await reply.text()


async def once(proxy: Proxied, request: bytes) -> int:
    """The status of the answer on a connection of its own."""
    async with await RawClient.connect(proxy.address) as client:
        await client.send(request)
        return (await client.response(head_only=request.startswith(b"HEAD"))).status


WHOLE = [
    (ask("a"), 200), (ask("a"), 200), (ask("s", stream=True), 200), (ask("s", stream=True), 200),
    (ask("n", "Cache-Control: no-store"), 200), (ask("o", "Cache-Control: only-if-cached"), 504),
    (ask("w", model="weak"), 200),
    (posted("/v1/embeddings", {"model": "e", "input": ["x", "y"]}), 200),
    (posted("/v1/embeddings", {"model": "e", "input": ["x", "z"]}), 200),
    (head("GET", "/v1/models"), 200), (head("HEAD", "/v1/models"), 200),
    (head("GET", "/v1/models", version="1.0"), 200),
    (head("OPTIONS", "*"), 204), (head("OPTIONS", "/v1/models", "Max-Forwards: 0"), 204),
    (head("GET", "/loop", "Via: 1.1 sidecache"), 508), (ask("d", path="/dead" + CHAT), 502),
    (head("GET", "/dead/models"), 502),
    (head("GET", "/ws/refuse", "Connection: upgrade", "Upgrade: websocket"), 403),
]  # fmt: skip
"""Requests of every kind that are answered, and how."""

REFUSED = [
    (b"nonsense\r\n\r\n", 400), (head("GET", "/" + "l" * 4000), 414),
    (head("GET", "/", "X-Long: " + "l" * 4000), 431), (head("CONNECT", "a.test:1"), None),
    (head("TRACE", "/"), 501), (head("GET", "/", version="2.0"), None),
    (head("POST", CHAT, "Content-Length: 1", "Expect: wonders") + b"x", 417),
    (head("POST", CHAT, "Transfer-Encoding: gzip"), None),
    (head("POST", CHAT, "Transfer-Encoding: chunked") + b"nonsense\r\n", None),
    (head("GET", "/", "Host: a b"), 400), (b"GET / HT", 408),
]  # fmt: skip
"""Requests that are not, whose connections end."""


async def test_every_request_is_counted_once_however_it_ends(
    backend: OpenAIBackend, tunnels: ScriptedUpstream
) -> None:
    upstreams = [
        {"url": backend.url},
        {"url": tunnels.url, "prefix": "/ws"},
        {"url": "http://127.0.0.1:1", "prefix": "/dead"},
    ]
    async with proxied(*upstreams, **SETTINGS) as proxy:
        backend.faults.append(Fault(500, "weak"))  # of the first chat; see below
        assert await once(proxy, ask("w", model="weak")) == 200
        for request, status in WHOLE:
            got = await once(proxy, request)
            assert got == status, request[:80]
        for request, status in REFUSED:
            got = await once(proxy, request)
            assert status in (None, got), request[:80]
        sent = 1 + len(WHOLE) + len(REFUSED)

        # several at once on one connection, and then one that makes no sense
        async with await RawClient.connect(proxy.address) as client:
            await client.send(ask("p") + head("GET", "/v1/models") + ask("p"))
            assert [(await client.response()).status for _ in range(3)] == [200] * 3
            await client.send(b"x y\r\n\r\n")
            assert (await client.response()).status == 400
            sent += 4

        async with await RawClient.connect(proxy.address) as client:  # a tunnel
            await client.send(head("GET", "/ws", "Connection: upgrade", "Upgrade: websocket"))
            assert (await client.until(b"hello")).startswith(b"HTTP/1.1 101")
            sent += 1

        # those who leave: before the reply, within it, within their own body, silently
        backend.hold(after=0)
        for request in (ask("g1"), ask("g2", stream=True)):
            client = await RawClient.connect(proxy.address)
            await client.send(request)
            await backend.was_asked(len(backend.asked) + 1)
            client.reset()
            sent += 1
        followers = [started(once(proxy, ask("f"))) for _ in range(3)]
        await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 2)
        backend.release()
        assert await asyncio.gather(*followers) == [200] * 3
        sent += 3
        async with await RawClient.connect(proxy.address) as client:
            await client.send(ask("broken off")[:-5])
            client.end()
            await client.rest()
            sent += 1
        async with await RawClient.connect(proxy.address) as client:
            await client.send(b"")  # it says nothing at all, which is no request

        # too many connections: those beyond are turned away before they can ask
        await proxy.counted(lambda: proxy.server.counts.open == 0)
        idle = [await RawClient.connect(proxy.address) for _ in range(MOST)]
        await proxy.counted(lambda: proxy.server.counts.open == MOST)
        for _ in range(2):
            async with await RawClient.connect(proxy.address) as client:
                assert (await client.response()).status == 503
        sent += 2
        for client in idle:
            client.close()
        await proxy.counted(lambda: proxy.server.counts.open == 0)
        await proxy.landed()

        stats = orjson.loads(await told(proxy, "/stats"))
        requests = stats["requests"]
        assert requests.pop("total") == sum(requests.values()) == stats["received"] == sent
        assert sum(row["requests"] for row in stats["by"]) + requests["shed"] == sent
        assert len(proxy.records) + requests["shed"] == sent
        assert requests["shed"] == 2
        assert requests["coalesced"] == 2
        assert requests["degraded"] == 1
        seen = {name for name, count in requests.items() if count}
        assert seen == {"hit", "coalesced", "miss", "bypass", "degraded", "error", "shed"}
        history = orjson.loads(await told(proxy, "/stats/history?span=6h"))["points"]
        assert sum(each["requests"] for each in history) == sent

        metrics = sums(await told(proxy, "/metrics"))
        assert metrics["sidecache_requests_received_total"] == sent
        assert metrics["sidecache_requests_total"] == sent
        assert metrics["sidecache_decisions_total"] == sent
        assert metrics["sidecache_client_connections_open"] == 0


async def test_who_is_turned_away_by_a_bound_on_calls_is_counted_once_whatever_stands_in(
    backend: OpenAIBackend,
) -> None:
    settings = {**SETTINGS, "overload": {"max_calls": 1, "max_queued": 0}}
    async with proxied(backend.url, **settings) as proxy:
        backend.hold(after=0)
        asking = started(once(proxy, ask("held")))
        await backend.was_asked(1)
        turned_away = [
            (ask("a"), 503), (ask("b", "Cache-Control: no-store"), 503),
            (ask("w", model="weak"), 200),
            (head("GET", "/v1/models"), 503),
            (posted("/v1/embeddings", {"model": "e", "input": ["x", "y"]}), 503),
        ]  # fmt: skip
        for request, status in turned_away:
            assert await once(proxy, request) == status
        backend.release()
        assert await asking == 200
        await proxy.landed()
        stats = orjson.loads(await told(proxy, "/stats"))
        requests = stats["requests"]
        assert requests["total"] == stats["received"] == len(proxy.records) == 6
        assert (requests["miss"], requests["degraded"], requests["error"]) == (1, 1, 4)
        reasons = {row["reason"] for row in stats["by"] if row["outcome"] == "error"}
        assert reasons == {"overload"}
        assert stats["calls"]["shed"]["full"] >= 5
        assert stats["spent"]["calls"] == len(backend.asked) == 1
        metrics = sums(await told(proxy, "/metrics"))
        assert metrics["sidecache_requests_total"] == 6
        assert metrics["sidecache_calls_in_flight"] == 0


async def test_what_is_under_way_has_come_and_is_not_over(backend: OpenAIBackend) -> None:
    async with proxied(backend.url, **ADMIN) as proxy:
        backend.hold()
        asking = started(once(proxy, ask("q")))
        await backend.was_asked(1)
        stats = orjson.loads(await told(proxy, "/stats"))
        assert (stats["received"], stats["requests"]["total"]) == (1, 0)
        assert stats["flights"]["in_progress"] == 1
        backend.release()
        assert await asking == 200
        stats = orjson.loads(await told(proxy, "/stats"))
        assert (stats["received"], stats["requests"]["miss"]) == (1, 1)


def sums(exposition: str) -> dict[str, float]:
    """The sum of each metric over all labels."""
    total: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            total[sample.name] = total.get(sample.name, 0.0) + sample.value
    return total
