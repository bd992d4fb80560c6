"""Reloading: what changes, for whom, and what is left of what was."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import threading
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.proxied import Proxied, proxied
from support.raw_chat import DOCUMENT, JSON, STREAM, Listener, begin, question, stream
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream
from support.started import started

from proxy.model.errors import ConfigError

TLS = Path(__file__).parents[1] / "support" / "tls"


async def document(call: Call) -> None:
    await call.reply(200, JSON, DOCUMENT)


@pytest.fixture
async def up() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as up:
        up.answer_with(document)
        yield up


async def told(proxy: Proxied, text: str = "Why?", headers: str = "") -> str:
    """The ``X-Cache`` of the reply to a question."""
    async with await RawClient.connect(proxy.address) as client:
        await client.send(question(text, headers=headers))
        return (await client.response()).get("X-Cache")


# -- what changes -----------------------------------------------------------------------------


async def test_the_next_request_is_answered_by_the_new_settings(up: ScriptedUpstream) -> None:
    async with proxied(up.url) as proxy:
        assert [await told(proxy), await told(proxy)] == ["MISS", "HIT"]
        reloaded = await proxy.change(cache={"enabled": False}, pseudonym="other")
        assert reloaded == (2, ("pseudonym", "cache.enabled"))
        assert await told(proxy) == "BYPASS"
        await proxy.change(cache={})
        assert await told(proxy) == "HIT"
        assert proxy.generation.number == 3


async def test_a_connection_goes_on_and_each_request_on_it_is_of_one_generation(
    up: ScriptedUpstream,
) -> None:
    async with proxied(up.url) as proxy, await RawClient.connect(proxy.address) as client:
        for name in ("sidecache", "second", "third"):
            await client.send(question())
            assert (await client.response()).get("Cache-Status").startswith(name)
            await proxy.change(pseudonym={"sidecache": "second", "second": "third"}.get(name, "x"))


async def test_nothing_changed_is_no_generation(up: ScriptedUpstream) -> None:
    async with proxied(up.url) as proxy:
        before = proxy.generation
        assert await proxy.reload() == (1, ())
        assert proxy.generation is before


async def test_bounds_are_those_of_the_new_settings(up: ScriptedUpstream) -> None:
    async with proxied(up.url, l1_memory={"max_bytes": "64MiB"}) as proxy:
        for number in range(4):
            await told(proxy, f"question {number}")
        assert proxy.store.memory.entries == 4
        await proxy.change(
            l1_memory={"max_bytes": 3000},
            flights={"max_flights": 7},
            downstream={"limits": {"max_headers": 3}, "drain_s": 0},
        )
        assert proxy.store.memory.bytes <= 3000
        assert proxy.flights.limits.flights == proxy.fetches.limits.flights == 7
        async with await RawClient.connect(proxy.address) as client:
            await client.send(question())
            assert (await client.response()).status == 431


async def test_tiers_that_stay_open_take_the_new_bounds(
    up: ScriptedUpstream, tmp_path: Path
) -> None:
    disk = {"enabled": True, "directory": str(tmp_path)}
    async with proxied(up.url, l2_disk=disk) as proxy:
        assert await told(proxy) == "MISS"
        await proxy.change(cache={"max_entry_bytes": 10})
        assert await told(proxy, "something else") == "MISS"
        assert await told(proxy, "something else") == "MISS"
        assert proxy.store.disk is not None
        assert proxy.store.disk.max_entry_bytes == 10
        await proxy.change(cache={"max_entry_bytes": "1MiB"})
        assert await told(proxy, "something else") == "MISS"
        assert await told(proxy, "something else") == "HIT"


async def test_the_operators_token_can_be_exchanged(up: ScriptedUpstream) -> None:
    admin = {"listen": "127.0.0.1:0", "token": "the first token"}
    async with proxied(up.url, admin=admin) as proxy, aiohttp.ClientSession() as http:

        async def status(token: str) -> int:
            bearer = {"Authorization": f"Bearer {token}"}
            async with http.post(f"{proxy.admin_url}/purge", headers=bearer) as reply:
                return reply.status

        assert await status("the first token") != 401
        assert await status("the second token") == 401
        await proxy.change(admin=admin | {"token": "the second token"})
        assert await status("the first token") == 401
        assert await status("the second token") != 401


async def test_whoever_connects_later_is_shown_the_new_certificate(
    up: ScriptedUpstream, tmp_path: Path
) -> None:
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def put(name: str) -> bytes:
        cert.write_bytes((TLS / f"{name}.pem").read_bytes())
        key.write_bytes((TLS / f"{name}.key").read_bytes())
        return ssl.PEM_cert_to_DER_cert(cert.read_text())

    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async def connect(proxy: Proxied) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*proxy.address, ssl=trusting)
        return writer.get_extra_info("ssl_object").getpeercert(binary_form=True), reader, writer

    first = put("server")
    async with proxied(up.url, tls={"cert_file": str(cert), "key_file": str(key)}) as proxy:
        early = await connect(proxy)
        second = put("client")
        assert early[0] == first
        assert await proxy.reload() == (2, ("tls.cert_file", "tls.key_file"))
        late = await connect(proxy)
        assert late[0] == second
        key.write_text("half written")
        with pytest.raises(ConfigError, match="certificate or key cannot be used"):
            await proxy.reload()
        later = await connect(proxy)
        assert later[0] == second
        for _, reader, writer in (early, late, later):
            writer.write(question())
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()


# -- what is refused --------------------------------------------------------------------------


async def test_what_needs_a_restart_is_named_and_nothing_is_changed(
    up: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    async with proxied(up.url) as proxy:
        before = proxy.generation
        with pytest.raises(ConfigError, match=r"listen: needs a restart"):
            await proxy.change(listen="127.0.0.1:1", cache={"enabled": False})
        assert proxy.generation is before
        assert proxy.refused is not None
        assert "listen: needs a restart" in proxy.refused.reason
        assert [await told(proxy), await told(proxy)] == ["MISS", "HIT"]
        assert "not reloaded" in caplog.text
        await proxy.change(listen="127.0.0.1:0", cache={"ttl_s": 7})
        assert proxy.refused is None


async def test_what_this_machine_cannot_do_is_refused_whole(
    up: ScriptedUpstream, tmp_path: Path
) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("no certificate")
    async with proxied(up.url) as proxy:
        assert await told(proxy) == "MISS"
        with pytest.raises(ConfigError, match="TLS files"):
            await proxy.change(
                upstreams=[{"url": "https://a", "tls": {"ca_file": str(authority)}}],
                cache={"enabled": False},
            )
        with pytest.raises(ConfigError, match="no backend"):
            await proxy.change(upstreams=[])
        assert await told(proxy) == "HIT"
        proxy.chosen.given["upstreams"] = [{"url": up.url}]
        assert (await proxy.reload()).changed == ("cache.enabled",)


async def test_many_at_once_are_served_one_after_the_other(up: ScriptedUpstream) -> None:
    async with proxied(up.url) as proxy:
        proxy.chosen.given["cache"] = {"ttl_s": 7}
        all_told = await asyncio.gather(*(proxy.reload() for _ in range(5)))
    assert all_told == [(2, ("cache.ttl_s",)), *[(2, ())] * 4]
    assert proxy.chosen.loads == 5


async def test_whoever_asked_for_it_may_leave(up: ScriptedUpstream) -> None:
    async with proxied(up.url) as proxy:
        proxy.chosen.given["cache"] = {"ttl_s": 7}
        doing = started(proxy.reload())
        await asyncio.sleep(0)
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        assert (await proxy.reload()).generation == 2
        assert proxy.settings.cache.ttl_s == 7


async def test_a_proxy_that_is_stopped_is_not_reloaded(up: ScriptedUpstream) -> None:
    async with proxied(up.url) as proxy:
        doing = started(proxy.change(cache={"ttl_s": 7}))
        await asyncio.sleep(0)
        await proxy.close(0)
        with pytest.raises(ConfigError, match="stopped"):
            await doing
        assert proxy.generation.number == 1


async def test_a_proxy_that_was_stopped_makes_no_thread_to_reload_in(up: ScriptedUpstream) -> None:
    async with proxied(up.url) as proxy:
        await proxy.reloading.close()
        with pytest.raises(ConfigError, match="stopped"):
            await proxy.change(cache={"ttl_s": 7})
        assert not [each for each in threading.enumerate() if each.name == "reload"]


# -- backends ---------------------------------------------------------------------------------


async def test_a_backend_that_stays_keeps_its_connections(up: ScriptedUpstream) -> None:
    async with proxied(up.url) as proxy:
        for ttl_s in range(1, 20):
            assert await told(proxy, f"{ttl_s}?") == "MISS"
            await proxy.change(cache={"ttl_s": ttl_s})
    assert len(up.connections) == 1
    assert up.calls == 19


async def test_a_backend_that_goes_ends_its_replies_first_and_idle_connections_at_once(
    up: ScriptedUpstream,
) -> None:
    async with proxied(up.url) as proxy, await RawClient.connect(proxy.address) as client:
        up.answer_with(None)
        asking = [started(told(proxy, text)) for text in "ab"]
        calls = [await up.next_call() for _ in asking]
        await client.send(question(stream=True))
        streaming = await up.next_call()
        await begin(streaming, STREAM[:2])
        await client.head()
        for call in calls:
            await document(call)
        await asyncio.gather(*asking)
        assert up.open_connections == 3

        await proxy.change(upstreams=[{"url": up.url, "id": "other"}])
        for call in calls:
            await call.hung_up()
        assert up.open_connections == 1
        assert len(proxy.retired) == 1
        listener = Listener(client)
        for event in STREAM[2:]:
            await streaming.chunk(event)
        await streaming.end()
        assert await listener.end() == b"".join(STREAM)
        await streaming.hung_up()
        await proxy.landed()
        await proxy.retired.let_go()
        assert len(proxy.retired) == 0


async def test_the_end_of_the_proxy_is_the_end_of_what_was_replaced(up: ScriptedUpstream) -> None:
    async with proxied(up.url) as proxy, await RawClient.connect(proxy.address) as client:
        up.answer_with(None)
        await client.send(question(stream=True))
        call = await up.next_call()
        await begin(call, STREAM[:2])
        await client.head()
        await proxy.change(upstreams=[{"url": up.url, "id": "other"}])
        await proxy.close(0)
        await call.hung_up()
    assert up.open_connections == 0


async def test_with_other_settings_nobody_joins_what_was_asked_before(
    up: ScriptedUpstream,
) -> None:
    async with proxied(up.url) as proxy:
        up.answer_with(None)
        asking = [started(told(proxy))]
        calls = [await up.next_call()]
        await proxy.change(upstreams=[{"url": up.url, "id": "one", "set_headers": {"x-a": "b"}}])
        await proxy.change(upstreams=[{"url": up.url, "set_headers": {"x-a": "b"}}])
        asking.append(started(told(proxy)))
        calls.append(await up.next_call())
        asking.append(started(told(proxy)))
        await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 1)
        assert [call.field("x-a") for call in calls] == ["", "b"]
        for call in calls:
            await document(call)
        assert await asyncio.gather(*asking) == ["MISS", "MISS", "COALESCED"]
        assert proxy.flights.counts.stored == 1  # what was asked last, though it came last, too


async def test_what_is_written_to_after_a_reload_is_not_kept_as_it_was_before(
    up: ScriptedUpstream,
) -> None:
    async with proxied(up.url, http_resource={"enabled": True}) as proxy:
        up.answer_with(None)

        async def ask(method: bytes) -> str | None:
            async with await RawClient.connect(proxy.address) as client:
                await client.send(
                    method + b" /thing HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                )
                return (await client.response()).get("X-Cache")

        fresh = [("Cache-Control", "max-age=60")]
        reading = started(ask(b"GET"))
        read = await up.next_call()
        await proxy.change(cache={"ttl_s": 7})
        writing = started(ask(b"PUT"))
        await (await up.next_call()).reply(204)
        await writing
        await read.reply(200, fresh, b"as it was")
        await reading
        again = started(ask(b"GET"))
        await (await up.next_call()).reply(200, fresh, b"as it is")
        assert await again == "MISS"
        assert await ask(b"GET") == "HIT"


async def test_questions_in_other_words_go_by_the_new_rules(up: ScriptedUpstream) -> None:
    semantic = {"enabled": True, "embedder": {"kind": "none"}}
    async with proxied(up.url, semantic=semantic) as proxy:
        one = "X-Team: one\r\n"
        assert await told(proxy, "What is the capital of France?", one) == "MISS"
        two = "X-Team: two\r\n"
        assert await told(proxy, "what is the capital of France", two) == "MISS"
        await proxy.change(cache={"inert_headers": ["x-team"]})
        assert await told(proxy, "What is the capital of France?", one) == "MISS"
        assert proxy.semantic is not None
        await proxy.semantic.learner.settled()
        assert await told(proxy, "what is the capital of France", two) == "HIT"


# -- knowledge bases --------------------------------------------------------------------------


async def test_a_version_that_stays_is_known_and_one_that_is_new_is_read_at_once(
    up: ScriptedUpstream, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for file in (one, two):
        file.write_text("1")

    def rag(path: str, file: Path) -> dict[str, Any]:
        where = {"file": str(file), "poll_s": 3600}
        return {"paths": [path], "answer": "/answer", "question": "/q", "version": where}

    async with proxied(up.url, rag=[rag("/one", one)]) as proxy:
        versions = proxy.house.versions
        assert (len(versions), versions.edition()) == (1, 1)
        kept = dict(proxy.generation.knowledge.known)
        await proxy.change(rag=[rag("/two", two), rag("/one", one)])
        assert (len(versions), versions.edition()) == (2, 2)
        assert kept.items() <= proxy.generation.knowledge.known.items()
        await proxy.change(rag=[rag("/two", two)])
        assert (len(versions), versions.edition()) == (1, 2)
        assert all(version() is not None for version in proxy.generation.knowledge.known.values())
    assert len(versions) == 0


# -- what is left -----------------------------------------------------------------------------


async def test_nothing_is_left_of_generations_that_nobody_is_with(up: ScriptedUpstream) -> None:
    admission = {"admission": {"seen_times": 2}}
    async with proxied(up.url, cache=admission) as proxy:
        left = []
        gc.collect()
        gc.disable()
        try:
            for number in range(10):
                await told(proxy, f"{number}?")
                left.append(weakref.ref(proxy.generation))
                left.append(weakref.ref(proxy.generation.lifecycle))
                left.append(weakref.ref(proxy.generation.backends.all[0]))
                await proxy.change(
                    upstreams=[{"url": up.url, "id": f"up-{number}"}], cache=admission
                )
                await proxy.landed()
                await proxy.retired.let_go()
            await proxy.reload()  # by which the thread has let go of what it had to do before
            assert [each for each in left if each() is not None] == []
        finally:
            gc.enable()
        assert up.open_connections == 0


async def test_what_was_seen_once_is_still_known(up: ScriptedUpstream) -> None:
    admission = {"seen_times": 2}
    async with proxied(up.url, cache={"admission": admission}) as proxy:
        before = proxy.generation.admission
        await proxy.change(cache={"admission": admission, "ttl_s": 7})
        assert proxy.generation.admission is before
        await proxy.change(cache={"admission": admission | {"window_s": 7}})
        assert proxy.generation.admission is not before


async def test_it_is_told_what_changed_but_not_to_what(
    up: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sidecache.reload")
    async with proxied(up.url) as proxy:
        await proxy.change(upstreams=[{"url": up.url, "set_headers": {"x-key": "hidden"}}])
    record = next(each for each in caplog.records if each.message == "reloaded")
    assert vars(record)["changed"] == ("upstreams.0.set_headers.x-key",) or vars(record)[
        "changed"
    ] == ("upstreams.0.set_headers.x-key", "upstreams.0.set_headers")
    assert vars(record)["generation"] == 2
    assert "hidden" not in caplog.text


async def test_a_stream_is_counted_until_it_is_over(up: ScriptedUpstream) -> None:
    async with proxied(up.url) as proxy, await RawClient.connect(proxy.address) as client:
        up.answer_with(stream)
        await client.send(question(stream=True))
        await client.response()
        await proxy.landed()
        assert not proxy.generation.in_use
