"""The express lane of a real proxy obeys what the ordinary way obeys, and is counted as that is."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import aiohttp
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import tls
from support.operating import ADMIN, purged
from support.proxied import Proxied, proxied
from support.raw_chat import DOCUMENT, JSON, question
from support.raw_client import RawClient, RawResponse
from support.scripted import Call, ScriptedUpstream
from support.started import started

from proxy.app import bounds
from proxy.config.settings import Settings
from proxy.downstream.connection import Connection
from proxy.downstream.leaving import interrupted

Json = dict[str, Any]
ASKED = question()
SERVER_TLS = {
    "cert_file": str(tls.__path__[0]) + "/server.pem",
    "key_file": str(tls.__path__[0]) + "/server.key",
}
LANES = pytest.mark.parametrize("share", [0.1, 0.0], ids=["lane", "no lane"])


class Ride:
    """A proxy whose lane knows ``ASKED``, and the connection that it was learned on."""

    def __init__(self, up: ScriptedUpstream, proxy: Proxied, client: RawClient) -> None:
        self.up = up
        self.proxy = proxy
        self.client = client

    @property
    def hits(self) -> int:
        return self.proxy.server.express.hits

    async def ask(self, client: RawClient | None = None) -> RawResponse:
        client = client or self.client
        await client.send(ASKED)
        return await client.response()

    async def verdict(self) -> str | None:
        return (await self.ask()).get("X-Cache")

    async def quickly(self, client: RawClient | None = None) -> RawResponse:
        """The answer of the lane."""
        before = self.hits
        response = await self.ask(client)
        assert self.hits == before + 1
        return response


@asynccontextmanager
async def ride(
    body: bytes = DOCUMENT, *, learned: bool = True, **settings: Any
) -> AsyncIterator[Ride]:
    async def answer(call: Call) -> None:
        number = b"Because of %d" % up.calls
        await call.reply(200, [*JSON, ("Cache-Tag", "doc:1")], body.replace(b"Because", number))

    async with ScriptedUpstream() as up, proxied(up.url, **settings) as proxy:
        up.answer_with(answer)
        async with await RawClient.connect(proxy.address) as client:
            riding = Ride(up, proxy, client)
            if learned:
                assert [await riding.verdict() for _ in range(3)] == ["MISS", "HIT", "HIT"]
                assert len(proxy.server.express) == 1
                assert b"of 1" in (await riding.quickly()).body
            yield riding


def without_lane(share: float) -> Json:
    return {"l1_memory": {"express_share": share}}


# -- what it obeys --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["all", "key", "tag", "model", "path"])
@pytest.mark.parametrize("soft", [False, True])
async def test_a_purge_made_an_instant_before_is_obeyed(kind: str, soft: bool) -> None:
    async with ride(**ADMIN, cache={"stale_while_revalidate_s": 60}) as r:
        key = r.proxy.records[-1].outcome.key
        assert key is not None
        value = {
            "all": "", "key": key.digest.hex(), "tag": "doc:1", "model": "m", "path": "/v1/",
        }[kind]  # fmt: skip
        await r.quickly()
        await purged(r.proxy.admin_url, kind, value, soft=soft)
        before = r.hits
        after = await r.ask()
        assert after.get("X-Cache") == ("STALE" if soft else "MISS")
        assert (b"of 2" in after.body) is not soft
        await r.proxy.landed()
        for _ in range(2):
            assert b"of 2" in (await r.ask()).body
        assert r.hits <= before + 1
        assert b"of 2" in (await r.quickly()).body


async def test_a_purge_of_something_else_costs_it_a_little_speed_and_no_hit() -> None:
    async with ride(**ADMIN) as r:
        await purged(r.proxy.admin_url, "tag", "doc:2")
        assert [await r.verdict() for _ in range(2)] == ["HIT", "HIT"]
        await r.quickly()


async def test_a_reload_is_obeyed_at_once() -> None:
    async with ride() as r:
        assert ((await r.quickly()).get("Cache-Status") or "").startswith("sidecache; hit")
        await r.proxy.change(pseudonym="another")
        assert ((await r.ask()).get("Cache-Status") or "").startswith("another; hit")
        await r.quickly()
        await r.proxy.change(l1_memory={"express_share": 0})
        before = r.hits
        assert [await r.verdict() for _ in range(4)] == ["HIT"] * 4
        assert (r.hits, r.proxy.server.express.bytes) == (before, 0)
        await r.proxy.change(l1_memory={"express_share": 0.1})
        await r.ask()
        await r.quickly()


async def test_the_answer_to_who_asks_while_it_drains_is_the_last() -> None:
    async with ride() as r:
        leaving = started(r.proxy.server.leave(interrupted(5.0)))
        await asyncio.sleep(0)
        last = await r.ask()
        assert (last.get("X-Cache"), last.get("Connection")) == ("HIT", "close")
        assert await r.client.rest() == b""
        await leaving
        assert r.hits == 1


async def test_an_answer_ends_with_its_lifetime() -> None:
    async with ride(cache={"ttl_s": 1, "jitter": 0, "refresh_ahead": 0}) as r:
        heard = await r.ask()
        async with asyncio.timeout(20):
            while heard.get("X-Cache") == "HIT":
                assert (heard.get("Age"), "ttl=0;" in (heard.get("Cache-Status") or "")) == (
                    "0", True,
                )  # fmt: skip
                heard = await r.ask()
        assert r.hits > 1
        assert heard.get("X-Cache") in {"MISS", "STALE"}


async def test_who_is_turned_away_is_so_whatever_he_says() -> None:
    async with ride(downstream={"limits": {"max_connections": 1}}) as r:
        async with await RawClient.connect(r.proxy.address) as other:
            await other.send(ASKED)
            assert (await other.response()).status == 503
        await r.quickly()
        assert r.hits == 2


def test_where_each_request_has_a_span_there_is_no_lane() -> None:
    given: Json = {"upstreams": [{"url": "http://127.0.0.1:1"}]}
    assert bounds.express_bytes(Settings.model_validate(given), 1000) == 100
    traced = Settings.model_validate({**given, "tracing": {"enabled": True}})
    assert bounds.express_bytes(traced, 1000) == 0


# -- connections ----------------------------------------------------------------------------------


async def test_what_was_learned_on_one_connection_is_known_on_all_and_keeps_none() -> None:
    async with ride() as r:
        async with await RawClient.connect(r.proxy.address) as other:
            assert (await r.quickly(other)).get("X-Cache") == "HIT"  # its very first
        await r.proxy.counted(lambda: r.proxy.server.counts.open == 1)
        await asyncio.sleep(0)
        connections = r.proxy.server._connections
        assert connections is not None
        r.client.close()
        await r.proxy.counted(connections.gone.is_set)
        await asyncio.sleep(0)  # their tasks are over
        gc.collect()
        # Not isinstance: some objects of others warn when they are asked for their class.
        ours = [each for each in gc.get_objects() if type(each) is Connection]
        assert not [each for each in ours if each._service is connections._service]
        del ours
        async with await RawClient.connect(r.proxy.address) as third:
            await r.quickly(third)


async def test_over_tls_it_is_the_same() -> None:
    async with ride(learned=False, tls=SERVER_TLS) as r:
        trusting = ssl.create_default_context(cafile=tls.AUTHORITY)
        host, port = r.proxy.address
        reader, writer = await asyncio.open_connection(host, port, ssl=trusting)
        try:
            bodies = set()
            for _ in range(5):
                writer.write(ASKED)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                bodies.add(await asyncio.wait_for(reader.readexactly(length), 10))
            assert len(bodies) == 1
            assert r.hits == 2
            assert {record.request.scheme for record in r.proxy.records} == {"https"}
        finally:
            writer.close()
        r.client.close()
        await r.proxy.counted(lambda: r.proxy.server.counts.open == 0)


@LANES
async def test_who_has_said_all_he_will_say_hears_the_answer(share: float) -> None:
    async with ride(learned=False, **without_lane(share)) as r:
        for _ in range(3):
            await r.ask()
        await r.client.send(ASKED)
        r.client.end()
        assert (await r.client.response()).get("X-Cache") == "HIT"
        assert await r.client.rest() == b""
        assert r.hits == bool(share)
        assert [record.delivery.complete for record in r.proxy.records] == [True] * 4


@LANES
async def test_who_does_not_read_is_cut_off(share: float) -> None:
    long = DOCUMENT.replace(b"Because", b"Because" + b"!" * 50_000)
    limits = {"limits": {"write_stall_s": 0.3}}
    async with ride(long, learned=False, downstream=limits, **without_lane(share)) as r:
        for _ in range(4):
            await r.ask()
        slow = await RawClient.connect(r.proxy.address, receive_buffer=4096)
        async with slow:
            for _ in range(60):
                await slow.send(ASKED)
            await r.proxy.counted(lambda: r.proxy.server.counts.stalled == 1)
            assert await slow.was_reset()
        ends = [record.delivery for record in r.proxy.records]
        assert [each.error for each in ends if not each.complete] == ["ReaderStalled"]
        if share:
            assert r.hits > 1
        await r.ask()


@LANES
async def test_a_client_may_be_idle_for_so_long_after_its_last_answer(share: float) -> None:
    limits = {"limits": {"idle_keepalive_s": 0.4}}
    async with ride(learned=False, downstream=limits, **without_lane(share)) as r:
        began = asked = monotonic()
        while asked - began < 0.8:
            asked = monotonic()
            await r.ask()
        assert await r.client.rest() == b""
        assert 0.39 < monotonic() - asked < 8  # clocks of loops are rounded
        assert (r.hits > 0) is bool(share)


@LANES
async def test_what_comes_in_pieces_after_it_is_a_request_with_its_deadline(share: float) -> None:
    limits = {"limits": {"header_deadline_s": 0.3}}
    async with ride(learned=False, downstream=limits, **without_lane(share)) as r:
        for _ in range(4):
            await r.ask()
        other = question("Something else?")
        for at in (10, 100, len(other) - 5):
            await r.client.send(other[:at])
            await r.client.send(other[at:])
            assert (await r.client.response()).status == 200
            await r.ask()
            await r.ask()
        await r.client.send(ASKED[:20])
        assert (await r.client.response()).status == 408
        assert await r.client.rest() == b""
        assert r.proxy.server.counts.timeouts == 1
        assert r.proxy.server.counts.received == 14
        assert r.hits == (4 if share else 0)


# What follows a head that has begun is a part of it, though it reads like a request.
BEGUN = b"POST /v1/chat/completions HTTP/1.1\r\nX-Quote: "


async def test_a_request_quoted_in_the_head_of_another_is_not_taken_for_it() -> None:
    async with ride() as r:
        r.proxy.server.express.clear()
        for verdict in ("MISS", "HIT", "HIT", "HIT"):
            await r.client.send(ASKED + BEGUN)
            assert b"of 1" in (await r.client.response()).body
            await r.client.send(ASKED)
            other = await r.client.response()
            assert (other.get("X-Cache"), b"of 2" in other.body) == (verdict, True)
        async with await RawClient.connect(r.proxy.address) as client:
            assert b"of 1" in (await r.ask(client)).body


async def test_nor_is_it_if_that_head_came_while_another_was_served() -> None:
    async with ride() as r:
        answering, gate = r.up._handler, asyncio.Event()
        assert answering is not None

        async def late(call: Call) -> None:
            await gate.wait()
            await answering(call)

        r.up.answer_with(late)
        await r.client.send(question("Something else?"))
        await r.client.send(BEGUN)
        gate.set()
        assert b"of 2" in (await r.client.response()).body
        await r.client.send(ASKED)
        quoting = await r.client.response()
        assert (quoting.get("X-Cache"), b"of 3" in quoting.body) == ("MISS", True)


# -- what it takes, and what is told of it --------------------------------------------------------


async def test_it_takes_its_share_of_what_memory_may_hold_at_present() -> None:
    given = {"l1_memory": {"max_bytes": 10 * 2**20, "express_share": 0.5}}
    async with ride(**given) as r:
        memory, lane, store = r.proxy.store.memory, r.proxy.server.express, r.proxy.store
        assert lane.max_bytes == memory.max_bytes // 2 == 5 * 2**20
        assert 0 < lane.bytes < memory.bytes
        await store.hold(2**20, None)
        assert lane.max_bytes == memory.max_bytes // 2 == 2**19
        assert (lane.bytes, len(lane)) == (0, 0)
        await r.ask()
        await r.quickly()
        assert lane.bytes <= memory.bytes <= memory.max_bytes
        await store.hold(1000, None)
        assert (lane.max_bytes, lane.bytes, memory.bytes) == (500, 0, 0)
        await store.hold(None, None)
        assert lane.max_bytes == 5 * 2**20
        given["l1_memory"] |= {"max_bytes": 20 * 2**20}
        await r.proxy.change(**given)
        assert lane.max_bytes == memory.max_bytes // 2 == 10 * 2**20


async def test_every_one_of_them_is_counted_and_told_wherever_requests_are() -> None:
    async with ride(**ADMIN) as r:
        for _ in range(1500):
            await r.ask()
        await r.client.send(question("Something else?"))
        assert (await r.client.response()).get("X-Cache") == "MISS"
        await r.proxy.landed()
        sent, hits = 1505, 1501
        assert r.hits == hits
        stats = orjson.loads(await told(r.proxy, "/stats"))
        assert stats["received"] == stats["requests"]["total"] == sent
        assert (stats["requests"]["hit"], stats["requests"]["miss"]) == (sent - 2, 2)
        assert sum(row["requests"] for row in stats["by"]) == sent
        history = orjson.loads(await told(r.proxy, "/stats/history?span=6h"))["points"]
        assert sum(each["requests"] for each in history) == sent
        counted = sums(await told(r.proxy, "/metrics"))
        for name in ("requests_received", "requests", "decisions"):
            assert counted[f"sidecache_{name}_total"] == sent
        assert counted["sidecache_express_hits_total"] == hits
        assert counted["sidecache_express_entries"] == 1
        assert len(r.proxy.records) == sent
        assert all(record.delivery.duration_s > 0 for record in r.proxy.records)
        memory = r.proxy.store.memory
        assert memory.hits == sent - 2


async def told(proxy: Proxied, path: str) -> str:
    async with aiohttp.ClientSession() as client, client.get(f"{proxy.admin_url}{path}") as reply:
        assert reply.status == 200
        return await reply.text()


def sums(exposition: str) -> dict[str, float]:
    """The sum of each metric over all labels."""
    total: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            total[sample.name] = total.get(sample.name, 0.0) + sample.value
    return total


@LANES
async def test_an_answer_is_renewed_in_the_words_of_who_asked_last(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither field is in the key; the backend is to hear of neither but once, and from its owner.
    heard: list[tuple[str, str]] = []
    shared = {"refresh_ahead": 0, "jitter": 0, "scope": {"by": "shared"}}

    async def answer(call: Call) -> None:
        heard.append((call.field("authorization"), call.field("idempotency-key")))
        await call.reply(200, JSON, DOCUMENT)

    async def ask(client: RawClient, number: int) -> None:
        asked = question(headers=f"Idempotency-Key: {number}\r\n")
        await client.send(asked.replace(b"sk-one", b"sk-%d" % number))
        await client.response()
        await asyncio.sleep(0.05)

    lane = without_lane(share)
    async with ScriptedUpstream() as up, proxied(up.url, cache=shared, **lane) as proxy:
        up.answer_with(answer)
        async with await RawClient.connect(proxy.address) as client:
            for number in (1, 2, 3, 4, 4):
                await ask(client, number)
            monkeypatch.setattr("proxy.question.renews", lambda *_: True)
            monkeypatch.setattr("proxy.again.certain_until", lambda *_: 0.0)
            for place in proxy.server.express._places.values():
                place.again._certain_until = 0.0  # type: ignore[attr-defined]
            for number in (5, 4):  # equal in all that counts, and to the byte
                await ask(client, number)
        assert heard == [(f"Bearer sk-{number}", str(number)) for number in (1, 5, 4)]
        assert bool(proxy.server.express.hits) is bool(share)
