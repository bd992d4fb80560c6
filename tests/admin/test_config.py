"""``GET /config`` and ``POST /reload``, of a whole proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from proxy.app import Sidecache
from proxy.config.load import Origin

FILE = """\
listen: 127.0.0.1:0
admin: {listen: "127.0.0.1:0", token: canary-token}
l2_disk: {enabled: false}
upstreams: [{url: "http://127.0.0.1:1", set_headers: {authorization: canary-key}}]
cache: {ttl_s: 60}
"""
BEARER = {"Authorization": "Bearer canary-token"}


def made(path: Path) -> Sidecache:
    path.write_text(FILE)
    source = Origin(path)
    loaded = source.load()
    return Sidecache(loaded.settings, source=source, origins=loaded.sources)


@asynccontextmanager
async def configured(path: Path) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    proxy = made(path)
    await proxy.start()
    try:
        async with aiohttp.ClientSession(headers=BEARER) as session:
            yield session, str(proxy.admin_url)
    finally:
        await proxy.close(0)


async def config(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(f"{url}/config") as reply:
        assert reply.status == 200
        text = await reply.text()
        assert "canary" not in text
        told: dict[str, Any] = await reply.json()
        return told


async def reload(session: aiohttp.ClientSession, url: str) -> tuple[int, dict[str, Any]]:
    async with session.post(f"{url}/reload", json={}) as reply:
        return reply.status, await reply.json()


async def test_what_is_in_force_is_told_with_who_gave_it(tmp_path: Path) -> None:
    path = tmp_path / "sidecache.yaml"
    async with configured(path) as (session, url):
        told = await config(session, url)
    assert told["generation"] == 1
    assert told["file"] == str(path)
    assert told["settings"]["cache"]["ttl_s"] == 60
    assert told["settings"]["upstreams"][0]["set_headers"] == {"authorization": "**********"}
    assert told["sources"]["cache.ttl_s"] == f"{path}:5"
    assert f"ttl_s: 60  # {path}:5" in told["yaml"]
    assert told["last_refusal"] is None
    assert {"listen", "l2_redis", "semantic"} <= set(told["needs_restart"])
    assert "cache" not in told["needs_restart"]


async def test_a_reload_takes_all_over_or_says_why_not(tmp_path: Path) -> None:
    path = tmp_path / "sidecache.yaml"
    async with configured(path) as (session, url):
        path.write_text(FILE.replace("ttl_s: 60", "ttl_s: 30"))
        assert await reload(session, url) == (200, {"generation": 2, "changed": ["cache.ttl_s"]})
        path.write_text(FILE.replace("ttl_s: 60", "ttl_s: soon"))
        status, told = await reload(session, url)
        assert status == 409
        assert "cache.ttl_s" in told["error"]
        path.write_text(FILE.replace("l2_disk: {enabled: false}", "l2_disk: {enabled: true}"))
        status, told = await reload(session, url)
        assert status == 409
        assert "l2_disk.enabled: needs a restart" in told["error"]
        known = await config(session, url)
    assert known["generation"] == 2
    assert known["settings"]["cache"]["ttl_s"] == 30
    assert "l2_disk.enabled" in known["last_refusal"]["why"]


async def test_the_token_can_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "sidecache.yaml"
    async with configured(path) as (session, url):
        path.write_text(FILE.replace("canary-token", "another"))
        assert (await reload(session, url))[0] == 200
        assert (await reload(session, url))[0] == 401
