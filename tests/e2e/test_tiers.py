"""Answers that outlive the proxy, and that replicas share; by OpenAI's own client."""

from __future__ import annotations

import base64
import signal
from pathlib import Path
from typing import Any

from support.openai_backend import OpenAIBackend
from support.proxied import proxied
from support.redis_servers import server
from support.sdk_caller import Caller, chat, counted

Json = dict[str, Any]


def disk(folder: Path) -> Json:
    return {"l2_disk": {"enabled": True, "directory": str(folder / "kept")}}


def shared(port: int) -> Json:
    secret = {"scope": {"secret": "the same for all replicas"}}
    return {"l2_redis": {"url": f"redis://127.0.0.1:{port}/0"}, "cache": secret}


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
        proxied(backend.url, **shared(redis.port)) as one,
        proxied(backend.url, **shared(redis.port)) as other,
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
        Caller(proxy, timeout=5) as caller,
    ):
        redis.signal(signal.SIGSTOP)
        for number in range(30):
            assert (await caller.ask(chat(str(number))))[0] == "MISS"
        assert proxy.store.redis is not None
        assert proxy.store.redis.standing == "off"
        redis.signal(signal.SIGCONT)


async def test_without_redis_the_proxy_starts_and_serves_all_the_same() -> None:
    async with (
        OpenAIBackend() as backend,
        proxied(backend.url, **shared(1)) as proxy,
        Caller(proxy) as caller,
    ):
        assert (await caller.ask(chat()))[0] == "MISS"
        assert (await caller.ask(chat()))[0] == "HIT"
