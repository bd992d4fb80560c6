"""What the listener answers where an export cannot be made, or not to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from proxy.admin.api import Admin
from proxy.admin.carrying import Allowed, Carrying
from proxy.admin.gate import Gate
from proxy.carrying.parcel import MEDIA_TYPE, Heading, Packing
from proxy.carrying.taking import NotOurs, Taking
from proxy.model.errors import TierError


class Tiers:
    """Says so many pieces, and then fails if it shall."""

    def __init__(self, *pieces: bytes, failing: bool = False) -> None:
        self._pieces = pieces
        self._failing = failing
        self.asked: list[tuple[str, ...]] = []
        self.left = asyncio.Event()

    async def give(self, tiers: tuple[str, ...]) -> AsyncIterator[bytes]:
        self.asked.append(tiers)
        try:
            for piece in self._pieces:
                yield piece
        finally:
            self.left.set()
        if self._failing:
            raise TierError("l2_redis cannot be told of now")


def take(_heading: Heading, _vouched: bool) -> Taking:
    raise NotOurs("they are keyed by another secret")


BOTH = Allowed(to_export=True, to_import=True)


@asynccontextmanager
async def serving(
    tiers: Tiers, allowed: Allowed = BOTH, *, stalled_s: float = 10
) -> AsyncIterator[str]:
    carrying = Carrying(
        lambda: allowed, ("l1_memory", "l2_redis"), tiers.give, take, stalled_s=stalled_s
    )
    gate = Gate(None, (), clock=lambda: 0.0)
    admin = Admin(lambda: True, gate, endpoints=carrying.endpoints)
    host, port = await admin.start("127.0.0.1", 0)
    try:
        yield f"http://{host}:{port}"
    finally:
        await admin.close()


async def test_all_tiers_are_given_or_one() -> None:
    tiers = Tiers(b"one", b"two")
    async with serving(tiers) as url, aiohttp.ClientSession() as session:
        for query in ("", "?tier=l2_redis"):
            async with session.get(f"{url}/export{query}") as reply:
                assert (reply.status, reply.content_type) == (200, MEDIA_TYPE)
                assert await reply.read() == b"onetwo"
        async with session.get(f"{url}/export?tier=l3") as reply:
            assert reply.status == 404
            assert "l1_memory, l2_redis" in (await reply.json())["error"]
    assert tiers.asked == [("l1_memory", "l2_redis"), ("l2_redis",)]


async def test_a_tier_that_cannot_be_told_of_is_named() -> None:
    async with (
        serving(Tiers(failing=True)) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/export") as reply,
    ):
        assert reply.status == 503
        assert "l2_redis cannot be told of now" in (await reply.json())["error"]


async def test_a_parcel_whose_tier_fails_on_the_way_has_no_end() -> None:
    async with (
        serving(Tiers(b"one", failing=True)) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/export") as reply,
    ):
        assert reply.status == 200
        assert await reply.read() == b"one"


async def test_who_takes_nothing_of_a_parcel_is_let_go() -> None:
    many = Tiers(*[b"x" * 2**20] * 100)
    async with serving(many, stalled_s=0.05) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(b"GET /export HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            await many.left.wait()
            assert not (await reader.read()).endswith(b"\r\n0\r\n\r\n")
        writer.close()


@pytest.mark.parametrize("allowed", [Allowed(False, True), Allowed(True, False)])
async def test_each_needs_a_word_of_its_own(allowed: Allowed) -> None:
    async with serving(Tiers(b"x"), allowed) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/export") as reply:
            assert reply.status == (200 if allowed.to_export else 403)
        headers = {"Content-Type": MEDIA_TYPE}
        async with session.post(f"{url}/import", data=b"x", headers=headers) as reply:
            assert reply.status == (400 if allowed.to_import else 403)


async def test_what_cannot_be_taken_in_is_refused_with_the_reason() -> None:
    packing = Packing()
    parcel = packing.heading(Heading("k", "p", 0.0)) + packing.end()
    async with serving(Tiers()) as url, aiohttp.ClientSession() as session:
        headers = {"Content-Type": MEDIA_TYPE}
        async with session.post(f"{url}/import", data=parcel, headers=headers) as reply:
            assert reply.status == 409
            assert (await reply.json())["error"] == "they are keyed by another secret"
