"""``GET /semantic`` and ``POST /feedback``, on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest

from proxy.admin.api import Admin
from proxy.admin.gate import Gate
from proxy.admin.semantic import Meanings

MATCH = "0123456789abcdef"
STATE: Mapping[str, object] = {
    "ready": True, "outcomes": {"semantic": 3}, "bugs": 0, "labels_unknown": 0, "not_learned": 0,
    "embedder": None, "strata": [],
}  # fmt: skip


class Hits:
    """Remembers one hit, and what was said of it."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bool]] = []

    async def judge(self, name: str, *, wrong: bool) -> bool:
        self.said.append((name, wrong))
        return name == MATCH

    async def told(self) -> Mapping[str, object]:
        return STATE


@asynccontextmanager
async def serving(hits: Hits) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    meanings = Meanings(hits.told, hits.judge)
    admin = Admin(lambda: True, Gate(None, (), clock=lambda: 0.0), endpoints=meanings.endpoints)
    _, port = await admin.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as client:
            yield client, f"http://127.0.0.1:{port}"
    finally:
        await admin.close()


async def test_what_is_known_is_told() -> None:
    async with serving(Hits()) as (client, url), client.get(f"{url}/semantic") as reply:
        assert await reply.json() == STATE


@pytest.mark.parametrize("verdict", ["wrong", "right"])
async def test_a_word_on_a_hit_is_passed_on(verdict: str) -> None:
    hits = Hits()
    async with serving(hits) as (client, url):
        body = {"match": MATCH, "verdict": verdict}
        async with client.post(f"{url}/feedback", json=body) as reply:
            assert (reply.status, await reply.json()) == (200, {"learned": True})
    assert hits.said == [(MATCH, verdict == "wrong")]


async def test_a_hit_that_nobody_remembers_is_not_found() -> None:
    async with serving(Hits()) as (client, url):
        body = {"match": "f" * 16, "verdict": "wrong"}
        async with client.post(f"{url}/feedback", json=body) as reply:
            assert reply.status == 404
            assert "too long ago" in (await reply.json())["error"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "no JSON"),
        (b"[]", "no object"),
        (b"{}", "match: this is needed"),
        (
            b'{"match":"0123456789abcdef","verdict":"wrong","more":1}',
            "more: there is no such",
        ),
        (b'{"match":"0123","verdict":"wrong"}', "match: "),
        (b'{"match":1,"verdict":"wrong"}', "match: "),
        (b'{"match":"0123456789abcdef","verdict":"bad"}', "'wrong' or 'right'"),
        (b'{"match":"0123456789abcdef","verdict":["wrong"]}', "'wrong' or 'right'"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_what_to_send(body: bytes, said: str) -> None:
    hits = Hits()
    kind = {"Content-Type": "application/json"}
    async with (
        serving(hits) as (client, url),
        client.post(f"{url}/feedback", data=body, headers=kind) as reply,
    ):
        assert reply.status == 400
        assert said in (await reply.json())["error"]
    assert hits.said == []


async def test_another_media_type_is_refused() -> None:
    async with (
        serving(Hits()) as (client, url),
        client.post(f"{url}/feedback", data="match=1") as reply,
    ):
        assert reply.status == 415
