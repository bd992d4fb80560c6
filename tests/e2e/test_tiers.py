"""Answers that outlive the proxy, and that replicas share; by OpenAI's own client."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import signal
from pathlib import Path
from typing import Any

from support.meanwhile import meanwhile
from support.openai_backend import OpenAIBackend
from support.proxied import proxied
from support.raw_chat import DOCUMENT, JSON, question
from support.raw_client import RawClient
from support.redis_servers import server
from support.scripted import ScriptedUpstream
from support.sdk_caller import Caller, chat, counted
from support.served import Served, served

Json = dict[str, Any]


def disk(folder: Path) -> Json:
    return {"l2_disk": {"enabled": True, "directory": str(folder / "kept")}}


def shared(port: int, **more: float) -> Json:
    secret = {"scope": {"secret": "the same for all replicas"}}
    return {"l2_redis": {"url": f"redis://127.0.0.1:{port}/0", **more}, "cache": secret}


PATIENT = {"timeout_s": 5.0, "connect_timeout_s": 5.0}  # however busy this machine is


async def test_answers_survive_a_restart(tmp_path: Path) -> None:
    async with OpenAIBackend() as backend:
        async with proxied(backend.url, **disk(tmp_path)) as proxy, Caller(proxy) as caller:
            _, first = await caller.ask(chat())
            _, stream = await caller.hear(counted(chat("And then?")))
        async with proxied(backend.url, **disk(tmp_path)) as proxy, Caller(proxy) as caller:
            assert await caller.ask(chat()) == ("HIT", first)
            assert await caller.hear(counted(chat("And then?"))) == ("HIT", stream)
            assert [record.outcome.tier for record in proxy.records] == ["l2_disk"] * 2
            assert (await caller.ask(chat()))[0] == "HIT"
            assert proxy.records[-1].outcome.tier == "l1_memory"
        assert backend.calls.total() == 2


async def test_what_is_on_disk_belongs_to_its_caller_after_a_restart_too(tmp_path: Path) -> None:
    async with OpenAIBackend() as backend:
        async with proxied(backend.url, **disk(tmp_path)) as proxy, Caller(proxy) as caller:
            await caller.ask(chat())
        async with (
            proxied(backend.url, **disk(tmp_path)) as proxy,
            Caller(proxy, "sk-other") as other,
        ):
            assert (await other.ask(chat()))[0] == "MISS"


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of all files below."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.name: (path.stat().st_mode & 0o777, path.read_bytes()) for path in found}


async def test_with_a_key_nothing_on_disk_can_be_read_and_the_proxy_still_can(
    tmp_path: Path,
) -> None:
    secret = base64.b64encode(b"0123456789abcdef" * 2).decode()
    settings = {**disk(tmp_path), "storage": {"encryption_keys": [{"id": 1, "secret": secret}]}}
    async with OpenAIBackend() as backend:
        async with proxied(backend.url, **settings) as proxy, Caller(proxy) as caller:
            _, answer = await caller.ask(chat("Why the canary?"))
        kept = files(tmp_path)
        assert kept["secret"][0] == 0o600
        assert not any(b"canary" in content for _, content in kept.values())
        async with proxied(backend.url, **settings) as proxy, Caller(proxy) as caller:
            assert await caller.ask(chat("Why the canary?")) == ("HIT", answer)
        async with proxied(backend.url, **disk(tmp_path)) as proxy, Caller(proxy) as caller:
            assert (await caller.ask(chat("Why the canary?")))[0] == "MISS"


async def test_a_folder_that_cannot_be_used_costs_the_disk_tier_and_nothing_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "kept").write_text("a file where a folder should be")
    async with (
        OpenAIBackend() as backend,
        proxied(backend.url, **disk(tmp_path)) as proxy,
        Caller(proxy) as caller,
    ):
        assert (await caller.ask(chat()))[0] == "MISS"
        assert (await caller.ask(chat()))[0] == "HIT"


async def test_replicas_share_answers_through_redis() -> None:
    async with (
        server() as redis,
        OpenAIBackend() as backend,
        proxied(backend.url, **shared(redis.port, **PATIENT)) as one,
        proxied(backend.url, **shared(redis.port, **PATIENT)) as other,
        Caller(one) as here,
        Caller(other) as there,
    ):
        _, answer = await here.ask(chat())
        assert one.store.behind is not None
        await one.store.behind.flush()
        assert await there.ask(chat()) == ("HIT", answer)
        assert other.records[-1].outcome.tier == "l2_redis"
        assert backend.calls.total() == 1


async def test_a_redis_that_hangs_is_felt_by_nobody_for_long_and_used_again_later() -> None:
    async with (
        server() as redis,
        OpenAIBackend() as backend,
        proxied(backend.url, **shared(redis.port)) as proxy,
        proxied(backend.url, **shared(redis.port)) as other,
        Caller(proxy, timeout=5) as caller,
        Caller(other) as there,
    ):
        redis.signal(signal.SIGSTOP)
        for number in range(30):
            assert (await caller.ask(chat(str(number))))[0] == "MISS"
        assert proxy.store.redis is not None
        assert proxy.store.redis.standing == "off"
        redis.signal(signal.SIGCONT)

        assert proxy.store.behind is not None
        verdict = ""
        async with asyncio.timeout(30):
            while verdict != "HIT":  # it is some requests that find out that Redis is back
                number += 1
                _, answer = await caller.ask(chat(str(number)))
                await proxy.store.behind.flush()
                verdict, heard = await there.ask(chat(str(number)))
        assert heard == answer
        assert other.records[-1].outcome.tier == "l2_redis"


async def test_while_redis_hangs_all_get_the_backends_bytes_and_each_change_is_told_once() -> None:
    asked = itertools.count()

    async def clients(proxy: Served) -> None:
        async with asyncio.TaskGroup() as crowd:
            for _ in range(8):
                _ = crowd.create_task(client(proxy))

    async def client(proxy: Served) -> None:
        async with await RawClient.connect(proxy.address) as line:
            while True:
                asking = question(str(next(asked)))
                await line.send(asking)
                reply = await line.response()
                assert (reply.status, reply.get("X-Cache")) == (200, "MISS")
                assert reply.body == answer_to(asking.partition(b"\r\n\r\n")[2])

    async with (
        server() as redis,
        ScriptedUpstream() as up,
        served(up.url, **patient(redis.port)) as proxy,
    ):
        up.answer_with(lambda call: call.reply(200, JSON, answer_to(call.body)))
        for _ in range(2):
            async with meanwhile(clients(proxy)):
                redis.signal(signal.SIGSTOP)
                assert (await proxy.told("redis changed"))["standing"] == "off"
                await many_more(up)
                redis.signal(signal.SIGCONT)
                assert (await proxy.told("redis changed"))["standing"] == "on"
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0
    told = [event["standing"] for event in proxy.events if event["event"] == "redis changed"]
    assert told == ["off", "on"] * 2


def patient(port: int) -> dict[str, str]:
    """Settings for a Redis that answers late only if it hangs, however busy this machine is."""
    return {
        "SIDECACHE_L2_REDIS__URL": f"redis://127.0.0.1:{port}",
        "SIDECACHE_L2_REDIS__TIMEOUT_S": "1",
        "SIDECACHE_L2_REDIS__CONNECT_TIMEOUT_S": "5",
        "SIDECACHE_LOG__REQUESTS": "false",
    }


async def many_more(up: ScriptedUpstream) -> None:
    """Wait until the backend has been asked many times more."""
    sofar = up.calls
    await up.until(lambda: up.calls > sofar + 200, "200 more have asked")


def answer_to(body: bytes) -> bytes:
    """A document that no other question gets."""
    return DOCUMENT.replace(b"Because.", hashlib.sha256(body).hexdigest().encode())


async def test_without_redis_the_proxy_starts_and_serves_all_the_same() -> None:
    async with (
        OpenAIBackend() as backend,
        proxied(backend.url, **shared(1)) as proxy,
        Caller(proxy) as caller,
    ):
        assert (await caller.ask(chat()))[0] == "MISS"
        assert (await caller.ask(chat()))[0] == "HIT"


async def test_questions_never_asked_before_are_not_looked_for_on_the_disk(tmp_path: Path) -> None:
    async with OpenAIBackend() as backend:
        async with proxied(backend.url, **disk(tmp_path)) as proxy, Caller(proxy) as caller:
            assert proxy.store.disk is not None
            guard = proxy.store.disk._file.guard
            assert guard is not None
            await proxy.counted(lambda: not guard.wanting)
            _, first = await caller.ask(chat())
            assert proxy.store.disk.spared == 1
        async with proxied(backend.url, **disk(tmp_path)) as proxy, Caller(proxy) as caller:
            assert await caller.ask(chat()) == ("HIT", first)
            assert (await caller.ask(chat("And then?")))[0] == "MISS"
            assert proxy.store.disk is not None
            assert proxy.store.disk.spared == 1


async def test_with_admission_the_second_answer_is_the_one_that_is_stored(tmp_path: Path) -> None:
    twice = {"cache": {"admission": {"seen_times": 2}}}
    async with (
        OpenAIBackend() as backend,
        proxied(backend.url, **disk(tmp_path), **twice) as proxy,
        Caller(proxy) as caller,
    ):
        verdicts = [(await caller.ask(chat()))[0] for _ in range(3)]
        assert verdicts == ["MISS", "MISS", "HIT"]
        assert proxy.records[0].outcome.detail == "first-sighting"
